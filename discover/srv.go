package discover

// This file reads SRV records (RFC 6186, RFC 8314 section 5).

import (
	"context"
	"errors"
	"net"
	"sync"

	"mailprobe/mail"
)

// service is a name in the DNS. Services whose names do not end in s begin in clear
// text; then STARTTLS is mandatory, unless the search allows clear text.
type service struct {
	name       string
	protocol   mail.Protocol
	encryption mail.Encryption
}

// services are the names that are looked up; read only.
var services = []service{
	{"imaps", mail.IMAP, mail.ImplicitTLS}, {"imap", mail.IMAP, mail.StartTLS},
	{"pop3s", mail.POP3, mail.ImplicitTLS}, {"pop3", mail.POP3, mail.StartTLS},
	{"submissions", mail.SMTP, mail.ImplicitTLS}, {"submission", mail.SMTP, mail.StartTLS},
}

// srv returns the targets of all services. A client would choose at random by the
// weights within a priority; a search takes the largest weight, so that its result is
// always the same.
func (s *search) srv(ctx context.Context) []Candidate {
	answers := make([][]Candidate, len(services))
	var asking sync.WaitGroup
	for i, service := range services {
		asking.Go(func() { answers[i] = s.targets(ctx, service) })
	}
	asking.Wait()
	var all []Candidate
	for _, answer := range answers {
		all = append(all, answer...)
	}
	return all
}

// targets returns the targets of one service. A single target "." means that the
// domain does not offer it.
func (s *search) targets(ctx context.Context, service service) []Candidate {
	_, records, err := s.Resolver.LookupSRV(ctx, service.name, "tcp", s.domain)
	var failure *net.DNSError
	if err != nil && !(errors.As(err, &failure) && failure.IsNotFound) {
		s.note("the SRV records of _%s._tcp.%s could not be looked up", service.name, s.domain)
	}
	var candidates []Candidate
	for _, record := range records {
		if record.Target == "." {
			s.note("%s says by SRV that it has no %s", s.domain, service.name)
			s.mu.Lock()
			s.declined[service.protocol]++
			s.mu.Unlock()
			continue
		}
		c := Candidate{Protocol: service.protocol, Encryption: service.encryption,
			Host: record.Target, Port: int(record.Port), Source: FromSRV, priority: record.Priority, weight: record.Weight}
		candidates = append(candidates, c)
		if c.Encryption == mail.StartTLS { // RFC 6186: the service may have no TLS at all
			c.Encryption = mail.NoEncryption
			candidates = append(candidates, c)
		}
	}
	return candidates
}
