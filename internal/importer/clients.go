package importer

// This file reads the configurations of mail clients.

import (
	"errors"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"mailprobe/mail"
)

// section is a named block of lines "key value".
type section struct {
	kind, name string
	values     map[string]string
}

// sections reads files of lines "key value", where some keys begin a block.
func sections(text string, begins ...string) []section {
	var all []section
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		key, value, _ := strings.Cut(strings.ReplaceAll(line, "\t", " "), " ")
		key, value = strings.ToLower(key), unquoted(strings.TrimSpace(value))
		if slices.Contains(begins, key) {
			all = append(all, section{kind: key, name: value, values: map[string]string{}})
			continue
		}
		if len(all) > 0 {
			all[len(all)-1].values[key] = value
		}
	}
	return all
}

// unquoted returns a value without its quotes, and with its backslash escapes resolved.
func unquoted(text string) string {
	if len(text) < 2 || text[0] != '"' && text[0] != '\'' || text[len(text)-1] != text[0] {
		return text
	}
	inner := text[1 : len(text)-1]
	if text[0] == '\'' { // Go's quotes, for one character there
		inner = strings.ReplaceAll(strings.ReplaceAll(inner, `\'`, `'`), `"`, `\"`)
	}
	if plain, err := strconv.Unquote(`"` + inner + `"`); err == nil {
		return plain
	}
	return text[1 : len(text)-1]
}

// notCarried records the keys of a block that are not carried over.
func (s section) notCarried(e *Entry, used ...string) {
	for _, key := range sortedKeys(s.values) {
		if !slices.Contains(used, key) {
			e.lose("%s was not carried over", key)
		}
	}
}

// readMbsync reads the accounts of an mbsyncrc.
func readMbsync(text string) ([]Entry, error) {
	var entries []Entry
	for _, s := range sections(text, "imapaccount", "imapstore", "maildirstore", "channel", "group") {
		v := s.values
		if s.kind != "imapaccount" && (s.kind != "imapstore" || v["host"]+v["tunnel"] == "") {
			continue // an account may be defined inside its store
		}
		e := Entry{Name: s.name, Protocol: mail.IMAP, Host: v["host"], Username: v["user"], Password: v["pass"], CAFile: v["certificatefile"]}
		e.takePort(v["port"])
		kind := strings.ToLower(v["tlstype"] + v["ssltype"])
		words := map[string]mail.Encryption{"imaps": mail.ImplicitTLS, "starttls": mail.StartTLS, "none": mail.NoEncryption, "": mail.StartTLS}
		var known bool
		if e.Encryption, known = words[kind]; !known {
			e.Encryption = mail.ImplicitTLS
			e.lose("an unknown TLSType was taken for IMAPS")
		}
		s.notCarried(&e, "host", "port", "user", "pass", "tlstype", "ssltype", "certificatefile", "path", "account")
		entries = append(entries, e)
	}
	return entries, nil
}

// readMsmtp reads the accounts of an msmtprc. Its defaults apply to the accounts after
// them.
func readMsmtp(text string) ([]Entry, error) {
	var entries []Entry
	defaults := map[string]string{}
	accounts := map[string]map[string]string{}
	for _, s := range sections(text, "defaults", "account") {
		if s.kind == "defaults" {
			defaults = s.values
			continue
		}
		name, parents, inherits := strings.Cut(s.name, ":")
		name = strings.TrimSpace(name)
		if inherits && len(s.values) == 0 {
			continue // another name of an account, mostly default
		}
		for _, parent := range strings.Split(parents, ",") {
			inherit(s.values, accounts[strings.TrimSpace(parent)])
		}
		inherit(s.values, defaults)
		accounts[name] = s.values
		v := s.values
		e := Entry{Name: name, Protocol: mail.SMTP, Host: v["host"], Username: v["user"], Password: v["password"],
			CAFile: v["tls_trust_file"], Sender: v["from"]}
		e.takePort(v["port"])
		switch {
		case !yes(v["tls"]):
			e.Encryption = mail.NoEncryption
		case v["tls_starttls"] != "" && !yes(v["tls_starttls"]):
			e.Encryption = mail.ImplicitTLS
		default:
			e.Encryption = mail.StartTLS
		}
		if e.Port == 0 && e.Encryption != mail.ImplicitTLS {
			e.Port = 25 // its default
		}
		if !yes(v["auth"]) && v["auth"] == "" || strings.EqualFold(v["auth"], "off") {
			e.Username, e.Password = "", ""
		}
		s.notCarried(&e, "host", "port", "user", "password", "tls", "tls_starttls", "tls_trust_file", "from", "auth")
		entries = append(entries, e)
	}
	return entries, nil
}

// inherit adds the values that a block does not have itself.
func inherit(values, from map[string]string) {
	for key, value := range from {
		if _, own := values[key]; !own {
			values[key] = value
		}
	}
}

// readGetmail reads the [retriever] of a getmailrc.
func readGetmail(text string) ([]Entry, error) {
	s := section{values: map[string]string{}}
	inside := false
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "[") {
			inside = strings.EqualFold(line, "[retriever]")
			continue
		}
		if key, value, found := strings.Cut(line, "="); found && inside && line[0] != '#' && line[0] != ';' {
			s.values[strings.ToLower(strings.TrimSpace(key))] = unquoted(strings.TrimSpace(value))
		}
	}
	v := s.values
	if v["type"] == "" {
		return nil, errors.New("has no [retriever] of getmail")
	}
	kind := strings.ToLower(v["type"])
	e := Entry{Protocol: mail.IMAP, Encryption: mail.NoEncryption, Host: v["server"], Username: v["username"], Password: v["password"], CAFile: v["ca_certs"]}
	e.takePort(v["port"])
	if strings.Contains(kind, "pop3") {
		e.Protocol = mail.POP3
	}
	if strings.Contains(kind, "ssl") {
		e.Encryption = mail.ImplicitTLS
	}
	s.notCarried(&e, "type", "server", "port", "username", "password", "ca_certs")
	return []Entry{e}, nil
}

