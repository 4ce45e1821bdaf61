package config

// This file knows which settings contradict each other. A setting that is written
// in a connection and cannot be obeyed is a fault; an inherited one is dropped.

import (
	"net/netip"
	"slices"

	"mailprobe/mail"
)

// rule is a condition that must not hold, the field that the fault names, and the
// text of the fault.
type rule struct {
	field  string
	broken func(e *entry) bool
	text   string
}

func (e *entry) uses(methods ...mail.AuthMethod) bool { return slices.Contains(methods, e.Auth) }

// usesPassword reports whether the login needs the password.
func (e *entry) usesPassword() bool {
	return e.Username != "" && !e.Auth.UsesToken() && !e.uses(mail.AuthNone, mail.AuthExternal)
}

func (e *entry) hasPassword() bool { return !e.password.IsZero() || e.passwordFile != "" }

// inheritedDrop is a setting of `defaults` that a connection has no use for.
type inheritedDrop struct {
	field   string
	useless func(e *entry) bool
}

// inheritedDrops are applied in this order: a later one sees what earlier ones
// have dropped.
var inheritedDrops = []inheritedDrop{
	{"auth", func(e *entry) bool { return e.Username == "" }},
	{"mailbox", func(e *entry) bool { return !e.LogsIn() }},
	{"password", func(e *entry) bool { return !e.usesPassword() || e.own("password_file") && e.passwordFile != "" }},
	{"password_file", func(e *entry) bool { return !e.usesPassword() || e.own("password") && !e.password.IsZero() }},
	{"oauth2", func(e *entry) bool { return !e.Auth.UsesToken() }},
	{"tls_config", func(e *entry) bool { return e.Encryption == mail.NoEncryption }},
	{"shared_mailbox", func(e *entry) bool { return e.Username == "" }},
	{"shared_mailbox_access", func(e *entry) bool { return e.SharedMailbox == "" }},
	{"login_name_format", func(e *entry) bool { return e.access() != mail.SharedLoginName }},
	{"sender", func(e *entry) bool { return e.access() == mail.SharedSender }},
	{"recipient", func(e *entry) bool { return e.Sender == "" && e.access() != mail.SharedSender }},
	{"check_mailbox", func(e *entry) bool {
		return e.access() == mail.SharedSender || e.access() == mail.SharedFolder || !e.LogsIn() && e.Protocol != mail.SMTP
	}},
	{"watch", func(e *entry) bool {
		return !e.LogsIn() || !e.CheckMailbox || e.Protocol == mail.POP3 && e.Watch == mail.WatchUnread
	}},
	{"watch_max_age", func(e *entry) bool { return !e.watches() }},
	{"watch_expect_every", func(e *entry) bool { return !e.watches() }},
}

// watches reports whether the probe looks for waiting messages.
func (e *entry) watches() bool { return e.Watch != mail.WatchNone }

// access returns shared_mailbox_access with `auto` resolved; empty: there is no
// shared mailbox.
func (e *entry) access() mail.SharedAccess {
	switch {
	case e.SharedMailbox == "":
		return ""
	case e.SharedMailboxAccess != mail.SharedAuto:
		return e.SharedMailboxAccess
	case e.Protocol == mail.SMTP:
		return mail.SharedSender
	case e.Auth.UsesToken():
		return mail.SharedTokenUser
	}
	return mail.SharedLoginName
}

// dropUseless drops inherited settings that do not apply to this connection.
func (e *entry) dropUseless() {
	fresh := freshEntry()
	drop := func(name string) {
		i := slices.IndexFunc(connectionBlock.fields, func(f field[entry]) bool { return f.name == name })
		connectionBlock.fields[i].is.copy(e, fresh)
		delete(e.set, name)
	}
	for _, f := range connectionBlock.fields {
		if f.only != nil && !slices.Contains(f.only, e.Protocol) && !e.own(f.name) {
			drop(f.name)
		}
	}
	for _, l := range inheritedDrops {
		if !e.own(l.field) && l.useless(e) {
			drop(l.field)
		}
	}
	e.dropUselessOAuth()
}

// dropUselessOAuth drops inherited fields of oauth2 if the connection itself
// chooses another way to get a token.
func (e *entry) dropUselessOAuth() {
	o := &e.oauth2
	if e.own("oauth2.client_secret_file") && !e.own("oauth2.client_secret") {
		o.clientSecret = mail.Secret{}
	}
	if e.own("oauth2.client_secret") && !e.own("oauth2.client_secret_file") {
		o.clientSecretFile = ""
	}
	ownEndpoint := slices.ContainsFunc(oauthBlock.names(), func(name string) bool {
		return name != "access_token_file" && e.own("oauth2."+name)
	})
	switch ownFile := e.own("oauth2.access_token_file"); {
	case ownFile && !ownEndpoint && o.accessTokenFile != "":
		*o = oauthEntry{accessTokenFile: o.accessTokenFile}
	case ownEndpoint && !ownFile:
		o.accessTokenFile = ""
	}
}

