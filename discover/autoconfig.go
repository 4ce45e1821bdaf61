package discover

// This file reads the files of Thunderbird's autoconfiguration, from the domain
// itself or from Thunderbird's directory (ISPDB), and Exchange's Autodiscover.

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"mailprobe/mail"
)

const (
	maxXML       = 64 << 10 // bytes
	maxRedirects = 3
	requestTime  = 10 * time.Second
)

// autoconfig asks the domain itself, in two places.
func (s *search) autoconfig(ctx context.Context) []Candidate {
	query := "?emailaddress=" + url.QueryEscape(s.report.Address)
	for _, place := range []string{
		"https://autoconfig." + s.domain + "/mail/config-v1.1.xml" + query,
		"https://" + s.domain + "/.well-known/autoconfig/mail/config-v1.1.xml",
	} {
		if candidates := s.clientConfig(ctx, place, FromAutoconfig); len(candidates) > 0 {
			return candidates
		}
	}
	return nil
}

// ispdb asks Thunderbird's directory, which learns the domain.
func (s *search) ispdb(ctx context.Context) []Candidate {
	return s.clientConfig(ctx, "https://autoconfig.thunderbird.net/v1.1/"+url.PathEscape(s.domain), FromISPDB)
}

// clientConfig fetches and reads one file.
func (s *search) clientConfig(ctx context.Context, place string, source Source) []Candidate {
	raw, err := s.fetch(ctx, http.MethodGet, place, nil)
	var certificate *tls.CertificateVerificationError
	if errors.As(err, &certificate) {
		s.note("the %s file was not read: %v", source, certificate.Err)
	}
	if err != nil {
		return nil // most domains have none
	}
	candidates, err := s.parseClientConfig(raw, source)
	if err != nil {
		s.note("the %s file of %s is not usable: %v", source, s.domain, err)
	}
	return candidates
}

// clientConfig is the part of the file that matters.
type clientConfig struct {
	Providers []struct {
		Incoming []serverConfig `xml:"incomingServer"`
		Outgoing []serverConfig `xml:"outgoingServer"`
	} `xml:"emailProvider"`
}

type serverConfig struct {
	Type     string `xml:"type,attr"`
	Host     string `xml:"hostname"`
	Port     int    `xml:"port"`
	Socket   string `xml:"socketType"`
	Username string `xml:"username"`
}

// socketTypes are the words for encryption; read only.
var socketTypes = map[string]mail.Encryption{"SSL": mail.ImplicitTLS, "STARTTLS": mail.StartTLS, "plain": mail.NoEncryption}

// protocolTypes are the words for protocols; read only.
var protocolTypes = map[string]mail.Protocol{"imap": mail.IMAP, "pop3": mail.POP3, "smtp": mail.SMTP}

func (s *search) parseClientConfig(raw []byte, source Source) ([]Candidate, error) {
	var file clientConfig
	if err := decodeXML(raw, &file); err != nil {
		return nil, err
	}
	fill := strings.NewReplacer("%EMAILADDRESS%", s.report.Address, "%EMAILLOCALPART%", s.local, "%EMAILDOMAIN%", s.domain)
	var candidates []Candidate
	for _, provider := range file.Providers {
		for _, server := range append(provider.Incoming, provider.Outgoing...) {
			protocol, encryption := protocolTypes[server.Type], socketTypes[server.Socket]
			if protocol == "" || encryption == "" {
				continue // another kind of service
			}
			candidates = append(candidates, Candidate{Protocol: protocol, Encryption: encryption, Source: source,
				Host: strings.TrimSpace(fill.Replace(server.Host)), Port: server.Port, Username: strings.TrimSpace(fill.Replace(server.Username))})
		}
	}
	return candidates, nil
}

