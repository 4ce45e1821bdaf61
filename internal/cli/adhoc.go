package cli

// This file reads a connection from a URL on the command line. Its parts are
// settings, for which the rules of the configuration hold.

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"mailprobe/config"
	"mailprobe/mail"
)

// scheme is what the part of a URL before :// stands for.
type scheme struct {
	name       string
	protocol   mail.Protocol
	encryption mail.Encryption
}

// schemes returns the schemes of all protocols, such as imap, imaps and imap+starttls.
func schemes() (list []scheme) {
	for _, p := range mail.Protocols() {
		list = append(list, scheme{string(p), p, mail.NoEncryption}, scheme{string(p) + "s", p, mail.ImplicitTLS},
			scheme{string(p) + "+starttls", p, mail.StartTLS})
	}
	return list
}

// schemeOf returns the scheme with a name, in either case.
func schemeOf(name string) (s scheme, known bool) {
	list := schemes()
	i := slices.IndexFunc(list, func(s scheme) bool { return strings.EqualFold(s.name, name) })
	if i < 0 {
		return scheme{}, false
	}
	return list[i], true
}

// schemeNames lists the schemes for a message.
func schemeNames() string {
	var names []string
	for _, s := range schemes() {
		names = append(names, s.name)
	}
	return strings.Join(names, ", ")
}

// isURL reports whether a word is a URL and not the name of a connection.
func isURL(word string) bool { return strings.Contains(word, "://") }

// URLOptions are the settings that a URL cannot carry.
type URLOptions struct {
	PasswordFile       string // for the user in the URL
	CAFile             string // CA certificates to trust in place of the system's
	InsecureSkipVerify bool   // accept any certificate

	// Ask is asked for the password of a user where PasswordFile is empty; nil:
	// no terminal to ask on.
	Ask *Terminal
}

// errBadURL quotes nothing: the URL may hold a password.
var errBadURL = errors.New("the URL cannot be parsed; percent-encode special characters in the user, such as % as %25")

// adHoc returns a connection for a URL such as imaps://user@example.org@host:993. Its
// error lists every fault, and never quotes a password.
func adHoc(ctx context.Context, text string, o URLOptions) (*mail.Connection, error) {
	u, err := url.Parse(text)
	if err != nil {
		return nil, errBadURL
	}
	// The name is shown, in logs too: it has no user in it.
	name := strings.ToLower(u.Scheme) + "://" + u.Host
	s, known := schemeOf(u.Scheme)
	user := u.User.Username()
	_, hasPassword := u.User.Password()
	var faults []error
	for _, rule := range []struct {
		broken bool
		text   string
	}{
		{!known, fmt.Sprintf("%q: not one of %s", u.Scheme, schemeNames())},
		{hasPassword, "a password in the URL could be read by every user of this machine: use --password-file"},
		{u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "", "only scheme, user, host and port can be given in the URL"},
		{user != "" && o.PasswordFile == "" && o.Ask == nil && !hasPassword, "a user in the URL needs --password-file where there is no terminal to ask for the password"},
		{user == "" && o.PasswordFile != "", "--password-file needs a user in the URL"},
	} {
		if rule.broken {
			faults = append(faults, errors.New(rule.text))
		}
	}
	settings := []config.Setting{{Field: "name", Value: name}, {Field: "host", Value: u.Hostname()}, {Field: "port", Value: u.Port()},
		// With an unknown scheme, the other settings are checked nevertheless.
		{Field: "protocol", Value: string(cmp.Or(s.protocol, mail.IMAP))}, {Field: "encryption", Value: string(cmp.Or(s.encryption, mail.ImplicitTLS))}}
	if o.CAFile != "" {
		settings = append(settings, config.Setting{Field: "tls_config.ca_file", Value: o.CAFile})
	}
	if o.InsecureSkipVerify {
		settings = append(settings, config.Setting{Field: "tls_config.insecure_skip_verify", Value: "true"})
	}
	if user != "" && len(faults) == 0 {
		login := config.Setting{Field: "password_file", Value: o.PasswordFile}
		if o.PasswordFile == "" {
			if login.Value, err = o.Ask.Secret(ctx, fmt.Sprintf("Password of %s at %s: ", printable(user), u.Host)); err != nil {
				return nil, err
			}
			login.Field = "password"
		}
		settings = append(settings, config.Setting{Field: "username", Value: user}, login)
	}
	c, _, err := config.NewConnection(name, settings, nil)
	if err != nil {
		faults = append(faults, err)
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	return c, nil
}
