package cli

// This file implements `mailprobe discover`: from a mail address to tested
// connections.

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"mailprobe/config"
	"mailprobe/discover"
	"mailprobe/history"
	"mailprobe/mail"
)

// DiscoverOptions is the command line of `mailprobe discover`.
type DiscoverOptions struct {
	SetupOptions
	Address       string
	CAFile        string // to trust in place of the system's, for mail and web servers
	Autodiscover  bool
	ISPDB         bool
	AllowClear    bool // also services without encryption, and send the password to them
	AcceptForeign bool // send the password outside of the address's domain without asking
	Write         bool // add what is up to the configuration without asking
}

// Discover finds the servers of an address, tries one login, and then the other
// mail.Protocols() with the same password. A nil error means that something was found,
// and that what was tried is up.
func Discover(ctx context.Context, o DiscoverOptions) error {
	return o.with(func(s *setup) error {
		return (&discovery{setup: s, o: o}).run(ctx)
	})
}

// discovery is one run of Discover.
type discovery struct {
	*setup
	o         DiscoverOptions
	report    *discover.Report
	tried     []mail.Outcome
	additions []config.Addition // what is up, in the order of tried
}

func (d *discovery) run(ctx context.Context) error {
	if d.o.CAFile != "" { // it will be written into a file in another folder
		path, err := filepath.Abs(d.o.CAFile)
		if err != nil {
			return err
		}
		d.o.CAFile = path
	}
	transport, err := d.transport()
	if err != nil {
		return err
	}
	defer transport.CloseIdleConnections()
	fmt.Fprintf(d.Stderr, "looking for the mail servers of %s\n", printable(d.o.Address))
	search := discover.Options{Connect: d.connect, Probe: d.probe, Transport: transport, AllowClear: d.o.AllowClear, Autodiscover: d.o.Autodiscover, ISPDB: d.o.ISPDB}
	if d.Resolver != nil {
		search.Resolver = d.Resolver
	}
	d.report, err = discover.Search(ctx, d.o.Address, search)
	if err != nil {
		return fmt.Errorf("%s: %w", printable(d.o.Address), err)
	}
	if ctx.Err() != nil {
		return errInterrupted
	}
	if d.Output == "table" {
		if err := d.table(); err != nil {
			return err
		}
	}
	chosen, err := d.choose(ctx)
	if err != nil {
		return err
	}
	if err := d.login(ctx, chosen); err != nil {
		return err
	}
	if err := d.print(); err != nil {
		return err
	}
	if err := d.offer(ctx); err != nil {
		return err
	}
	if len(chosen) == 0 || len(d.additions) < len(d.tried) {
		return &ExitError{Code: ExitDown}
	}
	return nil
}

// transport reaches the web servers of the domain, with the same trust.
func (d *discovery) transport() (*http.Transport, error) {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	if d.Resolver != nil {
		transport.DialContext = (&net.Dialer{Resolver: d.Resolver}).DialContext
	}
	if d.dialWeb != nil {
		transport.DialContext = d.dialWeb
	}
	if d.o.CAFile == "" {
		return transport, nil
	}
	c, _, err := config.NewConnection("--ca-file", []config.Setting{{Field: "name", Value: "x"}, {Field: "protocol", Value: "imap"},
		{Field: "host", Value: "localhost"}, {Field: "tls_config.ca_file", Value: d.o.CAFile}}, nil)
	if err != nil {
		return nil, err
	}
	transport.TLSClientConfig = &tls.Config{RootCAs: c.TLS.RootCAs, MinVersion: tls.VersionTLS12}
	return transport, nil
}

// settings are the fields of a candidate, without a login.
func (d *discovery) settings(c discover.Candidate) []config.Setting {
	port := strconv.Itoa(c.Port)
	if c.Port == mail.DefaultPort(c.Protocol, c.Encryption) {
		port = ""
	}
	// A name is a label: it holds the domain, never the user.
	return []config.Setting{{Field: "name", Value: d.domain() + "-" + string(c.Protocol)}, {Field: "protocol", Value: string(c.Protocol)},
		{Field: "encryption", Value: c.Encryption.Word()}, {Field: "host", Value: c.Host}, {Field: "port", Value: port},
		{Field: "tls_config.ca_file", Value: d.o.CAFile}}
}

func (d *discovery) domain() string {
	_, domain, _ := discover.SplitAddress(d.o.Address)
	return domain
}

