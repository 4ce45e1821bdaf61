package config

import (
	"fmt"

	"mailprobe/mail"
	"mailprobe/oauth"
)

// builder makes connections of entries. What they share is made once: names,
// secret files, tls.Configs.
type builder struct {
	*reader
	tokens  Tokens
	tls     *tlsFiles
	names   map[string]int // the line that uses a name
	secrets map[string]error

	inlineSecret bool // the file itself holds a secret
}

func newBuilder(r *reader, tokens Tokens) *builder {
	return &builder{reader: r, tokens: tokens, tls: newTLSFiles(), names: map[string]int{}, secrets: map[string]error{}}
}

// connections reads the list.
func (b *builder) connections(list *node, defaults *entry) []*mail.Connection {
	switch {
	case list == nil:
		if blank, given := b.top["connections"]; given {
			b.warnf(place{line: blank.line, field: "connections"}, "is empty: nothing will be probed")
		} else {
			b.fault(place{field: "connections"}, "is missing")
		}
		return nil
	case !isSequence(list):
		b.fault(place{line: list.Line, field: "connections"}, "must be a list: start each connection with \"- \"")
		return nil
	case len(list.Content) == 0:
		b.warnf(place{line: list.Line, field: "connections"}, "is empty: nothing will be probed")
	}
	connections := make([]*mail.Connection, 0, len(list.Content))
	for i, item := range list.Content {
		if c := b.connection(item, i, defaults); c != nil {
			connections = append(connections, c)
		}
	}
	return connections
}

// connection reads, judges and completes one entry.
func (b *builder) connection(item *node, index int, defaults *entry) *mail.Connection {
	at := place{line: item.Line, where: fmt.Sprintf("connections[%d]", index)}
	n := resolve(item)
	if !isMapping(n) {
		b.fault(at, "must be a mapping of fields")
		return nil
	}
	if name := nameOf(n); name != "" {
		at.where = "connection " + quote(name)
	}
	e := defaults.inherit(item.Line)
	b.set = e.set
	connectionBlock.read(b.reader, n, at, e)
	b.claimName(e, at)
	b.want("protocol", string(e.protocol), e, at)
	b.want("host", e.host, e, at)
	if e.protocol == "" {
		return nil // nothing else can be judged
	}
	e.dropUseless()
	e.judge(b.reader, at)
	e.warn(b.reader, at)
	return b.build(e, at)
}

// want reports a field that has no value and no fault yet.
func (b *builder) want(field, value string, e *entry, at place) {
	if where := e.at(field, at); value == "" && !b.faults.blames(where) {
		b.fault(where, "is missing")
	}
}

// claimName makes sure that a name is used once.
func (b *builder) claimName(e *entry, at place) {
	where := e.at("name", at)
	b.want("name", e.name, e, at)
	switch line, used := b.names[e.name]; {
	case e.name == "":
	case used:
		b.faultf(where, "is used twice (also on line %d)", line)
	default:
		b.names[e.name] = where.line
	}
}

func (b *builder) build(e *entry, at place) *mail.Connection {
	host, err := asciiHost(e.host)
	if err != nil {
		host = e.host // a fault already
	}
	e.host = host
	c := &mail.Connection{
		Name: e.name, Protocol: e.protocol, Encryption: e.encryption, Host: host, Port: e.port,
		Username: e.username, Auth: e.auth,
		SharedMailbox: e.sharedMailbox, SharedMailboxAccess: e.access(),
		CheckMailbox: e.checkMailbox, Mailbox: e.mailbox, Sender: e.sender, Recipient: e.recipient,
		Interval: e.interval, Timeout: e.timeout, ProbeOnScrape: e.probeOnScrape,
		IPProtocol: e.ipProtocol, EHLO: e.ehlo, TLS: b.tls.config(b.reader, e, at),
		Lockout: e.lockout, HeldProbe: e.heldProbe, Labels: sortedLabels(e.labels),
		Source: fmt.Sprintf("%s:%d", b.file, e.line),
	}
	c.Password = b.secret(e.password, e.passwordFile, e.at("password_file", at))
	if c.SharedMailboxAccess == mail.SharedLoginName {
		c.LoginNameFormat = e.loginNameFormat
	}
	if e.usesToken() {
		c.Token = b.token(e, at)
		c.TokenCredential = b.tokenCredential(e)
	}
	return c
}

// secret makes a source and tries it: a secret that cannot be read is a fault
// at load, not at three in the morning.
func (b *builder) secret(inline mail.Secret, file string, where place) mail.SecretSource {
	if file == "" {
		b.inlineSecret = b.inlineSecret || !inline.IsZero()
		return mail.InlineSecret(inline)
	}
	source := mail.FileSecret(file)
	err, known := b.secrets[file]
	if !known {
		_, err = source.Read()
		b.secrets[file] = err
	}
	if err != nil {
		b.fault(where, err.Error())
	} else {
		b.checkMode(file, where)
	}
	return source
}

// tokenCredential is the secret that stands behind a connection's tokens.
func (b *builder) tokenCredential(e *entry) mail.SecretSource {
	o := e.oauth2
	for _, file := range []string{o.accessTokenFile, o.refreshTokenFile, o.clientSecretFile} {
		if file != "" {
			return mail.FileSecret(file)
		}
	}
	return mail.InlineSecret(o.clientSecret)
}

// token makes the source of a connection's tokens, after its files were tried.
func (b *builder) token(e *entry, at place) mail.TokenSource {
	o := e.oauth2
	settings := oauth.Settings{TokenURL: o.tokenURL, ClientID: o.clientID, Scopes: o.scopes,
		RefreshTokenFile: o.refreshTokenFile, AccessTokenFile: o.accessTokenFile}
	settings.ClientSecret = b.secret(o.clientSecret, o.clientSecretFile, e.at("oauth2.client_secret_file", at))
	b.secret(mail.Secret{}, o.refreshTokenFile, e.at("oauth2.refresh_token_file", at))
	b.secret(mail.Secret{}, o.accessTokenFile, e.at("oauth2.access_token_file", at))
	if len(b.faults.list) > 0 {
		return nil // it could not be used, and might be half filled
	}
	source, err := b.tokens(settings)
	if err != nil {
		b.fault(e.at("oauth2", at), err.Error())
	}
	return source
}
