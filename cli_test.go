package main

// This file runs the sessions of testdata/cli: what is typed into a terminal and
// what comes back. Each has a server of its own, with one user, anna@example.org.

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"mailprobe/internal/mailtest"
)

// sessionPassword is anna's, in every session.
const sessionPassword = "looking-glass-42"

func TestSessions(t *testing.T) {
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
			return ca.WriteCertificate(filepath.Join(env.WorkDir, "ca.pem"))
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
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
