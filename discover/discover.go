// Package discover finds out where the mail of an address is read and sent: from
// SRV records, from the domain's autoconfig file, and by guessing usual names.
//
// It sends no credential. Each candidate is probed up to its greeting, certificate
// and capabilities. It does not trust what it reads: names are checked before they
// are used, and everything is bounded.
package discover

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	netmail "net/mail"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/idna"

	"mailprobe/mail"
)

// The bounds of one search.
const (
	maxTime    = 30 * time.Second
	maxDials   = 40 // probes and HTTP requests
	atOnce     = 8  // probes
	maxTargets = 8  // candidates of one source and protocol
)

// Source says where a candidate comes from.
type Source string

// The sources, the most trusted first.
const (
	FromSRV          Source = "srv"          // RFC 6186 and RFC 8314
	FromAutoconfig   Source = "autoconfig"   // the domain's own file, as Thunderbird reads it
	FromAutodiscover Source = "autodiscover" // the domain's Exchange, only if asked for
	FromISPDB        Source = "ispdb"        // Thunderbird's directory, only if asked for
	FromGuess        Source = "guess"        // usual names and the default ports
)

// sources lists the sources in the order in which they are asked; read only.
var sources = []Source{FromSRV, FromAutoconfig, FromAutodiscover, FromISPDB, FromGuess}

// Candidate is a place where a service may be.
type Candidate struct {
	Protocol   mail.Protocol
	Encryption mail.Encryption
	Host       string // as its source has it, without the trailing dot
	Port       int
	Username   string // the login name that the source asks for; mostly the address
	Source     Source
	Foreign    bool // the host is not in the domain of the address

	priority, weight uint16 // of an SRV record: the lowest first, then the largest
}

// Found is a candidate with the result of a probe without a login.
type Found struct {
	Candidate
	Outcome mail.Outcome
}

// Verified reports whether a password may be sent there: the service speaks its
// protocol, under TLS, with a valid certificate for the host.
func (f *Found) Verified() bool {
	return f.Outcome.Up() && f.Outcome.TLS != nil && f.Outcome.TLS.Verified
}

// Report is what a search found.
type Report struct {
	Address string  // as given, with the domain in ASCII
	Domain  string  // in ASCII
	Found   []Found // the best of each protocol first
	Notes   []string
}

// verified reports whether a protocol has a verified candidate.
func (r *Report) verified(protocol mail.Protocol) bool {
	return slices.ContainsFunc(r.Found, func(f Found) bool { return f.Protocol == protocol && f.Verified() })
}

// Best returns the most trusted candidate of a protocol to which a password may be
// sent; nil: there is none. If the search allows clear text and no candidate is
// verified, it returns one without encryption, but never one on a host that has shown
// a certificate: clear text is no way around a wrong certificate.
func (r *Report) Best(protocol mail.Protocol) *Found {
	shown := map[string]bool{} // hosts, by their certificates
	var clear *Found
	for i := range r.Found {
		f := &r.Found[i]
		switch {
		case f.Protocol != protocol:
		case f.Verified():
			return f
		case f.Outcome.TLS != nil:
			shown[f.Host] = true
		case clear == nil && f.Encryption == mail.NoEncryption && f.Outcome.Up():
			clear = f
		}
	}
	if clear == nil || shown[clear.Host] {
		return nil
	}
	return clear
}

// Options say how to search.
type Options struct {
	// Connect returns a connection without a login for a candidate. Its error means
	// that the candidate is not valid, such as a host with a space in its name.
	Connect func(Candidate) (*mail.Connection, error)
	// Probe is a probe of one connection.
	Probe func(context.Context, *mail.Connection) mail.Outcome

	Resolver  Resolver          // nil: the system's
	Transport http.RoundTripper // for autoconfig; nil: the default one

	AllowClear   bool // also look for services without encryption
	Autodiscover bool // also ask the domain's Exchange, or Microsoft's
	ISPDB        bool // also ask Thunderbird's directory, which learns the domain
}

// Resolver looks up SRV records; net.Resolver does.
type Resolver interface {
	LookupSRV(ctx context.Context, service, proto, name string) (string, []*net.SRV, error)
}

// ErrAddress is the error for what is no mail address.
var ErrAddress = errors.New("is not a mail address such as user@example.org")

// SplitAddress returns the parts of an address, the domain in ASCII and lower case.
func SplitAddress(address string) (local, domain string, err error) {
	parsed, err := netmail.ParseAddress(address)
	if err != nil || parsed.Address != address {
		return "", "", ErrAddress
	}
	at := strings.LastIndexByte(address, '@')
	domain, err = idna.Lookup.ToASCII(address[at+1:])
	if err != nil || !strings.Contains(domain, ".") || net.ParseIP(domain) != nil {
		return "", "", ErrAddress
	}
	return address[:at], strings.ToLower(domain), nil
}

