//go:build linux

package main

// This file is the server that every client talks to, in a process of its own:
// an IMAP server that says yes. Each client has a port, whose sessions are
// counted.

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"flag"
	"fmt"
	"io"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"mailprobe/internal/mailtest"
)

const (
	// targets is how many addresses have a certificate, unless a flag says less.
	targets = 10_000
	// slowLogin is how long the slow port takes to answer a login.
	slowLogin = 100 * time.Millisecond
	// patience is how long a session may take: clients are stopped for a while.
	patience = 10 * time.Minute
	// caName is the name of the authority's certificate in the server's folder.
	caName = "ca.pem"
	// readyLine begins the line in which the server says its ports.
	readyLine = "ready"
)

// target is the address with the number i.
func target(i int) netip.Addr {
	return netip.AddrFrom4([4]byte{127, 1, byte(i / 250), byte(i%250 + 1)})
}

// targetNumber is the number of an address that target returned.
func targetNumber(ip net.IP) int {
	v4 := ip.To4()
	return int(v4[2])*250 + int(v4[3]) - 1
}

// listener is one port of the server.
type listener struct {
	net.Listener
	login    time.Duration // until a login is answered
	sessions atomic.Int64  // ended by LOGOUT
}

// runServer serves until its input ends. To each line of input it answers with
// the numbers of sessions so far, one for each port.
func runServer(args []string, stdin io.Reader, stdout io.Writer) error {
	flags := flag.NewFlagSet(serverRole, flag.ContinueOnError)
	dir := flags.String("dir", "", "")
	count := flags.Int("ports", 1, "")
	hosts := flags.Int("targets", targets, "")
	if err := flags.Parse(args); err != nil {
		return err
	}
	config, err := certificates(*dir, *hosts)
	if err != nil {
		return err
	}
	var ports []*listener
	words := []string{readyLine}
	for i := range *count + 1 { // the last one is slow
		open, err := net.Listen("tcp4", "0.0.0.0:0")
		if err != nil {
			return err
		}
		defer open.Close()
		l := &listener{Listener: open}
		if i == *count {
			l.login = slowLogin
		}
		ports = append(ports, l)
		words = append(words, fmt.Sprint(open.Addr().(*net.TCPAddr).Port))
		go l.accept(config)
	}
	fmt.Fprintln(stdout, strings.Join(words, " "))
	for lines := bufio.NewScanner(stdin); lines.Scan(); {
		var line []any
		for _, l := range ports {
			line = append(line, l.sessions.Load())
		}
		fmt.Fprintln(stdout, line...)
	}
	return nil
}

// certificates mints one for each target, and writes the authority's.
func certificates(dir string, hosts int) (*tls.Config, error) {
	ca, err := mailtest.NewCA(mailtest.CAOptions{})
	if err != nil {
		return nil, err
	}
	if err := ca.WriteCertificate(filepath.Join(dir, caName)); err != nil {
		return nil, err
	}
	leaves := make([]tls.Certificate, hosts)
	for i := range leaves {
		if leaves[i], err = ca.Issue(mailtest.CertOptions{CommonName: "mail", IPs: []net.IP{target(i).AsSlice()}}); err != nil {
			return nil, err
		}
	}
	config := &tls.Config{GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		i := targetNumber(hello.Conn.LocalAddr().(*net.TCPAddr).IP)
		if i < 0 || i >= len(leaves) {
			return nil, fmt.Errorf("%s is no target", hello.Conn.LocalAddr())
		}
		return &leaves[i], nil
	}}
	return config, nil
}

func (l *listener) accept(config *tls.Config) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return // it is closed, or the clients will say what is missing
		}
		if !conn.RemoteAddr().(*net.TCPAddr).IP.IsLoopback() { // for this machine alone
			_ = conn.Close()
			continue
		}
		go l.serve(tls.Server(conn, config))
	}
}

// answers are the untagged lines before an OK.
var answers = map[string]string{
	"CAPABILITY": "* CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN\r\n",
	"EXAMINE":    "* 3 EXISTS\r\n",
	"LOGOUT":     "* BYE\r\n",
}

// serve answers one client, whatever it asks.
func (l *listener) serve(conn *tls.Conn) {
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(conn, "* OK ready\r\n"); err != nil {
		return
	}
	in := bufio.NewReaderSize(conn, 512)
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return
		}
		words := bytes.Fields(line)
		if len(words) < 2 {
			return
		}
		command := string(words[1])
		if command == "AUTHENTICATE" && l.login > 0 {
			time.Sleep(l.login)
		}
		if _, err := io.WriteString(conn, answers[command]+string(words[0])+" OK done\r\n"); err != nil {
			return
		}
		if command == "LOGOUT" {
			l.sessions.Add(1)
			return
		}
	}
}
