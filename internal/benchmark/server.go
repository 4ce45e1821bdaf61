//go:build linux

package main

// This file is the server that every client talks to, in a process of its own: an
// IMAP server that accepts every command. Each client has its own ports, and the server
// counts the sessions on them.

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
	// patience is how long a session may take: a client may be stopped (SIGSTOP) in it.
	patience = 10 * time.Minute
	// caName is the name of the authority's certificate in the server's folder.
	caName = "ca.pem"
	// portsOfClient is how many servers the guard sees: it takes each port of loopback
	// for one server, and allows four logins at once at each.
	portsOfClient = 16
	// readyLine is the first word of the line that lists the ports of each client.
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

// portOf is the port of the target with the number i.
func portOf(ports []string, i int) string { return ports[i%len(ports)] }

// clientPorts are the listeners for one client.
type clientPorts struct {
	open     []net.Listener
	login    time.Duration // until a login is answered
	sessions atomic.Int64  // ended by LOGOUT
}

// runServer serves until its input ends. To each line of input it answers with
// the numbers of sessions so far, one for each client.
func runServer(args []string, stdin io.Reader, stdout io.Writer) error {
	flags := flag.NewFlagSet(serverRole, flag.ContinueOnError)
	dir := flags.String("dir", "", "")
	count := flags.Int("clients", 1, "")
	hosts := flags.Int("targets", targets, "")
	if err := flags.Parse(args); err != nil {
		return err
	}
	config, err := certificates(*dir, *hosts)
	if err != nil {
		return err
	}
	var all []*clientPorts
	words := []string{readyLine}
	for i := range *count + 1 {
		c, number := &clientPorts{}, portsOfClient
		defer c.close()
		if i == *count { // the last one is slow
			c.login, number = slowLogin, 1
		}
		ports, err := c.listen(number, config)
		if err != nil {
			return err
		}
		all = append(all, c)
		words = append(words, strings.Join(ports, ","))
	}
	fmt.Fprintln(stdout, strings.Join(words, " "))
	for lines := bufio.NewScanner(stdin); lines.Scan(); {
		var line []any
		for _, c := range all {
			line = append(line, c.sessions.Load())
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

// listen opens ports.
func (c *clientPorts) listen(number int, config *tls.Config) (ports []string, err error) {
	for range number {
		open, err := net.Listen("tcp4", "0.0.0.0:0")
		if err != nil {
			return nil, err
		}
		c.open = append(c.open, open)
		ports = append(ports, fmt.Sprint(open.Addr().(*net.TCPAddr).Port))
		go c.accept(open, config)
	}
	return ports, nil
}

func (c *clientPorts) close() {
	for _, open := range c.open {
		_ = open.Close()
	}
}

func (c *clientPorts) accept(open net.Listener, config *tls.Config) {
	for {
		conn, err := open.Accept()
		if err != nil {
			return // closed; after any other error the clients fail, and report it
		}
		if !conn.RemoteAddr().(*net.TCPAddr).IP.IsLoopback() { // for this machine alone
			_ = conn.Close()
			continue
		}
		go c.serve(tls.Server(conn, config))
	}
}

// answers are the untagged lines before an OK.
var answers = map[string]string{
	"CAPABILITY": "* CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN\r\n",
	"EXAMINE":    "* 3 EXISTS\r\n",
	"LOGOUT":     "* BYE\r\n",
}

// serve runs one session and answers every command with OK.
func (c *clientPorts) serve(conn *tls.Conn) {
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
		if command == "AUTHENTICATE" && c.login > 0 {
			time.Sleep(c.login)
		}
		if _, err := io.WriteString(conn, answers[command]+string(words[0])+" OK done\r\n"); err != nil {
			return
		}
		if command == "LOGOUT" {
			c.sessions.Add(1)
			return
		}
	}
}