var rules = slices.Concat(loginRules, sharedRules, watchRules, tlsRules, oauthRules)

const needsLogin = "needs a login: set username, and auth to another value than none"

var loginRules = []rule{
	{"password_file", func(e *entry) bool { return !e.password.IsZero() && e.passwordFile != "" },
		"is set together with password: use one of them"},
	{"password", func(e *entry) bool { return e.usesPassword() && !e.hasPassword() && e.own("password") },
		"is empty; one that begins with # or & needs quotes"},
	{"password_file", func(e *entry) bool {
		return e.usesPassword() && !e.hasPassword() && e.own("password_file") && !e.own("password")
	}, "is empty"},
	{"password_file", func(e *entry) bool {
		return e.usesPassword() && !e.hasPassword() && !e.own("password") && !e.own("password_file")
	}, "is missing: to log in, username needs password_file (or password), or auth: none"},
	{"username", func(e *entry) bool { return e.Username == "" && e.hasPassword() }, "is missing: there is a password, but no user to log in"},
	{"username", func(e *entry) bool {
		return e.Username == "" && !e.hasPassword() && !e.uses(mail.AuthAuto, mail.AuthNone)
	}, "is missing: auth is set, but there is no user to log in"},
	{"auth", func(e *entry) bool {
		return e.Username != "" && e.hasPassword() && (e.Auth.UsesToken() || e.uses(mail.AuthNone, mail.AuthExternal))
	}, "takes no password with this method: remove password and password_file"},
	{"mailbox", func(e *entry) bool { return e.wants("mailbox") && !e.LogsIn() && e.Protocol == mail.IMAP }, needsLogin},
	{"check_mailbox", func(e *entry) bool {
		return e.wants("check_mailbox") && e.CheckMailbox && !e.LogsIn() && e.Protocol != mail.SMTP
	}, needsLogin},
	{"auth", func(e *entry) bool { return e.uses(mail.AuthAPOP) && e.Protocol != mail.POP3 }, "apop is for pop3 only"},
	{"username", func(e *entry) bool { return e.uses(mail.AuthAPOP) && hasSpace(e.Username) }, "contains a space, which apop cannot carry"},
	{"auth", func(e *entry) bool { return e.uses(mail.AuthExternal) && e.Encryption == mail.NoEncryption },
		"external needs encryption: the certificate is sent in the TLS handshake"},
	{"auth", func(e *entry) bool {
		return e.uses(mail.AuthExternal) && e.Encryption != mail.NoEncryption && e.tls.certFile == ""
	}, "external needs tls_config.cert_file and key_file"},
}

var sharedRules = []rule{
	{"shared_mailbox", func(e *entry) bool { return e.SharedMailbox != "" && e.Username == "" }, "needs a username to log in"},
	{"shared_mailbox", func(e *entry) bool {
		return e.SharedMailbox != "" && e.Username != "" && e.uses(mail.AuthNone)
	}, "needs a login, and auth is none"},
	{"shared_mailbox_access", func(e *entry) bool { return e.SharedMailbox == "" && e.SharedMailboxAccess != mail.SharedAuto },
		"is set, but shared_mailbox is not"},
	{"shared_mailbox_access", func(e *entry) bool { return e.access() == mail.SharedLoginName && e.Protocol == mail.SMTP },
		"login_name is for imap and pop3: with smtp use sender, authzid or token_user"},
	{"shared_mailbox_access", func(e *entry) bool {
		return e.access() == mail.SharedLoginName && e.Protocol != mail.SMTP && (e.Auth.UsesToken() || e.uses(mail.AuthExternal))
	}, "login_name is for logins with a password: with a token use token_user, with a certificate authzid"},
	{"shared_mailbox_access", func(e *entry) bool {
		return e.access() == mail.SharedAuthzID && !e.Auth.CanActForOthers()
	}, "authzid needs auth auto, plain, scram-sha-1, scram-sha-256, oauthbearer or external: others cannot carry it"},
	{"shared_mailbox_access", func(e *entry) bool { return e.access() == mail.SharedFolder && e.Protocol != mail.IMAP },
		"folder is for imap only"},
	{"check_mailbox", func(e *entry) bool { return e.access() == mail.SharedFolder && !e.CheckMailbox },
		"must be true: opening the folder is how the shared mailbox is reached"},
	{"shared_mailbox_access", func(e *entry) bool { return e.access() == mail.SharedTokenUser && !e.Auth.UsesToken() },
		"token_user needs auth xoauth2 or oauthbearer"},
	{"shared_mailbox_access", func(e *entry) bool { return e.access() == mail.SharedSender && e.Protocol != mail.SMTP },
		"sender is for smtp only"},
	{"shared_mailbox", func(e *entry) bool {
		return e.access() == mail.SharedSender && e.Protocol == mail.SMTP &&
			(mailAddress(e.SharedMailbox) != "" && !isAlias(e.SharedMailbox) || e.SharedMailbox == "<>")
	}, "must be a mail address: it is tried as the sender"},
	{"sender", func(e *entry) bool { return e.access() == mail.SharedSender && e.Sender != "" },
		"is set, but the shared mailbox is the sender"},
	{"check_mailbox", func(e *entry) bool { return e.access() == mail.SharedSender && !e.CheckMailbox },
		"must be true: naming it as the sender is how the shared mailbox is reached"},
	{"recipient", func(e *entry) bool { return e.Recipient != "" && e.Sender == "" && e.access() != mail.SharedSender },
		"needs a sender"},
	{"login_name_format", func(e *entry) bool {
		return e.own("login_name_format") && e.access() != mail.SharedLoginName && e.LoginNameFormat != exchangeLoginName
	},
		"is only for shared_mailbox_access login_name"},
}

