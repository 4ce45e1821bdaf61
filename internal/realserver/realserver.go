// Package realserver runs private instances of real servers for tests: Dovecot, Postfix,
// Exim and Cyrus; nginx, haproxy and stunnel in front of them; rspamd, OpenDKIM, postgrey
// and dnsmasq beside them. Each has its own configuration and state in a temporary
// folder, listens on free high ports of a loopback address, and ends with the test. An
// instance that the machine already runs is not touched, and no mail leaves the machine.
//
// The servers change their own user id, so root has to start them.
package realserver

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"text/template"

	"mailprobe/internal/mailtest"
)

// Host is the address that every server of this package listens on. It is not
// 127.0.0.1, the address of the clients: Dovecot treats a connection whose two ends
// have the same address as secured, and accepts passwords in clear text there.
const Host = "127.0.0.2"

// programs are the files that a server needs. Debian keeps daemons in sbin, which is not
// in the PATH of every user.
var programs = map[string][]string{
	"dovecot":         {"/usr/sbin/dovecot", "/usr/lib/dovecot/imap-login", "/usr/lib/dovecot/pop3-login"},
	"postfix":         {"/usr/sbin/postfix", "/usr/sbin/postconf"},
	"nginx":           {"/usr/sbin/nginx", "/usr/lib/nginx/modules/ngx_mail_module.so"},
	"dnsmasq":         {"/usr/sbin/dnsmasq"},
	"haproxy":         {"/usr/sbin/haproxy"},
	"stunnel":         {"/usr/bin/stunnel4"},
	"buildah":         {"/usr/bin/buildah"},
	"fail2ban-regex":  {"/usr/bin/fail2ban-regex"},
	"fail2ban-server": {"/usr/bin/fail2ban-server"},
}

// packages are the Debian packages that contain all of them.
const packages = "dovecot-imapd dovecot-pop3d postfix nginx libnginx-mod-mail dnsmasq-base haproxy stunnel4 fail2ban buildah"

// Need skips the test with a clear line where a server is not installed, or
// where the test is not run by root. With CI=true or MAILPROBE_REAL=require the
// test fails instead, so that a build that should cover the real servers cannot
// quietly stop doing so.
func Need(t testing.TB, servers ...string) {
	t.Helper()
	for _, server := range servers {
		if why := missing(server); why != "" {
			refuse(t, why)
		}
	}
}

// missing returns why a server cannot be run; empty: it can.
func missing(server string) string {
	files, known := programs[server]
	if !known {
		return fmt.Sprintf("realserver: no server is called %q", server)
	}
	for _, file := range files {
		if _, err := os.Stat(file); err != nil {
			return fmt.Sprintf("%s is not installed (%v): apt-get install %s", server, err, packages)
		}
	}
	if os.Geteuid() != 0 {
		return server + " has to be started by root"
	}
	return ""
}

// refuse skips the test, or fails it where the servers are required.
func refuse(t testing.TB, why string) {
	t.Helper()
	if os.Getenv("CI") == "true" || os.Getenv("MAILPROBE_REAL") == "require" {
		t.Fatal(why)
	}
	t.Skip(why)
}

// folder makes a folder that is removed at the end of the test. The path of t.TempDir
// contains the name of the test and can be too long: that of a unix socket has at most
// 108 bytes. Every user may enter the folder, because the servers run as users of
// their own.
func folder(t testing.TB, name string) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// address returns a port on Host as net.Dial expects it.
func address(port int) string { return net.JoinHostPort(Host, strconv.Itoa(port)) }

// write writes a file in a folder, and returns its path.
func write(t testing.TB, dir, name, content string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
	return path
}

// giveFolder makes a user the owner of a folder and everything in it; the group has the
// same number.
func giveFolder(t testing.TB, folder string, id int) {
	t.Helper()
	err := filepath.WalkDir(folder, func(path string, _ os.DirEntry, err error) error {
		if err == nil {
			err = os.Chown(path, id, id)
		}
		if errors.Is(err, fs.ErrNotExist) && path != folder {
			return nil // a running server removed it meanwhile
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// fill returns the text of a server's configuration.
func fill(t testing.TB, form *template.Template, settings any) string {
	t.Helper()
	var text strings.Builder
	if err := form.Execute(&text, settings); err != nil {
		t.Fatal(err)
	}
	return text.String()
}

// ServerName is the name in a server's certificate, unless a test sets others.
const ServerName = "mail.example.test"

// issue writes a server's certificate and key into its folder. Without names in options,
// they are ServerName and Host.
func issue(t testing.TB, dir string, ca *mailtest.CA, options mailtest.CertOptions) {
	t.Helper()
	if len(options.Names) == 0 && len(options.IPs) == 0 {
		options.Names, options.IPs = []string{ServerName}, []net.IP{net.ParseIP(Host)}
	}
	certificate, err := ca.Issue(options)
	if err != nil {
		t.Fatal(err)
	}
	if err := mailtest.WritePair(certificate, filepath.Join(dir, "server.pem"), filepath.Join(dir, "server.key")); err != nil {
		t.Fatal(err)
	}
}

// output runs a short command of a server and returns what it printed.
func output(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return string(out)
}