// autodiscoverRequest asks for the settings of IMAP, POP and SMTP (MS-OXDSCLI).
// The address was parsed and contains no special character of XML; it is escaped
// nevertheless.
const autodiscoverRequest = `<?xml version="1.0" encoding="utf-8"?>
<Autodiscover xmlns="http://schemas.microsoft.com/exchange/autodiscover/outlook/requestschema/2006">
<Request><EMailAddress>%s</EMailAddress>
<AcceptableResponseSchema>http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a</AcceptableResponseSchema>
</Request></Autodiscover>`

// autodiscover asks the Exchange server of the domain. If that demands a login, the
// search goes on without it, because a search sends no credential.
func (s *search) autodiscover(ctx context.Context) []Candidate {
	var address bytes.Buffer
	if err := xml.EscapeText(&address, []byte(s.report.Address)); err != nil {
		return nil
	}
	body := fmt.Appendf(nil, autodiscoverRequest, address.String())
	for _, host := range []string{s.domain, "autodiscover." + s.domain} {
		raw, err := s.fetch(ctx, http.MethodPost, "https://"+host+"/autodiscover/autodiscover.xml", body)
		if err != nil {
			continue
		}
		candidates, err := parseAutodiscover(raw)
		if err != nil {
			s.note("the Autodiscover answer of %s is not usable: %v", s.domain, err)
		}
		if len(candidates) > 0 {
			return candidates
		}
	}
	return nil
}

func parseAutodiscover(raw []byte) ([]Candidate, error) {
	var answer struct {
		Protocols []struct {
			Type, Server, LoginName string
			Port                    int
			SSL, Encryption         string
		} `xml:"Response>Account>Protocol"`
	}
	if err := decodeXML(raw, &answer); err != nil {
		return nil, err
	}
	protocols := map[string]mail.Protocol{"IMAP": mail.IMAP, "POP3": mail.POP3, "SMTP": mail.SMTP}
	var candidates []Candidate
	for _, p := range answer.Protocols {
		protocol, encryption := protocols[strings.ToUpper(p.Type)], mail.ImplicitTLS
		switch {
		case protocol == "":
			continue
		case strings.EqualFold(p.SSL, "off") || strings.EqualFold(p.Encryption, "none"):
			encryption = mail.NoEncryption
		case strings.EqualFold(p.Encryption, "TLS"): // its word for STARTTLS
			encryption = mail.StartTLS
		}
		candidates = append(candidates, Candidate{Protocol: protocol, Encryption: encryption, Source: FromAutodiscover,
			Host: strings.TrimSpace(p.Server), Port: p.Port, Username: strings.TrimSpace(p.LoginName)})
	}
	return candidates, nil
}

var (
	errTooLarge  = fmt.Errorf("it is larger than %d KiB", maxXML>>10)
	errDirective = errors.New("it holds a DTD, which could define entities")
)

// decodeXML decodes XML without a DTD. Such files have none, and a DTD could define
// entities that grow without bound.
func decodeXML(raw []byte, to any) error {
	if len(raw) > maxXML {
		return errTooLarge
	}
	tokens := xml.NewDecoder(bytes.NewReader(raw))
	for {
		token, err := tokens.RawToken()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return errors.New("it is not valid XML")
		}
		if _, is := token.(xml.Directive); is {
			return errDirective
		}
	}
	if err := xml.Unmarshal(raw, to); err != nil {
		return errors.New("it is not valid XML")
	}
	return nil
}

// fetch is one request. Redirects to anything but https are not followed.
func (s *search) fetch(ctx context.Context, method, place string, body []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTime)
	defer cancel()
	if !s.dial() {
		return nil, errors.New("enough connections")
	}
	client := &http.Client{Transport: s.Transport, CheckRedirect: func(next *http.Request, before []*http.Request) error {
		if next.URL.Scheme != "https" || next.URL.User != nil || len(before) > maxRedirects || !s.dial() {
			return errors.New("the redirect is not followed")
		}
		return nil
	}}
	request, err := http.NewRequestWithContext(ctx, method, place, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if body != nil {
		request.Header.Set("Content-Type", "text/xml; charset=utf-8")
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, errors.New(response.Status)
	}
	return io.ReadAll(io.LimitReader(response.Body, maxXML+1))
}
