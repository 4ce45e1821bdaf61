package realserver

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"slices"
	"strconv"
	"strings"
	"testing"

	"mailprobe/internal/subprocess"
)

// DKIM is two running private OpenDKIM, for example.test: milters on Host.
type DKIM struct {
	Sign   int // the port of the one that signs
	Verify int // the port of the one that verifies, as mail.example.test

	public string // the key's, as a TXT record says it
}

// Record is the line of dnsmasq's configuration that publishes the key.
func (d *DKIM) Record() string {
	line := "txt-record=test._domainkey.example.test"
	for part := range slices.Chunk([]byte(d.public), 200) { // a string of a TXT record has at most 255 bytes
		line += ",\"" + string(part) + "\""
	}
	return line
}

// StartDKIM runs both until the test ends. The test is skipped where .ci/servers has not
// unpacked OpenDKIM.
func StartDKIM(t testing.TB) *DKIM {
	t.Helper()
	program := unpacked(t, "usr/sbin/opendkim")
	dir := folder(t, "dk")
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	private := write(t, dir, "key", string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})), 0o600)
	record := "v=DKIM1; k=rsa; p=" + base64.StdEncoding.EncodeToString(public)
	known := write(t, dir, "public", "test._domainkey.example.test "+record+"\n", 0o644)
	d := &DKIM{public: record}
	for _, milter := range []struct {
		name  string
		port  *int
		lines []string
	}{
		{"sign", &d.Sign, []string{"Mode s", "Domain example.test", "Selector test", "KeyFile " + private, "OversignHeaders From,Subject", "InternalHosts 0.0.0.0/0"}},
		{"verify", &d.Verify, []string{"Mode v", "AuthservID " + ServerName, "AlwaysAddARHeader yes", "TestPublicKeys " + known}},
	} {
		start(t, "opendkim", "", 1, func(ports []int) (*subprocess.Process, error) {
			*milter.port = ports[0]
			lines := append(milter.lines, "Socket inet:"+strconv.Itoa(ports[0])+"@"+Host, "Background no", "UserID root", "Syslog no", "RequireSafeKeys no")
			return runUnpacked(program, "-f", "-x", write(t, dir, milter.name+".conf", strings.Join(lines, "\n")+"\n", 0o644))
		})
	}
	return d
}
