// Package importer reads the configurations of other programs that know mail servers,
// as far as a probe can use them. It lists what it cannot carry over, and guesses
// nothing. A password is kept apart from everything that is shown.
package importer

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"mailprobe/mail"
)

// Entry is one account or target of another program. An entry without a Host cannot be
// used; Lost then says why.
type Entry struct {
	Name       string
	Protocol   mail.Protocol
	Encryption mail.Encryption
	Host       string
	Port       int // 0: the default
	Username   string
	CAFile     string
	Sender     string
	Interval   string
	Labels     map[string]string
	Paused     bool     // it is not to be probed
	Password   string   // empty: none was found
	Lost       []string // what could not be carried over, a sentence each; no secret
}

// lose adds a sentence about what is not carried over.
func (e *Entry) lose(format string, args ...any) {
	e.Lost = append(e.Lost, fmt.Sprintf(format, args...))
}

// serviceNames are the registered names of the mail ports; the files may have them in
// place of a number. Read only.
var serviceNames = map[string]int{"imap": 143, "imap2": 143, "imaps": 993, "pop3": 110, "pop3s": 995,
	"smtp": 25, "smtps": 465, "submission": 587, "submissions": 465}

// takePort sets the port. A text that is no port leaves the default, and is lost.
func (e *Entry) takePort(text string) {
	text = strings.TrimSpace(text)
	e.Port = cmp.Or(portOf(text), serviceNames[strings.ToLower(text)])
	if e.Port == 0 && text != "" && text != "0" {
		e.lose("its port is not a number from 1 to 65535: the default was taken")
	}
}

// String returns the entry's name, and never the password.
func (e Entry) String() string { return e.Name }

// Format is a kind of file.
type Format string

// The formats.
const (
	Blackbox    Format = "blackbox"    // blackbox_exporter's modules, with Prometheus' targets
	UptimeKuma  Format = "uptime-kuma" // a JSON backup
	Fetchmail   Format = "fetchmail"
	Getmail     Format = "getmail"
	Mbsync      Format = "mbsync" // isync
	Msmtp       Format = "msmtp"
	Thunderbird Format = "thunderbird" // prefs.js
)

// readers has the reader of each format but Blackbox, which needs two files.
// Read only.
var readers = map[Format]func(text string) ([]Entry, error){
	UptimeKuma: readUptimeKuma, Fetchmail: readFetchmail, Getmail: readGetmail, Mbsync: readMbsync, Msmtp: readMsmtp, Thunderbird: readThunderbird,
}

// Formats lists all formats.
func Formats() []Format {
	return []Format{Blackbox, UptimeKuma, Fetchmail, Getmail, Mbsync, Msmtp, Thunderbird}
}

// fileNames are the usual names; read only.
var fileNames = []struct {
	part   string
	format Format
}{
	{"blackbox", Blackbox}, {"fetchmail", Fetchmail}, {"getmail", Getmail}, {"mbsync", Mbsync}, {"isync", Mbsync}, {"msmtp", Msmtp},
	{"prefs.js", Thunderbird}, {".json", UptimeKuma},
}

// Guess returns the format of a file by its name; empty: it is not known.
func Guess(path string) Format {
	base := strings.ToLower(filepath.Base(path))
	for _, n := range fileNames {
		if strings.Contains(base, n.part) {
			return n.format
		}
	}
	return ""
}

// Read reads a file of any format but Blackbox. Its error never quotes the file,
// which may hold passwords.
func Read(format Format, text string) ([]Entry, error) {
	read, known := readers[format]
	if !known {
		return nil, fmt.Errorf("%q is not a format that one file holds", format)
	}
	entries, err := read(text)
	if err != nil {
		return nil, err
	}
	return named(entries), nil
}

// named drops empty entries, and names those without a name after host and protocol,
// never after the user.
func named(entries []Entry) []Entry {
	entries = slices.DeleteFunc(entries, func(e Entry) bool { return e.Host == "" && e.Name == "" || e.Protocol == "" })
	for i := range entries {
		e := &entries[i]
		if e.Name == "" {
			e.Name = e.Host + "-" + string(e.Protocol)
		}
		if e.Host == "" && len(e.Lost) == 0 {
			e.lose("it names no host")
		}
	}
	return entries
}

// usualProtocol returns the protocol that usually listens on a port; empty: none of ours.
func usualProtocol(port int) mail.Protocol {
	p, _ := mail.UsualService(port)
	return p
}

// portOf returns a port; 0: the text is no port.
func portOf(text string) int {
	n, err := strconv.Atoi(strings.TrimSpace(text))
	if err != nil || n < 0 || n > 65535 {
		return 0
	}
	return n
}

// yes reports whether a word means yes.
func yes(word string) bool {
	return slices.Contains([]string{"yes", "on", "true", "1"}, strings.ToLower(word))
}
