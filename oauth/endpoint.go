package oauth

// This file talks to token endpoints. Nothing an endpoint says comes out of it
// but a token: its error bodies, redirects and certificate names may hold
// anything, so that errors are made of our own words.

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"mailprobe/mail"
)

const (
	fetchTimeout  = 10 * time.Second // for one fetch, its redirects and its body
	maxBody       = 64 << 10         // bytes of an answer; the largest honest one is some KiB
	maxHeader     = 32 << 10         // bytes of an answer's header
	maxRedirects  = 3
	maxTokenBytes = 32 << 10
)

// endpoint is a token endpoint and the client that asks it.
type endpoint struct {
	settings  Settings
	host      string // for messages
	transport http.RoundTripper

	// style is how the client proves itself. Most endpoints take the secret as
	// a parameter (Microsoft and Google document only that); those that follow
	// RFC 6749 section 2.3.1 to the letter want it in the header. What works is
	// found out once. Only the one running fetch touches it.
	style oauth2.AuthStyle
}

// credentials are the secrets of one fetch, as they are in the files now.
type credentials struct {
	client  mail.Secret // empty: a public client
	refresh mail.Secret // empty: the client credentials grant
}

// grant is what a fetch returns.
type grant struct {
	access  mail.Secret
	refresh mail.Secret   // empty: the endpoint named none
	life    time.Duration // 0 or less: unknown
}

var (
	errRedirect = errors.New("it redirects to another host or scheme")
	errTooMuch  = errors.New("its answer is larger than 64 KiB")
)

func newEndpoint(settings Settings, options []Option) *endpoint {
	e := &endpoint{settings: settings, style: oauth2.AuthStyleInParams}
	if u, err := url.Parse(settings.TokenURL); err == nil {
		e.host = u.Host
	}
	for _, option := range options {
		option(e)
	}
	if e.transport == nil {
		e.transport = newTransport()
	}
	return e
}

// newTransport makes the transport that a token endpoint is reached with: one
// request an hour is not worth an open connection.
func newTransport() http.RoundTripper {
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DisableKeepAlives:      true,
		DisableCompression:     true,
		MaxResponseHeaderBytes: maxHeader,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
	}
}

// credentials reads the secret files.
func (e *endpoint) credentials(ctx context.Context) (credentials, error) {
	var c credentials
	var err error
	if !e.settings.ClientSecret.IsZero() {
		if c.client, err = e.settings.ClientSecret.Read(ctx); err != nil {
			return c, fmt.Errorf("client_secret: %w: %w", mail.ErrTokenSecret, err)
		}
	}
	if file := e.settings.RefreshTokenFile; !file.IsZero() {
		if c.refresh, err = file.Read(ctx); err != nil {
			return c, fmt.Errorf("refresh_token_file: %w: %w", mail.ErrTokenSecret, err)
		}
	}
	return c, nil
}

// fetch asks for one token. It takes a second request only while it is not yet
// known how the client has to prove itself.
func (e *endpoint) fetch(with credentials) (grant, error) {
	token, err := e.ask(with, e.style)
	if refusesClient(err) && !with.client.IsZero() {
		other := oauth2.AuthStyleInHeader
		if e.style == other {
			other = oauth2.AuthStyleInParams
		}
		if second, secondErr := e.ask(with, other); secondErr == nil {
			token, err, e.style = second, nil, other
		}
	}
	if err != nil {
		return grant{}, e.describe(err)
	}
	return e.accept(token)
}

// ask makes one request. clientcredentials sends the refresh grant as well, and
// with it the scopes, without which Microsoft may return a token for another of
// its services.
func (e *endpoint) ask(with credentials, style oauth2.AuthStyle) (*oauth2.Token, error) {
	config := clientcredentials.Config{
		ClientID:     e.settings.ClientID,
		ClientSecret: with.client.Reveal(),
		TokenURL:     e.settings.TokenURL,
		Scopes:       e.settings.Scopes,
		AuthStyle:    style,
	}
	if !with.refresh.IsZero() {
		config.EndpointParams = url.Values{
			"grant_type":    {"refresh_token"},
			"refresh_token": {with.refresh.Reveal()},
		}
	}
	bounded := &boundedTransport{RoundTripper: e.transport}
	client := &http.Client{Transport: bounded, CheckRedirect: stayHere, Timeout: fetchTimeout}
	token, err := config.Token(context.WithValue(context.Background(), oauth2.HTTPClient, client))
	if err != nil && bounded.err != nil {
		err = bounded.err // the library keeps only its text
	}
	return token, err
}

// stayHere follows redirects only within the same scheme and host: the request
// carries the client's secret.
func stayHere(request *http.Request, via []*http.Request) error {
	first := via[0].URL
	if len(via) > maxRedirects || request.URL.Scheme != first.Scheme || request.URL.Host != first.Host {
		return errRedirect
	}
	return nil
}

// boundedTransport ends answers that are too long. It serves one fetch.
type boundedTransport struct {
	http.RoundTripper
	err error // why a body could not be read to its end
}