// word matches a word or a quoted text of a fetchmailrc, or a comment.
var word = regexp.MustCompile(`"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|#[^\n]*|[^\s,;"'#]+`)

// noise are words that fetchmail ignores; read only.
var noise = []string{"and", "with", "has", "wants", "options", "here", "there", "aka"}

// readFetchmail reads a fetchmailrc: servers, each with its users.
func readFetchmail(text string) ([]Entry, error) {
	f := fetchmailrc{words: slices.DeleteFunc(word.FindAllString(text, -1), func(w string) bool {
		return w[0] == '#' || slices.Contains(noise, strings.ToLower(w))
	})}
	for len(f.words) > 0 {
		f.read()
	}
	f.end()
	return f.entries, nil
}

// fetchmailrc is a file as far as it was read.
type fetchmailrc struct {
	words    []string
	entries  []Entry
	server   Entry // of the users that follow
	user     Entry
	open     bool // user is being read
	defaults bool // so is the block of defaults, which is not carried over
}

// next takes a word.
func (f *fetchmailrc) next() string {
	if len(f.words) == 0 {
		return ""
	}
	w := f.words[0]
	f.words = f.words[1:]
	return unquoted(w)
}

// end adds the user that was read last to the entries.
func (f *fetchmailrc) end() {
	if f.open && !f.defaults {
		f.entries = append(f.entries, f.user)
	}
	f.open = false
}

func (f *fetchmailrc) read() {
	switch key := strings.ToLower(f.next()); key {
	case "poll", "skip", "server":
		f.end()
		f.defaults = false
		f.server = Entry{Host: f.next(), Protocol: mail.IMAP, Encryption: mail.StartTLS}
	case "defaults":
		f.end()
		f.defaults = true
	case "via":
		f.server.Host = f.next()
	case "proto", "protocol":
		if protocol := strings.ToLower(f.next()); strings.HasPrefix(protocol, "pop3") {
			f.server.Protocol = mail.POP3
		} else if slices.Contains([]string{"apop", "kpop", "sdps", "rpop"}, protocol) {
			f.server.Protocol = mail.POP3
			f.server.lose("%s was taken for POP3 with a password", strings.ToUpper(protocol))
		} else if protocol != "imap" && protocol != "auto" {
			f.server.lose("a protocol that is neither IMAP nor POP3 was taken for IMAP")
		}
	case "port", "service":
		f.server.takePort(strings.TrimRight(f.next(), ":;"))
	case "user", "username":
		f.end()
		f.user, f.open = f.server, true
		f.user.Lost = slices.Clone(f.server.Lost)
		f.user.Username = f.next()
	case "pass", "password":
		f.user.Password = f.next()
	case "ssl":
		f.user.Encryption = mail.ImplicitTLS
	case "sslcertfile":
		f.user.CAFile = f.next()
	case "is", "to", "folder", "sslproto", "auth", "interval", "timeout", "mda", "smtphost", "fetchlimit", "limit":
		f.next()
		to := &f.server // of all users that follow
		if f.open {
			to = &f.user
		}
		if key != "is" && key != "to" {
			to.lose("%s was not carried over", key)
		}
	}
}

// preference matches a line of prefs.js that is about a server.
var preference = regexp.MustCompile(`^user_pref\("mail\.(server|smtpserver)\.([^".]+)\.([^".]+)",\s*(.*)\);\s*$`)

// readThunderbird reads prefs.js. Passwords are elsewhere, and not read.
func readThunderbird(text string) ([]Entry, error) {
	servers := map[string]map[string]string{}
	for line := range strings.Lines(text) {
		m := preference.FindStringSubmatch(strings.TrimSpace(line))
		if m == nil {
			continue
		}
		key := m[1] + " " + m[2]
		if servers[key] == nil {
			servers[key] = map[string]string{}
		}
		servers[key][m[3]] = unquoted(strings.TrimSpace(m[4]))
	}
	var entries []Entry
	for _, key := range sortedKeys(servers) {
		v := servers[key]
		inherit(v, map[string]string{"realhostname": v["hostname"], "realuserName": v["userName"]}) // real: changed later
		e := Entry{Host: v["realhostname"], Username: v["realuserName"] + v["username"]}
		e.takePort(v["port"])
		socket := v["socketType"]
		switch {
		case strings.HasPrefix(key, "smtpserver"):
			e.Protocol, socket = mail.SMTP, v["try_ssl"]
		case v["type"] == "imap":
			e.Protocol = mail.IMAP
		case v["type"] == "pop3":
			e.Protocol = mail.POP3
		}
		if e.Protocol == "" || e.Host == "" {
			continue // local folders, news, chats
		}
		e.Encryption = map[string]mail.Encryption{"0": mail.NoEncryption, "": mail.NoEncryption, "2": mail.StartTLS, "3": mail.ImplicitTLS}[socket]
		if e.Encryption == "" {
			e.Encryption = mail.StartTLS
			e.lose("an old kind of socket was taken for STARTTLS")
		}
		if v["authMethod"] == "10" {
			e.lose("it logs in by OAuth 2.0: see docs/authentication.md")
		} else if e.Username != "" {
			e.lose("Thunderbird keeps passwords encrypted, elsewhere")
		}
		entries = append(entries, e)
	}
	if entries == nil {
		return nil, errors.New("has no mail servers of Thunderbird")
	}
	return entries, nil
}
