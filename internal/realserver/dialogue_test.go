package realserver

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"net"
	"strings"
	"testing"
	"time"

	"mailprobe/internal/mailtest"
)

// dialogue is a client that speaks line by line; a test reads like a session.
type dialogue struct {
	t      *testing.T
	conn   net.Conn
	reader *bufio.Reader
	pool   *x509.CertPool
	client []tls.Certificate
}

// dial opens a session in clear; secure adds TLS to it.
func dial(t *testing.T, port int, trust *mailtest.CA, client ...tls.Certificate) *dialogue {
	t.Helper()
	conn, err := net.DialTimeout("tcp", address(port), patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return &dialogue{t: t, conn: conn, reader: bufio.NewReader(conn), pool: trust.Pool(), client: client}
}

// secure makes the session TLS, verified against the server's name, and returns
// the algorithm of the server's key.
func (d *dialogue) secure() x509.PublicKeyAlgorithm {
	d.t.Helper()
	secured := tls.Client(d.conn, &tls.Config{RootCAs: d.pool, ServerName: ServerName, Certificates: d.client})
	if err := secured.Handshake(); err != nil {
		d.t.Fatalf("handshake: %v", err)
	}
	d.conn, d.reader = secured, bufio.NewReader(secured)
	return secured.ConnectionState().PeerCertificates[0].PublicKeyAlgorithm
}

// say sends a line and demands an answer that holds want in its last line. It
// returns the whole answer.
func (d *dialogue) say(line, want string) string {
	d.t.Helper()
	if _, err := d.conn.Write([]byte(line + "\r\n")); err != nil {
		d.t.Fatalf("%s: %v", line, err)
	}
	return d.hear(want)
}

// hear reads an answer: up to an IMAP line that is not untagged, an SMTP line
// without a dash, or one POP3 line.
func (d *dialogue) hear(want string) string {
	d.t.Helper()
	var answer strings.Builder
	for {
		line, err := d.reader.ReadString('\n')
		answer.WriteString(line)
		if err != nil {
			d.t.Fatalf("after %q: %v", answer.String(), err)
		}
		untagged := strings.HasPrefix(line, "* ") && !strings.HasPrefix(line, "* OK [CAPABILITY")
		if !untagged && (len(line) < 4 || line[3] != '-') {
			if !strings.Contains(line, want) {
				d.t.Fatalf("answer %q, want %q in its last line", answer.String(), want)
			}
			return answer.String()
		}
	}
}
