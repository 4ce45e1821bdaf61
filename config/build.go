package config

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"mailprobe/mail"
	"mailprobe/oauth"
)

// builder turns entries into connections. It holds what connections share: names,
// secret files and TLS configurations.
type builder struct {
	*reader
	tokens  Tokens
	tls     *tlsFiles
	names   map[string]origin // where a name is used
	secrets map[string]secretFile
	files   *mail.SecretFiles
	stalled time.Duration // time spent on secret files that could not be read in time

	enabled, disabled []*mail.Connection
	room              []mail.Connection // see keep
	routeList         []*mail.Route
	routeNames        map[string]origin // where a route's name is used

	inlineSecret bool // the file being read contains a secret itself
}

func newBuilder(r *reader, tokens Tokens, files *mail.SecretFiles) *builder {
	return &builder{reader: r, tokens: tokens, files: files, tls: newTLSFiles(), names: map[string]origin{},
		routeNames: map[string]origin{}, secrets: map[string]secretFile{}}
}

// document reads the defaults and the connections of one file.
func (b *builder) document(f *file) {
	b.enter(f.path)
	defaults := freshEntry()
	if f.defaults != nil {
		at := position{line: f.defaults.Line, where: "defaults"}
		b.set = defaults.set
		connectionBlock.read(b.reader, f.defaults, at, defaults)
		if given, is := defaults.set["name"]; is {
			b.fault(at.sub("name").on(given.line), "cannot have a default")
			delete(defaults.set, "name")
		}
	}
	b.inlineSecret = !defaults.password.IsZero() || !defaults.oauth2.clientSecret.IsZero()
	b.connections(f, defaults)
	if b.inlineSecret {
		b.checkMode(b.file, position{})
	}
}

// connections reads the list.
func (b *builder) connections(f *file, defaults *entry) {
	list := f.connections
	blank := position{line: f.set["connections"].line, field: "connections"}
	switch {
	case list == nil && !f.has("connections"):
		return // another file may have it
	case list == nil:
		b.warnf(blank, "is empty: nothing will be probed")
		return
	case !isSequence(list):
		b.fault(position{line: list.Line, field: "connections"}, "must be a list: start each connection with \"- \"")
		return
	case len(list.Content) == 0:
		b.warnf(position{line: list.Line, field: "connections"}, "is empty: nothing will be probed")
	}
	for i, item := range list.Content {
		if c, enabled := b.connection(item, i, defaults); c == nil {
			continue
		} else if enabled {
			b.enabled = append(b.enabled, c)
		} else {
			b.disabled = append(b.disabled, c)
		}
	}
}

// connection reads, validates and completes one entry.
func (b *builder) connection(item *node, index int, defaults *entry) (c *mail.Connection, enabled bool) {
	at := position{line: item.Line, where: fmt.Sprintf("connections[%d]", index)}
	n := resolve(item)
	if !isMapping(n) {
		b.fault(at, "must be a mapping of fields")
		return nil, false
	}
	if name := nameOf(n); name != "" {
		at.where = "connection " + quote(name)
	}
	e := defaults.inherit(item.Line)
	return b.entry(n, at, e), e.enabled
}

// entry reads the fields of a connection over the defaults in e, and builds the
// connection. It returns nil if there is no protocol: no rule can be applied
// without one.
func (b *builder) entry(n *node, at position, e *entry) *mail.Connection {
	b.set = e.set
	connectionBlock.read(b.reader, n, at, e)
	b.claimName(e, at)
	b.want("protocol", string(e.Protocol), e, at)
	b.want("host", e.Host, e, at)
	if e.Protocol == "" {
		return nil
	}
	e.dropUseless()
	e.validate(b.reader, at)
	e.warn(b.reader, at)
	return b.build(e, at)
}

// want reports a required field that has no value, unless it has a fault already.
func (b *builder) want(field, value string, e *entry, at position) {
	if where := e.at(field, at); value == "" && !b.blames(where) {
		b.fault(where, "is missing")
	}
}

// claimName reports a connection without a name, or with one that is in use.
func (b *builder) claimName(e *entry, at position) {
	where := e.at("name", at)
	b.want("name", e.Name, e, at)
	switch other, used := b.names[e.Name]; {
	case e.Name == "":
	case used && other.file == b.file:
		b.faultf(where, "is used twice (also on line %d)", other.line)
	case used:
		b.faultf(where, "is used twice (also in %s:%d)", other.file, other.line)
	default:
		b.names[e.Name] = origin{file: b.file, line: where.line}
	}
}