// connect returns the connection that a search probes. What others have published is
// checked by the rules of the configuration.
func (d *discovery) connect(c discover.Candidate) (*mail.Connection, error) {
	connection, _, err := config.NewConnection(string(c.Source), given(d.settings(c)), nil)
	switch {
	case err != nil:
	case c.Port <= 0:
		err = errors.New("there is no port")
	case strings.ContainsFunc(c.Username, unicode.IsControl):
		err = errors.New("the user name has a control character")
	}
	return connection, err
}

// given leaves out settings without a value: blank is a value too.
func given(settings []config.Setting) []config.Setting {
	return slices.DeleteFunc(slices.Clone(settings), func(s config.Setting) bool { return s.Value == "" })
}

// table prints what was found.
func (d *discovery) table() error {
	t := table{header: []string{"SERVICE", "PROTOCOL", "ADDRESS", "ENCRYPTION", "RESULT", "FOUND BY"}, width: d.Width, state: 4}
	var missing []string // guesses
	for _, f := range d.report.Found {
		result := "usable"
		switch {
		case f.Outcome.Failure != nil:
			result = string(f.Outcome.Failure.Reason)
		case f.Encryption == mail.NoEncryption:
			result = "clear text"
		case !f.Verified():
			result = "not verified"
		}
		if f.Source == discover.FromGuess && result == string(mail.DNSNotFound) {
			missing = append(missing, f.Host)
			continue
		}
		t.rows = append(t.rows, tableRow{cells: []string{d.domain() + "-" + string(f.Protocol), string(f.Protocol),
			net.JoinHostPort(f.Host, strconv.Itoa(f.Port)), f.Encryption.Word(), result, string(f.Source)}})
	}
	if len(t.rows) > 0 {
		if err := t.write(d.Stdout); err != nil {
			return err
		}
	}
	if len(missing) > 0 {
		slices.Sort(missing)
		fmt.Fprintln(d.Stdout, "note: there is no", strings.Join(slices.Compact(missing), ", "))
	}
	for _, note := range d.report.Notes {
		fmt.Fprintln(d.Stdout, "note:", printable(note))
	}
	return nil
}

// choose returns the best candidate of each protocol. A host outside of the domain
// needs a yes from the user, because the DNS may have been forged.
func (d *discovery) choose(ctx context.Context) ([]*discover.Found, error) {
	var chosen []*discover.Found
	answers := map[string]bool{} // by host
	for _, protocol := range mail.Protocols() {
		f := d.report.Best(protocol)
		if f == nil {
			continue
		}
		accepted, asked := answers[f.Host]
		if f.Foreign && !d.o.AcceptForeign && !asked {
			var err error
			accepted, err = d.yes(ctx, fmt.Sprintf("%s is outside of %s (found by %s). Use it, and send the password there?", f.Host, d.domain(), f.Source), false)
			if err != nil {
				return nil, err
			}
			if answers[f.Host] = accepted; !accepted {
				fmt.Fprintf(d.Stderr, "%s is outside of %s and is not used; --accept-foreign accepts it\n", f.Host, d.domain())
			}
		}
		if !f.Foreign || d.o.AcceptForeign || accepted {
			chosen = append(chosen, f)
		}
	}
	if len(chosen) == 0 {
		fmt.Fprintf(d.Stderr, "no server of %s can be used: mailprobe add asks for host and port\n", d.domain())
	}
	return chosen, nil
}

// login tries the password at the best server, and at the others only if it was
// accepted there. So a wrong password costs the account one attempt.
func (d *discovery) login(ctx context.Context, chosen []*discover.Found) error {
	if len(chosen) == 0 {
		return nil
	}
	file, err := d.passwordFile()
	if err != nil {
		return err
	}
	password := ""
	if file == "" && d.Ask != nil {
		if password, err = d.Ask.Secret(ctx, fmt.Sprintf("Password of %s (blank: no login): ", printable(chosen[0].Username))); err != nil {
			return err
		}
	}
	if file == "" && password == "" {
		fmt.Fprintln(d.Stderr, "no login is tried: --password-file names the password")
		for _, f := range chosen { // as probed by the search
			d.keep(f.Outcome, d.settings(f.Candidate), "")
		}
		return nil
	}
	for i, f := range chosen {
		settings := append(d.settings(f.Candidate), config.Setting{Field: "username", Value: f.Username}, config.Setting{Field: "password_file", Value: file})
		with := given(settings)
		if password != "" {
			with = append(with, config.Setting{Field: "password", Value: password})
		}
		c, _, err := config.NewConnection("discover", with, nil)
		if err != nil {
			return err
		}
		if f.Encryption == mail.NoEncryption {
			fmt.Fprintf(d.Stderr, "warning: the login at %s is in clear text\n", f.Host)
		}
		outcome := d.probe(ctx, c)
		d.keep(outcome, settings, password)
		if ctx.Err() != nil {
			return errInterrupted
		}
		if a := outcome.Auth; !a.Accepted && (a.Sent || a.Held) {
			d.sayUntried(f, chosen[i+1:])
			break
		}
	}
	return nil
}

