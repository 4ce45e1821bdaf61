package main

// This file runs the sessions of testdata/cli: scripts of commands and their output. Each
// has its own servers, with one user, anna@example.org.

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"mailprobe/internal/mailtest"
	"mailprobe/internal/subprocess"
)

// sessionPassword is anna's password, in every session.
const sessionPassword = "looking-glass-42"

// nameServer is the environment variable with the address of the name server that the
// mailprobe of a session asks.
const nameServer = "MAILPROBE_TEST_NAME_SERVER"

// session runs main for a session.
func session() {
	if at := os.Getenv(nameServer); at != "" {
		net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, at)
		}}
	}
	main()
}

// publish makes example.org a domain that has mailboxes over IMAPS, and nothing else.
func publish(env *testscript.Env) error {
	_, port, err := net.SplitHostPort(env.Getenv("IMAPS"))
	if err != nil {
		return err
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return err
	}
	names := map[string]mailtest.DNSName{"_imaps._tcp.example.org": {SRV: []net.SRV{{Target: "localhost", Port: uint16(number)}}}}
	for _, service := range []string{"_imap", "_pop3s", "_pop3", "_submissions", "_submission"} {
		names[service+"._tcp.example.org"] = mailtest.DNSName{SRV: []net.SRV{{Target: "."}}}
	}
	dns, err := mailtest.StartDNS(names)
	if err != nil {
		return err
	}
	env.Defer(func() { _ = dns.Close() })
	env.Setenv(nameServer, dns.Addr)
	return nil
}

func TestSessions(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir: "testdata/cli",
		Setup: func(env *testscript.Env) error {
			ca, err := mailtest.NewCA(mailtest.CAOptions{})
			if err != nil {
				return err
			}
			certificate, err := ca.Issue(mailtest.Loopback())
			if err != nil {
				return err
			}
			for _, s := range []struct{ name, protocol, encryption string }{
				{"IMAP", mailtest.IMAP, mailtest.NoEncryption}, {"IMAPS", mailtest.IMAP, mailtest.ImplicitTLS},
				{"SMTP", mailtest.SMTP, mailtest.NoEncryption},
			} {
				server, err := mailtest.Start(mailtest.Options{Protocol: s.protocol, Encryption: s.encryption, Certificate: certificate,
					Users: map[string]string{"anna@example.org": sessionPassword}, Messages: 3})
				if err != nil {
					return err
				}
				env.Defer(func() { _ = server.Close() })
				env.Setenv(s.name, server.Addr)
				env.Setenv(s.name+"_PORT", fmt.Sprint(server.Port))
			}
			if err := publish(env); err != nil {
				return err
			}
			env.Setenv("FREE", subprocess.FreeAddress(t))
			return ca.WriteCertificate(filepath.Join(env.WorkDir, "ca.pem"))
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			// eventually COMMAND...: runs it until it succeeds.
			"eventually": func(ts *testscript.TestScript, _ bool, args []string) {
				for end := time.Now().Add(time.Minute); ts.Exec(args[0], args[1:]...) != nil; time.Sleep(20 * time.Millisecond) { // another process
					if time.Now().After(end) {
						ts.Fatalf("%v: never", args)
					}
				}
			},
			// expand FILE: replaces $NAME in a file of the session by the variable.
			"expand": func(ts *testscript.TestScript, _ bool, args []string) {
				for _, name := range args {
					text := ts.ReadFile(name)
					for _, variable := range []string{"IMAP_PORT", "IMAPS_PORT", "SMTP_PORT", "WORK"} {
						text = strings.ReplaceAll(text, "$"+variable, ts.Getenv(variable))
					}
					ts.Check(os.WriteFile(ts.MkAbs(name), []byte(text), 0o600))
				}
			},
		},
	})
}