func (b *builder) build(e *entry, at position) *mail.Connection {
	if host, err := asciiHost(e.Host); err == nil { // an error is a fault already
		e.Host = host
	}
	c := b.keep(e.Connection)
	c.SharedMailboxAccess = e.access()
	c.TLS = b.tls.config(b.reader, e, at)
	c.Password = b.secret(e.password, e.passwordFile, e.at("password_file", at))
	if c.SharedMailboxAccess != mail.SharedLoginName {
		c.LoginNameFormat = "" // it is not used
	}
	if !e.watches() {
		c.WatchMaxAge = 0
	}
	if e.Auth.UsesToken() {
		c.Token = b.token(e, at)
		c.TokenCredential = b.tokenCredential(e)
	}
	joinTexts(c, e.own("labels"))
	return c
}

// keep returns where a connection is kept. Two dozen of them are one object for the garbage
// collector: they are replaced together, by the next load.
func (b *builder) keep(c mail.Connection) *mail.Connection {
	if len(b.room) == cap(b.room) {
		b.room = make([]mail.Connection, 0, 24)
	}
	b.room = append(b.room, c)
	return &b.room[len(b.room)-1]
}

// joinTexts moves the texts of a connection together in memory. As the YAML library
// leaves them, each is an object of its own, and a short one shares it with keys that
// nobody reads any more. Labels that are not the connection's own stay where they are.
func joinTexts(c *mail.Connection, ownLabels bool) {
	texts := []*string{&c.Name, &c.Host, &c.Username, &c.Realm, &c.SharedMailbox, &c.LoginNameFormat,
		&c.Mailbox, &c.Sender, &c.Recipient, &c.EHLO}
	if ownLabels {
		for i := range c.Labels {
			texts = append(texts, &c.Labels[i].Name, &c.Labels[i].Value)
		}
	}
	values := make([]string, len(texts))
	for i, text := range texts {
		values[i] = *text
	}
	joined := strings.Join(values, "")
	for _, text := range texts {
		*text, joined = joined[:len(*text)], joined[len(*text):]
	}
}

// secretFile is the result of trying a secret file once.
type secretFile struct {
	err     error
	remarks []string // see mail.Secret.Remarks
}

// secret returns the source of a secret, and reads it once: a file that cannot be
// read is reported at load, not at the first login.
func (b *builder) secret(inline mail.Secret, file string, where position) mail.SecretSource {
	if file == "" {
		b.inlineSecret = b.inlineSecret || !inline.IsZero()
		return mail.InlineSecret(inline)
	}
	source := b.files.Source(file)
	if b.syntaxOnly {
		return source
	}
	tried, known := b.secrets[file]
	if !known {
		secret, err := b.readSecret(source)
		tried = secretFile{err, secret.Remarks()}
		b.secrets[file] = tried
	}
	if tried.err != nil {
		b.fault(where, tried.err.Error())
		return source
	}
	b.checkMode(file, where)
	for _, remark := range tried.remarks {
		b.warnf(where, "%s: the secret %s", file, remark)
	}
	return source
}

// maxStalled bounds how long one load waits in all for secret files on file
// systems that hang.
const maxStalled = 10 * time.Second

// readSecret reads a secret once. After maxStalled it fails at once, so that a
// file system that hangs does not delay the load by each of its files.
func (b *builder) readSecret(source mail.SecretSource) (mail.Secret, error) {
	ctx, cancel := context.WithTimeoutCause(context.Background(), maxStalled-b.stalled, errSecretsStalled)
	defer cancel()
	start := time.Now()
	secret, err := source.Read(ctx)
	if errors.Is(err, mail.ErrFileStalled) {
		b.stalled += time.Since(start)
	}
	return secret, err
}

var errSecretsStalled = errors.New("other secret files did not answer")

// tokenCredential returns the long-lived secret with which tokens are obtained.
func (b *builder) tokenCredential(e *entry) mail.SecretSource {
	o := e.oauth2
	for _, file := range []string{o.accessTokenFile, o.refreshTokenFile, o.clientSecretFile} {
		if file != "" {
			return b.files.Source(file)
		}
	}
	return mail.InlineSecret(o.clientSecret)
}

// token returns the source of a connection's tokens, after reading its files once.
func (b *builder) token(e *entry, at position) mail.TokenSource {
	o := e.oauth2
	settings := oauth.Settings{TokenURL: o.tokenURL, ClientID: o.clientID, Scopes: o.scopes,
		ClientSecret:     b.secret(o.clientSecret, o.clientSecretFile, e.at("oauth2.client_secret_file", at)),
		RefreshTokenFile: b.secret(mail.Secret{}, o.refreshTokenFile, e.at("oauth2.refresh_token_file", at)),
		AccessTokenFile:  b.secret(mail.Secret{}, o.accessTokenFile, e.at("oauth2.access_token_file", at))}
	if len(b.faults.list) > 0 {
		return nil // with a fault in it, the block may be incomplete
	}
	source, err := b.tokens(settings)
	if err != nil {
		b.fault(e.at("oauth2", at), err.Error())
	}
	return source
}
