// Package oauth gets access tokens to connections that log in with XOAUTH2 or
// OAUTHBEARER: by client credentials or a refresh token from a token endpoint
// (RFC 6749 sections 4.4 and 6), or from a file that another program renews.
//
// The rest of the program sees only a prober.TokenSource.
package oauth

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"mailprobe/mail"
)

// Settings say where tokens come from. There is either an AccessTokenFile and
// nothing else, or a TokenURL with a ClientID.
type Settings struct {
	TokenURL     string // https; http only to a loopback address
	ClientID     string
	ClientSecret mail.SecretSource // zero: a public client, with a refresh token only
	Scopes       []string          // sent in this order; empty: the endpoint's default

	RefreshTokenFile mail.SecretSource // zero: the client's own credentials are the grant
	AccessTokenFile  mail.SecretSource // read again at each call
}

// Validate says what is wrong, in the words of the configuration; all of it.
func (s Settings) Validate() error {
	if !s.AccessTokenFile.IsZero() {
		if s.TokenURL != "" || s.ClientID != "" || !s.ClientSecret.IsZero() || len(s.Scopes) > 0 || !s.RefreshTokenFile.IsZero() {
			return errors.New("access_token_file: cannot be combined with another field")
		}
		return nil
	}
	var faults []error
	if err := CheckURL(s.TokenURL); err != nil {
		faults = append(faults, fmt.Errorf("token_url: %w", err))
	}
	if s.ClientID == "" {
		faults = append(faults, errors.New("client_id: is missing"))
	}
	if s.ClientSecret.IsZero() && s.RefreshTokenFile.IsZero() {
		faults = append(faults, errors.New("client_secret: is missing; without it a refresh_token_file is needed"))
	}
	for _, scope := range s.Scopes {
		if scope == "" || strings.ContainsAny(scope, " \t\r\n") {
			faults = append(faults, errors.New("scopes: one entry is one scope, without spaces"))
			break
		}
	}
	return errors.Join(faults...)
}

// CheckURL says what is wrong with the URL of a token endpoint: it must be https,
// or http on this machine. Its errors never quote the URL: a password may have
// been written into it.
func CheckURL(raw string) error {
	if raw == "" {
		return errors.New("is missing")
	}
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.Host == "" || u.Hostname() == "":
		return errors.New("is not a URL with a host")
	case u.User != nil:
		return errors.New("must not contain a user or password; use client_id and client_secret")
	case u.Fragment != "":
		return errors.New("must not have a fragment")
	case u.Scheme == "https", u.Scheme == "http" && isLoopback(u.Hostname()):
		return nil
	case u.Scheme == "http":
		return errors.New("must be https: the client secret would cross the network in clear text")
	}
	return errors.New("must be https")
}

// isLoopback reports whether a host is this machine without asking a resolver.
func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}

// Option changes how a token endpoint is reached.
type Option func(*endpoint)

// WithTransport replaces the HTTP transport. The bounds on time, body and
// redirects hold with any.
func WithTransport(transport http.RoundTripper) Option {
	return func(e *endpoint) { e.transport = transport }
}

// New makes a source of its own for the settings; connections with equal
// settings should rather share one, see Sources. It opens no connection and
// reads no file.
func New(settings Settings, options ...Option) (mail.TokenSource, error) {
	if err := settings.Validate(); err != nil {
		return nil, err
	}
	if !settings.AccessTokenFile.IsZero() {
		return fileSource(settings.AccessTokenFile), nil
	}
	settings.Scopes = slices.Clone(settings.Scopes)
	return newSource(newEndpoint(settings, options)).token, nil
}

// fileSource reads the token anew at each call, so that there is nothing that
// could be stale.
func fileSource(file mail.SecretSource) mail.TokenSource {
	return func(ctx context.Context, _ bool) (mail.Secret, error) {
		token, err := file.Read(ctx)
		if err != nil {
			return mail.Secret{}, fmt.Errorf("access_token_file: %w: %w", mail.ErrTokenSecret, err)
		}
		return token, nil
	}
}

// Sources returns one source for connections with equal settings, so that a token is
// fetched once for all of them. It belongs to one loaded configuration. The
// zero value is ready; it is not safe for concurrent use, its sources are.
type Sources struct {
	Options []Option // for the sources that are made

	current  map[key]mail.TokenSource
	previous map[key]mail.TokenSource
}

// key is what makes two settings equal.
type key struct {
	tokenURL, clientID string
	scopes             string

	clientSecret, refresh, access mail.SecretSource
}

// Source is the source for the settings: a new one only if no connection of
// this configuration or of the one before has asked for an equal one.
func (s *Sources) Source(settings Settings) (mail.TokenSource, error) {
	k := key{settings.TokenURL, settings.ClientID, strings.Join(settings.Scopes, " "),
		settings.ClientSecret, settings.RefreshTokenFile, settings.AccessTokenFile}
	if source := s.current[k]; source != nil {
		return source, nil
	}
	source := s.previous[k]
	if source == nil {
		var err error
		if source, err = New(settings, s.Options...); err != nil {
			return nil, err
		}
	}
	if s.current == nil {
		s.current = map[key]mail.TokenSource{}
	}
	s.current[k] = source
	return source, nil
}

// Next is the set for a configuration that is about to be loaded. It takes over
// the sources it is asked for again, with their tokens and their rotated refresh
// tokens. If the load fails, it is thrown away and s stays in use; if it
// succeeds, s is thrown away, and with it the sources that were not asked for. A nil s
// is an empty one.
func (s *Sources) Next() *Sources {
	if s == nil {
		return &Sources{}
	}
	return &Sources{Options: s.Options, previous: s.current}
}
