package prober

// This file turns a server's negative answer into a reason. There is a table of rules
// for each protocol, and the first rule that fits decides.

import (
	"cmp"
	"slices"
	"strings"

	"mailprobe/mail"
)

// refusal is a server's negative answer to a command. Its diagnosis is made once,
// by newRefusal, and read by all that need it.
type refusal struct {
	protocol mail.Protocol
	command  string // GREETING, CAPABILITY, LOGIN, AUTHENTICATE, USER, PASS, MAIL ...
	reply    reply
	// mailboxes are the names that were tried, IMAP; this refusal stands for all of
	// them. The server may have chosen a part of the names.
	mailboxes []string
	tls       bool // TLS was up
	login     loginFacts
	diagnosis
}

// loginFacts are the facts, besides the reply, on which the meaning of a refused login
// depends.
type loginFacts struct {
	authzid  bool // the login asks to act for another name
	token    bool // it uses an OAuth2 token, and is under way
	byToken  bool // the connection logs in by OAuth2 tokens
	hashed   bool // `auto` chose a method that does not send the password itself
	unsent   bool // the mechanism was refused before any answer of ours had left
	objected bool // the server has sent the error challenge of a token mechanism
}

func (r *refusal) Error() string {
	words := []string{r.command + ": rejected by server:", r.reply.status, r.reply.code, r.reply.text}
	return strings.Join(slices.DeleteFunc(words, func(w string) bool { return w == "" }), " ")
}

// newRefusal diagnoses a negative answer to a command. x is the SASL exchange
// under way, nil outside of one.
func newRefusal(c *mail.Connection, encrypted bool, x *saslExchange, command string, r reply) *refusal {
	no := &refusal{protocol: c.Protocol, command: command, reply: r, tls: encrypted}
	// A shared mailbox named in the login itself is another name.
	no.login.authzid = c.SharedMailbox != "" &&
		c.SharedMailboxAccess != mail.SharedFolder && c.SharedMailboxAccess != mail.SharedSender
	no.login.byToken = c.Auth.UsesToken()
	if x != nil {
		no.login.token, no.login.hashed = x.method.UsesToken(), c.Auth == mail.AuthAuto && mechanismOf(x.method).hashed
		no.login.unsent, no.login.objected = !x.sent, x.objected()
	}
	no.diagnosis = diagnose(no)
	return no
}

// explainBy takes the diagnosis from an untagged response before the reply, if no rule
// fits the reply itself: some IMAP servers send the cause in an ALERT, and then a bare
// NO.
func (r *refusal) explainBy(warning *refusal) {
	if r.unclassified && !warning.unclassified {
		r.diagnosis = warning.diagnosis
		r.reply.text = joinWords(r.reply.text, "("+warning.reply.text+")")
	}
}

// stages are the parts of a conversation that commands belong to; a set of bits,
// so that a rule can name several.
type stages byte

const (
	atGreeting stages = 1 << iota
	atHello
	atStartTLS
	atLogin
	atMailbox
	atQuit

	anywhere     = atGreeting | atHello | atStartTLS | atLogin | atMailbox | atQuit
	outsideLogin = anywhere &^ atLogin
)

// commandStages says where a command belongs.
var commandStages = map[string]stages{
	"GREETING": atGreeting,

	"CAPABILITY": atHello, "CAPA": atHello, "EHLO": atHello, "HELO": atHello,
	"ID": atHello, "NAMESPACE": atHello, "LIST": atHello,

	"STARTTLS": atStartTLS, "STLS": atStartTLS,

	"LOGIN": atLogin, "AUTHENTICATE": atLogin, "AUTH": atLogin,
	"USER": atLogin, "PASS": atLogin, "APOP": atLogin,

	"EXAMINE": atMailbox, "SELECT": atMailbox, "STATUS": atMailbox, "STAT": atMailbox,
	"MAIL": atMailbox, "RCPT": atMailbox,

	"LOGOUT": atQuit, "QUIT": atQuit, "RSET": atQuit, "NOOP": atQuit,
}