// sayUntried names the servers where the password is not tried any more.
func (d *discovery) sayUntried(refused *discover.Found, rest []*discover.Found) {
	for _, f := range rest {
		fmt.Fprintf(d.Stderr, "%s-%s is not tried and not added: the same password was not accepted by %s\n", d.domain(), f.Protocol, refused.Protocol)
	}
}

// keep adds an outcome to tried, and if it is up the connection to additions.
func (d *discovery) keep(outcome mail.Outcome, settings []config.Setting, password string) {
	d.tried = append(d.tried, outcome)
	if outcome.Up() {
		d.additions = append(d.additions, config.Addition{Stanza: config.Stanza{Settings: settings}, Password: password})
	}
}

// print prints what was tried.
func (d *discovery) print() error {
	switch {
	case d.Output == "json":
		return d.json()
	case d.Output == "yaml":
		d.sayWhatIsDown()
		for _, a := range d.additions {
			fmt.Fprint(d.Stdout, a.YAML("  "))
		}
		return nil
	case len(d.tried) == 0:
		return nil
	}
	return d.show(d.tried...)
}

// sayWhatIsDown keeps the reasons out of the YAML, and does not keep them back.
func (d *discovery) sayWhatIsDown() {
	for _, note := range d.report.Notes {
		fmt.Fprintln(d.Stderr, "note:", printable(note))
	}
	for _, o := range d.tried {
		if f := o.Failure; f != nil {
			fmt.Fprintf(d.Stderr, "%s is not printed: %s: %s %s\n", printable(o.Connection.Name), f.Reason, f.Reason.Meaning(), f.Advice())
		}
	}
}

// candidateResult is a candidate as JSON.
type candidateResult struct {
	Protocol   mail.Protocol   `json:"protocol"`
	Encryption mail.Encryption `json:"encryption"`
	Host       string          `json:"host"`
	Port       int             `json:"port"`
	Username   string          `json:"username"`
	Source     discover.Source `json:"source"`
	Foreign    bool            `json:"foreign"`
	Verified   bool            `json:"verified"`
	Reason     mail.Reason     `json:"reason,omitempty"`
}

func (d *discovery) json() error {
	answer := struct {
		Address    string            `json:"address"`
		Candidates []candidateResult `json:"candidates"`
		Results    []*history.Result `json:"results"`
		Notes      []string          `json:"notes"`
	}{d.report.Address, []candidateResult{}, []*history.Result{}, append([]string{}, d.report.Notes...)}
	for _, f := range d.report.Found {
		c := candidateResult{f.Protocol, f.Encryption, f.Host, f.Port, f.Username, f.Source, f.Foreign, f.Verified(), ""}
		if f.Outcome.Failure != nil {
			c.Reason = f.Outcome.Failure.Reason
		}
		answer.Candidates = append(answer.Candidates, c)
	}
	for i := range d.tried {
		answer.Results = append(answer.Results, history.NewResult(&d.tried[i], false))
	}
	encoder := json.NewEncoder(d.Stdout)
	encoder.SetIndent("", "  ")
	return encoder.Encode(answer)
}

// offer writes what is up, if that is wanted.
func (d *discovery) offer(ctx context.Context) error {
	if len(d.additions) == 0 || !d.o.Write && d.Output != "table" {
		return nil
	}
	if !d.o.Write {
		yes, err := d.yes(ctx, fmt.Sprintf("Add %s to %s?", plural(len(d.additions), "connection"), d.ConfigFile), true)
		if err != nil || !yes {
			return err
		}
	}
	taken := d.names()
	for i := range d.additions {
		settings := slices.Clone(d.additions[i].Settings)
		settings[0].Value = freeName(settings[0].Value, taken)
		d.additions[i].Settings = settings
	}
	return d.write(d.additions)
}
