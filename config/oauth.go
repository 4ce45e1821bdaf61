package config

import (
	"strings"
	"unicode"

	"mailprobe/mail"
	"mailprobe/oauth"
)

var oauthBlock = block[oauthEntry]{
	meaning: "Where the token of `xoauth2` and `oauthbearer` comes from: either access_token_file, or token_url with client_id and a client secret (client credentials) or a refresh token.",
	fresh:   func() *oauthEntry { return &oauthEntry{} },
	fields: []field[oauthEntry]{
		{name: "token_url", is: text(func(o *oauthEntry) *string { return &o.tokenURL }, tokenURL), def: "empty",
			meaning: "Token endpoint, https (http only on this machine).", example: "https://login.example.org/token"},
		{name: "client_id", is: text(func(o *oauthEntry) *string { return &o.clientID }, trimmed), def: "empty",
			meaning: "ID of the registered application.", example: "mailprobe"},
		{name: "client_secret", is: secret(func(o *oauthEntry) *mail.Secret { return &o.clientSecret }), def: "empty",
			meaning: "Its secret, in the configuration itself. `client_secret_file` is safer.", example: "'*********'"},
		{name: "client_secret_file", is: path(func(o *oauthEntry) *string { return &o.clientSecretFile }), def: "empty",
			meaning: "File with its secret, read again before each request.", example: "secrets/oauth-client"},
		{name: "scopes", is: words(func(o *oauthEntry) *[]string { return &o.scopes }), def: "none",
			meaning: "Scopes to ask for.", example: "[https://outlook.office365.com/.default]"},
		{name: "refresh_token_file", is: path(func(o *oauthEntry) *string { return &o.refreshTokenFile }), def: "empty",
			meaning: "File with a refresh token. If the endpoint issues a new one, it is kept in memory until mailprobe exits, not written back.", example: "secrets/refresh-token"},
		{name: "access_token_file", is: path(func(o *oauthEntry) *string { return &o.accessTokenFile }), def: "empty",
			meaning: "File with an access token that something else keeps fresh, read again before each login.", example: "secrets/access-token"},
	},
}

// tokenURL applies the oauth package's check to the field, so that a fault has a
// line.
func tokenURL(v string) string {
	if v == "" {
		return ""
	}
	if err := oauth.CheckURL(v); err != nil {
		return err.Error()
	}
	return ""
}

func hasSpace(v string) bool { return strings.ContainsFunc(v, unicode.IsSpace) }

// fromEndpoint reports whether any setting of the token endpoint is given.
func (o *oauthEntry) fromEndpoint() bool {
	return o.tokenURL != "" || o.clientID != "" || o.hasSecret() || o.refreshTokenFile != "" || len(o.scopes) > 0
}

func (o *oauthEntry) hasSecret() bool { return !o.clientSecret.IsZero() || o.clientSecretFile != "" }

// asks reports whether tokens are requested from an endpoint.
func (e *entry) asks() bool {
	return e.Auth.UsesToken() && e.oauth2.accessTokenFile == "" && e.oauth2.fromEndpoint()
}

var oauthRules = []rule{
	{"oauth2", func(e *entry) bool {
		return !e.Auth.UsesToken() && (e.oauth2.fromEndpoint() || e.oauth2.accessTokenFile != "")
	},
		"is only for auth xoauth2 and oauthbearer"},
	{"oauth2", func(e *entry) bool {
		return e.Auth.UsesToken() && e.oauth2.accessTokenFile == "" && !e.oauth2.fromEndpoint()
	},
		"is missing: xoauth2 and oauthbearer need access_token_file or token_url in it"},
	{"oauth2.access_token_file", func(e *entry) bool {
		return e.Auth.UsesToken() && e.oauth2.accessTokenFile != "" && e.oauth2.fromEndpoint()
	},
		"cannot be combined with token_url, a client or a refresh token"},
	{"oauth2.token_url", func(e *entry) bool { return e.asks() && e.oauth2.tokenURL == "" }, "is missing"},
	{"oauth2.client_id", func(e *entry) bool { return e.asks() && e.oauth2.clientID == "" }, "is missing"},
	{"oauth2.client_secret_file", func(e *entry) bool {
		return e.asks() && !e.oauth2.clientSecret.IsZero() && e.oauth2.clientSecretFile != ""
	},
		"is set together with client_secret: use one of them"},
	{"oauth2.client_secret_file", func(e *entry) bool { return e.asks() && !e.oauth2.hasSecret() && e.oauth2.refreshTokenFile == "" },
		"is missing: without a refresh token the client needs its secret"},
}