// RoundTrip bounds the body as it is read.
func (t *boundedTransport) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := t.RoundTripper.RoundTrip(request)
	if err == nil {
		response.Body = &boundedBody{ReadCloser: response.Body, left: maxBody, fetch: t}
	}
	return response, err
}

type boundedBody struct {
	io.ReadCloser
	left  int
	fetch *boundedTransport
}

// Read fails once more than the bound has come.
func (b *boundedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.left -= n; b.left < 0 {
		n, err = 0, errTooMuch
	}
	if err != nil && err != io.EOF {
		b.fetch.err = err
	}
	return n, err
}

// accept checks that the token can be used on a mail server at all.
func (e *endpoint) accept(token *oauth2.Token) (grant, error) {
	if token.Type() != "Bearer" {
		return grant{}, e.unavailable("its token is not of type Bearer")
	}
	if len(token.AccessToken) > maxTokenBytes || !mail.Visible(token.AccessToken) {
		return grant{}, e.unavailable("its token is too long, or contains characters that are not allowed")
	}
	g := grant{access: mail.NewSecret(token.AccessToken), refresh: mail.NewSecret(token.RefreshToken)}
	if !token.Expiry.IsZero() {
		g.life = time.Until(token.Expiry)
	}
	return g, nil
}

// rejections are the error codes that say no until a person changes something:
// RFC 6749 section 5.2, OpenID Connect Core section 3.1.2.6, and section 4.1.2.1
// as some endpoints use it. The words come from here, never from the endpoint.
var rejections = map[string]string{
	"invalid_grant":          "invalid_grant: the refresh token or the consent is no longer valid",
	"invalid_client":         "invalid_client: client_id or client_secret is wrong or has expired",
	"unauthorized_client":    "unauthorized_client: the client may not use this grant",
	"unsupported_grant_type": "unsupported_grant_type: the endpoint does not support this grant",
	"invalid_scope":          "invalid_scope: a scope is wrong or not granted",
	"invalid_request":        "invalid_request: the endpoint rejects the request as malformed",
	"access_denied":          "access_denied",
	"interaction_required":   "interaction_required: a person has to sign in again",
	"consent_required":       "consent_required: a person has to consent",
	"login_required":         "login_required: a person has to sign in again",
}

// refusesClient reports whether the endpoint did not know the client, which may
// only mean that it looked for its secret in another place.
func refusesClient(err error) bool {
	var no *oauth2.RetrieveError
	return errors.As(err, &no) && no.Response.StatusCode < 500 &&
		(errorCode(no) == "invalid_client" || no.Response.StatusCode == http.StatusUnauthorized)
}

// describe says in our own words why a fetch failed.
func (e *endpoint) describe(err error) error {
	var no *oauth2.RetrieveError
	if errors.As(err, &no) {
		return e.describeAnswer(no)
	}
	var (
		network  net.Error
		name     *net.DNSError
		untrust  *tls.CertificateVerificationError
		dialling *net.OpError
	)
	switch {
	case errors.Is(err, errRedirect):
		return e.unavailable(errRedirect.Error())
	case errors.Is(err, errTooMuch):
		return e.unavailable(errTooMuch.Error())
	case errors.As(err, &network) && network.Timeout():
		return e.unavailable("no answer in time")
	case errors.As(err, &name):
		return e.unavailable("its name does not resolve")
	case errors.As(err, &untrust):
		return e.unavailable("its certificate is not trusted")
	case errors.As(err, &dialling) && dialling.Op == "dial":
		return e.unavailable("the connection failed")
	case errors.As(err, &dialling), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return e.unavailable("the connection broke")
	}
	return e.unavailable("its answer contains no token")
}

// describeAnswer sorts an answer that says no.
func (e *endpoint) describeAnswer(no *oauth2.RetrieveError) error {
	status := no.Response.StatusCode
	if status == http.StatusTooManyRequests || status == http.StatusRequestTimeout || status >= 500 {
		return e.unavailable(fmt.Sprintf("answered %d", status))
	}
	if words, ok := rejections[errorCode(no)]; ok {
		return fmt.Errorf("%w by %s: %s", mail.ErrTokenRejected, e.host, words)
	}
	if status == http.StatusUnauthorized {
		return fmt.Errorf("%w by %s: answered 401", mail.ErrTokenRejected, e.host)
	}
	return e.unavailable(fmt.Sprintf("answered %d", status))
}

// errorCode is the endpoint's error code, also where the answer calls its JSON
// plain text. It is for looking up only.
func errorCode(no *oauth2.RetrieveError) string {
	if no.ErrorCode != "" {
		return no.ErrorCode
	}
	var body struct {
		Error string `json:"error"`
	}
	_ = json.Unmarshal(no.Body, &body) // what is no JSON has no code
	return body.Error
}

func (e *endpoint) unavailable(why string) error {
	return fmt.Errorf("%w: token endpoint %s: %s", mail.ErrTokenUnavailable, e.host, why)
}
