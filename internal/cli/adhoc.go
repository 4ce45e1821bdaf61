package cli

// This file reads a connection from a URL on the command line. The rules are
// those of the configuration file: the URL is written as one.

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"

	"mailprobe/config"
	"mailprobe/mail"
)

// scheme is what the part of a URL before :// stands for.
type scheme struct {
	protocol   mail.Protocol
	encryption mail.Encryption
}

// schemes is read only.
var schemes = map[string]scheme{
	"imap": {mail.IMAP, mail.NoEncryption}, "imaps": {mail.IMAP, mail.ImplicitTLS}, "imap+starttls": {mail.IMAP, mail.StartTLS},
	"pop3": {mail.POP3, mail.NoEncryption}, "pop3s": {mail.POP3, mail.ImplicitTLS}, "pop3+starttls": {mail.POP3, mail.StartTLS},
	"smtp": {mail.SMTP, mail.NoEncryption}, "smtps": {mail.SMTP, mail.ImplicitTLS}, "smtp+starttls": {mail.SMTP, mail.StartTLS},
}

const schemeList = "imap, imaps, imap+starttls, pop3, pop3s, pop3+starttls, smtp, smtps, smtp+starttls"

// isURL tells a URL from the name of a connection.
func isURL(word string) bool { return strings.Contains(word, "://") }

// adHoc makes a connection of a URL such as imaps://user%40example.org@host:993.
// Its errors do not quote the URL: it may hold a password.
func adHoc(text, passwordFile string) (*mail.Connection, error) {
	u, err := url.Parse(text)
	if err != nil {
		return nil, errors.New("the URL cannot be parsed; percent-encode special characters in the user, such as @ as %40")
	}
	s, known := schemes[strings.ToLower(u.Scheme)]
	_, hasPassword := u.User.Password()
	switch {
	case !known:
		return nil, fmt.Errorf("%q: not one of %s", u.Scheme, schemeList)
	case hasPassword:
		return nil, errors.New("a password in the URL could be read by every user of this machine: use --password-file")
	case u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "":
		return nil, errors.New("only scheme, user, host and port can be given in the URL")
	case u.User.Username() != "" && passwordFile == "":
		return nil, errors.New("a user in the URL needs --password-file")
	case u.User.Username() == "" && passwordFile != "":
		return nil, errors.New("--password-file needs a user in the URL")
	}
	entry := map[string]any{"protocol": s.protocol, "encryption": s.encryption, "host": u.Hostname()}
	// Not the user: names are shown, in logs too.
	entry["name"] = strings.ToLower(u.Scheme) + "://" + u.Host
	if u.User.Username() != "" {
		path, err := filepath.Abs(passwordFile)
		if err != nil {
			return nil, err
		}
		entry["username"], entry["password_file"] = u.User.Username(), path
	}
	if port := u.Port(); port != "" {
		n, err := strconv.Atoi(port)
		if err != nil {
			return nil, errors.New("the port is not a number")
		}
		entry["port"] = n
	}
	raw, err := json.Marshal(map[string]any{"connections": []any{entry}}) // JSON is YAML
	if err != nil {
		return nil, err
	}
	loaded, _, err := config.Parse("URL", raw, nil)
	var faults config.Faults
	if errors.As(err, &faults) {
		return nil, fmt.Errorf("%s: %s: %s", entry["name"], faults[0].Field, faults[0].Text)
	}
	if err != nil {
		return nil, err
	}
	return loaded.Connections[0], nil
}
