package realserver

import (
	_ "embed"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"text/template"

	"mailprobe/internal/subprocess"
)

// Rspamd is a running private rspamd: a milter that verifies DKIM signatures,
// writes Authentication-Results, and judges a message by the detail of its
// recipient: reject, subject (is rewritten), header (is added), greylist.
type Rspamd struct {
	Milter int // the port on Host

	dir     string
	process *subprocess.Process
}

// rspamdSettings is what the template reads.
type rspamdSettings struct {
	Dir, LogFile, Plugins, NameServer, Host string
	Port                                    int
}

var (
	//go:embed config/rspamd.conf.tmpl
	rspamdConfig string
	//go:embed config/rspamd.rules.lua
	rspamdRules string

	rspamdTemplate = template.Must(template.New("rspamd").Parse(rspamdConfig))
)

// StartRspamd runs a private rspamd until the test ends; names knows the keys of
// DKIM. The test is skipped where .ci/servers has not unpacked it.
func StartRspamd(t testing.TB, names *Dnsmasq) *Rspamd {
	t.Helper()
	program := unpacked(t, "usr/bin/rspamd")
	share := filepath.Join(os.Getenv(unpackedIn), "usr/share/rspamd")
	r := &Rspamd{dir: folder(t, "rs")}
	write(t, r.dir, "rules.lua", rspamdRules, 0o644)
	write(t, r.dir, "suffixes", "test\n", 0o644)
	start(t, "rspamd", r.logFile(), 1, func(ports []int) (*subprocess.Process, error) {
		r.Milter = ports[0]
		config := write(t, r.dir, "rspamd.conf", fill(t, rspamdTemplate, rspamdSettings{Dir: r.dir, LogFile: r.logFile(), Plugins: filepath.Join(share, "plugins"),
			NameServer: net.JoinHostPort(nameServerHost, strconv.Itoa(names.port)), Host: Host, Port: r.Milter}), 0o644)
		args := []string{"-f", "-i", "-u", "root", "-g", "root", "-c", config}
		for name, folder := range map[string]string{"CONFDIR": r.dir, "LOCAL_CONFDIR": r.dir, "DBDIR": r.dir, "RUNDIR": r.dir, "LOGDIR": r.dir, "SHAREDIR": share,
			"RULESDIR": filepath.Join(share, "rules"), "LUALIBDIR": filepath.Join(share, "lualib"), "PLUGINSDIR": filepath.Join(share, "plugins"), "WWWDIR": r.dir} {
			args = append(args, "--var="+name+"="+folder)
		}
		var err error
		r.process, err = runUnpacked(program, args...)
		return r.process, err
	})
	return r
}

func (r *Rspamd) logFile() string { return filepath.Join(r.dir, "log") }

// Log is the end of what the server logged so far.
func (r *Rspamd) Log() string { return logText(r.logFile()) }

// Hang stops its processes where they are; Resume lets them go on.
func (r *Rspamd) Hang(t testing.TB)   { r.signal(t, "STOP") }
func (r *Rspamd) Resume(t testing.TB) { r.signal(t, "CONT") }

func (r *Rspamd) signal(t testing.TB, name string) {
	t.Helper()
	output(t, "sh", "-c", fmt.Sprintf("kill -%s -%d", name, r.process.Command.Process.Pid))
}