// refusalRule is one line of a table. An empty field fits everything.
type refusalRule struct {
	at      stages
	command string
	status  string // a prefix: "4" is every 4xx
	code    string // a prefix if it ends in "."
	texts   textGroups
	only    func(*refusal) bool
	reason  mail.Reason
	advice  string // more precise than that of the reason; that of a text comes first

	// doubtful is for words that are not those of a wrong password, and yet may
	// mean one: two in a row count as a refusal.
	doubtful bool
}

// The conditions of rules.
func refusedForAnother(r *refusal) bool { return r.login.authzid }
func refusedInClear(r *refusal) bool    { return !r.tls }
func usesToken(r *refusal) bool         { return r.login.byToken }
func forItself(r *refusal) bool         { return !r.login.authzid }

// fits reports whether a rule is about r, whose text comes in lower case, and
// returns the advice of the text that made it fit.
func (l *refusalRule) fits(at stages, command, text string, r *refusal) (advice string, ok bool) {
	if l.at&at == 0 || l.command != "" && l.command != command ||
		!strings.HasPrefix(r.reply.status, l.status) || !l.fitsCode(r.reply.code) ||
		l.only != nil && !l.only(r) {
		return "", false
	}
	return l.texts.find(text)
}

func (l *refusalRule) fitsCode(code string) bool {
	if strings.HasSuffix(l.code, ".") {
		return strings.HasPrefix(code, l.code)
	}
	return l.code == "" || l.code == code
}

// refusalRules are the tables. Their order is the order of evidence: bracket or
// enhanced code, then reply code, then text, then the default of the command. A
// text stands before a code only where the code is known to mean several
// things, and never makes a definitive refusal transient, except the words of Cyrus
// SASL for its own failures. A code that no rule names, such as [ALERT], says
// nothing.
var refusalRules = map[mail.Protocol][]refusalRule{mail.IMAP: imapRules, mail.POP3: pop3Rules, mail.SMTP: smtpRules}

// diagnose walks the table of r's protocol once.
func diagnose(r *refusal) diagnosis { return diagnoseBy(refusalRules[r.protocol], r) }

// diagnoseBy returns the diagnosis of the first rule that fits.
func diagnoseBy(rules []refusalRule, r *refusal) diagnosis {
	rule, advice := decidingRule(rules, r)
	if rule == nil {
		return diagnosis{reason: mail.CommandRejected, unclassified: true}
	}
	d := diagnosis{reason: rule.reason, hint: cmp.Or(advice, rule.advice), doubtful: rule.doubtful, unclassified: rule.isDefault()}
	switch {
	case r.login.unsent && mechanismRefusals[d.reason]:
		return diagnosis{reason: mail.AuthMechanism}
	case r.login.token && (d.reason == mail.AuthRejected || d.reason == mail.AuthExpired),
		r.login.objected && d.reason == mail.NotAuthorized:
		d.reason, d.hint = mail.TokenRejected, ""
	case d.reason == mail.AuthRejected && r.login.hashed:
		d.hint = hashHint
	case d.doubtful && d.hint == "":
		d.hint = doubtHint
	}
	return d
}

// mechanismRefusals are reasons that concern the mechanism only, if no part of a
// credential was sent: the server cannot have judged one.
var mechanismRefusals = map[mail.Reason]bool{
	mail.AuthRejected: true, mail.AuthExpired: true, mail.AuthMechanism: true, mail.CommandRejected: true,
	mail.NotAuthorized: true, mail.TokenRejected: true,
}

// decidingRule returns the first rule that fits, with the advice of the text by
// which it does; nil if none fits.
func decidingRule(rules []refusalRule, r *refusal) (rule *refusalRule, advice string) {
	command, _, _ := strings.Cut(upperASCII(r.command), " ")
	at, text := commandStages[command], lowerASCII(r.reply.text)
	for i := range rules {
		if advice, ok := rules[i].fits(at, command, text, r); ok {
			return &rules[i], advice
		}
	}
	return nil, ""
}

// isDefault reports whether a rule says only what a command's refusal means in
// general: none of the server's words was recognised.
func (l *refusalRule) isDefault() bool {
	replyCode := len(l.status) == 3 && isDigits(l.status)
	return l.code == "" && len(l.texts) == 0 && l.only == nil && !replyCode
}