var watchRules = []rule{
	{"watch", func(e *entry) bool { return e.watches() && !e.LogsIn() }, needsLogin},
	{"watch", func(e *entry) bool { return e.watches() && e.LogsIn() && !e.CheckMailbox },
		"needs the mailbox, and check_mailbox is false"},
	{"watch", func(e *entry) bool { return e.Watch == mail.WatchUnread && e.Protocol == mail.POP3 },
		"unread cannot be had with pop3, which does not know which messages are read: use all"},
	{"watch_max_age", func(e *entry) bool { return e.wants("watch_max_age") && !e.watches() }, withoutWatch},
	{"watch_expect_every", func(e *entry) bool { return e.WatchExpectEvery != 0 && !e.watches() }, withoutWatch},
}

const withoutWatch = "is set, but watch is none"

var tlsRules = []rule{
	{"tls_config.key_file", func(e *entry) bool { return e.tls.certFile != "" && e.tls.keyFile == "" }, "is missing: cert_file needs it"},
	{"tls_config.cert_file", func(e *entry) bool { return e.tls.certFile == "" && e.tls.keyFile != "" }, "is missing: key_file needs it"},
	{"tls_config.max_version", func(e *entry) bool { return e.tls.maxVersion != 0 && e.tls.maxVersion < e.tls.minVersion },
		"is older than min_version (which is TLS12 by default)"},
	{"tls_config.min_version", func(e *entry) bool { return obsolete(e) && !e.tls.allowObsolete },
		"is obsolete (RFC 8997): TLS12 is the oldest, unless tls_config.allow_obsolete_tls is true"},
	{"ip_protocol", func(e *entry) bool {
		addr, err := netip.ParseAddr(e.Host)
		return err == nil && (addr.Is4() && e.IPProtocol == mail.IP6 || addr.Is6() && e.IPProtocol == mail.IP4)
	}, "does not match the host, which is an address of the other family"},
}

func obsolete(e *entry) bool { return e.tls.minVersion < freshTLS().minVersion }

// validate reports settings that contradict each other. The entry must have a
// protocol.
func (e *entry) validate(r *reader, where position) {
	fresh := freshEntry()
	for _, f := range connectionBlock.fields {
		if f.only != nil && !slices.Contains(f.only, e.Protocol) && !f.is.same(e, fresh) {
			r.faultf(e.at(f.name, where), "is for %s only", orList(protocolNames(f.only)))
		}
	}
	applied := rules
	if r.uncertain(e, where) {
		applied = tlsRules
	}
	for _, rule := range applied {
		// A field that already has a fault gets no second one.
		if at := e.at(rule.field, where); rule.broken(e) && !r.blames(at) {
			r.fault(at, rule.text)
		}
	}
}

// uncertain reports whether a setting that many rules depend on has a fault. The
// rules are then not applied: their faults could be wrong.
func (r *reader) uncertain(e *entry, where position) bool {
	return slices.ContainsFunc([]string{"protocol", "encryption", "username", "auth", "shared_mailbox", "shared_mailbox_access"},
		func(f string) bool { return r.blames(e.at(f, where)) })
}

func protocolNames(list []mail.Protocol) []string {
	names := make([]string, len(list))
	for i, p := range list {
		names[i] = string(p)
	}
	return names
}