// search is one call of Search.
type search struct {
	Options
	local, domain string

	mu       sync.Mutex
	dials    int
	report   *Report
	declined map[mail.Protocol]int // SRV services that the domain says it does not have
}

// Search finds the services of an address, within 30 seconds and 40 connections. The
// only error is ErrAddress, wrapped. If nothing is found, the Report has no verified
// candidates.
func Search(ctx context.Context, address string, o Options) (*Report, error) {
	local, domain, err := SplitAddress(address)
	if err != nil {
		return nil, err
	}
	if o.Resolver == nil {
		o.Resolver = net.DefaultResolver
	}
	if o.Transport == nil {
		o.Transport = http.DefaultTransport
	}
	ctx, cancel := context.WithTimeout(ctx, maxTime)
	defer cancel()
	s := &search{Options: o, local: local, domain: domain, declined: map[mail.Protocol]int{},
		report: &Report{Address: local + "@" + domain, Domain: domain}}
	s.probe(ctx, s.published(ctx))
	s.probe(ctx, s.guesses())
	slices.SortStableFunc(s.report.Found, compare)
	slices.Sort(s.report.Notes)
	return s.report, nil
}

// compare orders what was found: by protocol, and the best of each first.
func compare(a, b Found) int {
	bad := func(f *Found) int {
		if f.Verified() {
			return 0
		}
		return 1
	}
	implicit := func(f *Found) int { // RFC 8314: preferred
		return slices.Index([]mail.Encryption{mail.ImplicitTLS, mail.StartTLS, mail.NoEncryption}, f.Encryption)
	}
	protocols := mail.Protocols()
	return cmp.Or(
		cmp.Compare(slices.Index(protocols, a.Protocol), slices.Index(protocols, b.Protocol)),
		cmp.Compare(bad(&a), bad(&b)),
		cmp.Compare(slices.Index(sources, a.Source), slices.Index(sources, b.Source)),
		cmp.Compare(a.priority, b.priority),
		cmp.Compare(implicit(&a), implicit(&b)),
		cmp.Compare(b.weight, a.weight), // within one service
		cmp.Compare(a.Host, b.Host))
}

// published asks all sources but guesses, at the same time.
func (s *search) published(ctx context.Context) []Candidate {
	lookups := []func(context.Context) []Candidate{s.srv, s.autoconfig}
	if s.Autodiscover {
		lookups = append(lookups, s.autodiscover)
	}
	if s.ISPDB {
		lookups = append(lookups, s.ispdb)
	}
	answers := make([][]Candidate, len(lookups))
	var asking sync.WaitGroup
	for i, lookup := range lookups {
		asking.Go(func() { answers[i] = lookup(ctx) })
	}
	asking.Wait()
	return slices.Concat(answers...)
}

// probe probes candidates that were not probed yet, several at once.
func (s *search) probe(ctx context.Context, candidates []Candidate) {
	slots := make(chan struct{}, atOnce)
	var probes sync.WaitGroup
	for _, c := range s.fresh(candidates) {
		connection, err := s.Connect(c)
		if err != nil {
			s.note("%s names a server that cannot be used: %v", c.Source, err)
			continue
		}
		if !s.dial() {
			s.note("the search ended after %d connections", maxDials)
			break
		}
		probes.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			found := Found{Candidate: c, Outcome: s.Probe(ctx, connection)}
			s.mu.Lock()
			defer s.mu.Unlock()
			s.report.Found = append(s.report.Found, found)
		})
	}
	probes.Wait()
}

// fresh leaves out candidates that were probed before, and duplicates: the one of the
// most trusted source stays. It also marks foreign hosts.
func (s *search) fresh(candidates []Candidate) []Candidate {
	type place struct {
		protocol   mail.Protocol
		encryption mail.Encryption
		host       string
		port       int
	}
	at := func(c Candidate) place { return place{c.Protocol, c.Encryption, c.Host, c.Port} }
	seen, perSource := map[place]bool{}, map[string]int{}
	for _, f := range s.report.Found {
		seen[at(f.Candidate)] = true
	}
	var list []Candidate
	for _, c := range candidates {
		c.Host = strings.ToLower(strings.TrimSuffix(c.Host, "."))
		c.Foreign = c.Host != s.domain && !strings.HasSuffix(c.Host, "."+s.domain)
		c.Username = cmp.Or(c.Username, s.report.Address)
		group := fmt.Sprint(c.Source, c.Protocol)
		if c.Encryption == mail.NoEncryption && !s.AllowClear || seen[at(c)] {
			continue
		}
		if perSource[group]++; perSource[group] > maxTargets {
			continue
		}
		seen[at(c)] = true
		list = append(list, c)
	}
	return list
}

// dial counts one connection; false: there have been enough.
func (s *search) dial() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dials++
	return s.dials <= maxDials
}

// note keeps a remark for people, once.
func (s *search) note(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if text := fmt.Sprintf(format, args...); !slices.Contains(s.report.Notes, text) {
		s.report.Notes = append(s.report.Notes, text)
	}
}
