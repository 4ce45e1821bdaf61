package prober

// This file turns a server's no into a reason: tables of rules, one for each
// protocol, of which the first that fits decides.

import (
	"errors"
	"strings"
)

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

// phaseStages serves for a command that commandStages does not know.
var phaseStages = map[Phase]stages{
	PhaseGreeting: atGreeting,
	PhaseHello:    atHello,
	PhaseStartTLS: atStartTLS,
	PhaseAuth:     atLogin,
	PhaseMailbox:  atMailbox,
	PhaseQuit:     atQuit,
}

// refusalRule is one line of a table. An empty field fits everything.
type refusalRule struct {
	at      stages
	command string
	status  string // a prefix: "4" is every 4xx
	code    string // a prefix if it ends in "."
	texts   textGroup
	only    func(*refusal) bool
	reason  Reason

	// doubtful is for words that are not those of a wrong password, and yet may
	// mean one: two in a row count as a refusal.
	doubtful bool
}

// The conditions of rules.
func refusedForAnother(r *refusal) bool { return r.authzid }
func refusedInClear(r *refusal) bool    { return !r.tls }

// fits reports whether a rule speaks about r, whose text comes in lower case.
func (l *refusalRule) fits(at stages, command, text string, r *refusal) bool {
	return l.at&at != 0 &&
		(l.command == "" || l.command == command) &&
		strings.HasPrefix(r.reply.status, l.status) &&
		l.fitsCode(r.reply.code) &&
		(l.only == nil || l.only(r)) &&
		l.texts.in(text)
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
var refusalRules = map[Protocol][]refusalRule{IMAP: imapRules, POP3: pop3Rules, SMTP: smtpRules}

// refusalReason is the reason for a server's no.
func refusalReason(phase Phase, r *refusal) Reason {
	if l := decidingRule(refusalRules[r.protocol], phase, r); l != nil {
		return ofToken(l.reason, r)
	}
	return CommandRejected
}

// isDoubtful reports whether err is a server's no that may mean a wrong password
// although its reason says otherwise.
func isDoubtful(phase Phase, err error) bool {
	var no *refusal
	if !errors.As(err, &no) {
		return false
	}
	l := decidingRule(refusalRules[no.protocol], phase, no)
	return l != nil && l.doubtful
}

// decidingRule is the first rule that fits, nil if none does.
func decidingRule(rules []refusalRule, phase Phase, r *refusal) *refusalRule {
	command, _, _ := strings.Cut(upperASCII(r.command), " ")
	at, known := commandStages[command]
	if !known {
		at = phaseStages[phase]
	}
	text := lowerASCII(r.reply.text)
	for i := range rules {
		if rules[i].fits(at, command, text, r) {
			return &rules[i]
		}
	}
	return nil
}

// ofToken corrects the verdict on a password where a token was sent instead.
func ofToken(reason Reason, r *refusal) Reason {
	if r.token && (reason == AuthRejected || reason == AuthExpired) {
		return TokenRejected
	}
	return reason
}

// imapRules follow RFC 5530 and RFC 9051 section 7.1.
var imapRules = []refusalRule{
	{at: atStartTLS, status: "NO", reason: StartTLSRefused},
	{at: atStartTLS, status: "BAD", reason: StartTLSRefused},

	// Codes.
	{at: anywhere, texts: notConnectedTexts, reason: NotAuthorized},
	{at: anywhere, code: "LIMIT", reason: ServerLimit},
	{at: anywhere, code: "UNAVAILABLE", texts: limitTexts, reason: ServerLimit},
	{at: atLogin, code: "UNAVAILABLE", reason: AuthTemporary},
	{at: atLogin, code: "SERVERBUG", reason: AuthTemporary},
	{at: atLogin, code: "INUSE", reason: AuthTemporary},
	{at: outsideLogin, code: "UNAVAILABLE", reason: ServerUnavailable},
	{at: outsideLogin, code: "SERVERBUG", reason: ServerUnavailable},
	{at: atLogin, code: "AUTHENTICATIONFAILED", texts: methodTexts, reason: AuthMethodForbidden},
	{at: atLogin, code: "AUTHENTICATIONFAILED", texts: expiredTexts, reason: AuthExpired},
	{at: atLogin, code: "AUTHENTICATIONFAILED", texts: disabledTexts, reason: AuthDisabled},
	{at: atLogin, code: "AUTHENTICATIONFAILED", reason: AuthRejected},
	// Yahoo says AUTHORIZATIONFAILED for a wrong password.
	{at: atLogin, code: "AUTHORIZATIONFAILED", only: refusedForAnother, reason: NotAuthorized},
	{at: atLogin, code: "AUTHORIZATIONFAILED", reason: AuthRejected},
	{at: anywhere, code: "EXPIRED", reason: AuthExpired},
	{at: anywhere, code: "PRIVACYREQUIRED", reason: AuthNeedsTLS},
	{at: atLogin, status: "NO", code: "CONTACTADMIN", reason: AuthDisabled},
	{at: atLogin | atMailbox | atHello, code: "CLIENTBUG", reason: CommandRejected},
	{at: atMailbox, code: "NONEXISTENT", reason: MailboxMissing},
	{at: atMailbox, code: "TRYCREATE", reason: MailboxMissing},
	{at: atMailbox, code: "NOPERM", reason: MailboxDenied},
	{at: atMailbox, code: "AUTHORIZATIONFAILED", reason: MailboxDenied},
	{at: atMailbox, code: "INUSE", reason: MailboxInUse},
	{at: atMailbox, code: "CORRUPTION", reason: MailboxFailed},
	{at: atMailbox, code: "CANNOT", reason: MailboxFailed},
	{at: atMailbox, code: "OVERQUOTA", reason: MailboxFailed},
	{at: atMailbox, code: "CONTACTADMIN", reason: MailboxFailed},

	// Texts.
	{at: anywhere, texts: limitTexts, reason: ServerLimit},
	{at: atLogin, status: "BYE", texts: brokenTexts, reason: MailboxFailed},
	{at: atMailbox, texts: unnamedTexts, reason: MailboxDenied},
	{at: atMailbox, status: "NO", texts: deniedTexts, reason: MailboxDenied},
	{at: atLogin, texts: methodTexts, reason: AuthMethodForbidden},
	{at: atLogin, texts: disabledTexts, reason: AuthDisabled},
	{at: atLogin, texts: needsTLSTexts, reason: AuthNeedsTLS},
	{at: atLogin, texts: mechanismTexts, reason: AuthMechanism},
	{at: atLogin, status: "NO", texts: expiredTexts, reason: AuthExpired},
	{at: atLogin, texts: temporaryTexts, reason: AuthTemporary},
	{at: atLogin, texts: proxyTexts, reason: AuthTemporary, doubtful: true},
	{at: atLogin, texts: saslTexts, reason: AuthTemporary, doubtful: true},
	{at: atLogin, texts: tooSoonTexts, reason: AuthTooSoon},
	{at: atGreeting, status: "BYE", texts: laterTexts, reason: ServerUnavailable},

	// Defaults.
	{at: atGreeting, status: "BYE", reason: ServerRefused},
	{at: atGreeting, reason: ProtocolMalformed}, // a greeting is OK, PREAUTH or BYE
	{at: anywhere, status: "BYE", reason: Closed},
	{at: anywhere, status: "BAD", reason: CommandRejected},
	{at: atLogin, status: "NO", reason: AuthRejected},
	{at: atMailbox, status: "NO", reason: MailboxMissing},
	{at: anywhere, status: "NO", reason: CommandRejected},
	{at: anywhere, reason: ProtocolMalformed},
}

// pop3Rules follow RFC 2449 section 8 and RFC 3206.
var pop3Rules = []refusalRule{
	{at: anywhere, status: "+", reason: ProtocolMalformed}, // not a no at all
	{at: atStartTLS, reason: StartTLSRefused},

	// Codes. Dovecot says IN-USE for its limit of connections, too, and Cyrus
	// SYS/TEMP for an account that has a password and no mailbox.
	{at: anywhere, code: "IN-USE", texts: limitTexts, reason: ServerLimit},
	{at: anywhere, code: "IN-USE", reason: MailboxInUse},
	{at: anywhere, code: "LOGIN-DELAY", reason: AuthTooSoon},
	{at: atLogin, code: "SYS/PERM", texts: methodTexts, reason: AuthMethodForbidden},
	{at: atLogin, code: "SYS/PERM", reason: AuthDisabled},
	{at: anywhere, code: "SYS/TEMP", texts: limitTexts, reason: ServerLimit},
	{at: atLogin, code: "SYS/TEMP", texts: maildropTexts, reason: MailboxMissing},
	{at: atLogin, code: "SYS/TEMP", texts: brokenTexts, reason: MailboxFailed},
	{at: atLogin, code: "SYS/TEMP", reason: AuthTemporary},
	{at: atLogin, code: "SYS", reason: AuthTemporary},
	{at: outsideLogin, code: "SYS/TEMP", reason: ServerUnavailable},
	{at: outsideLogin, code: "SYS", reason: ServerUnavailable},
	{at: atLogin, code: "AUTH", texts: saslTexts, reason: AuthTemporary, doubtful: true},
	{at: atLogin, code: "AUTH", texts: needsTLSTexts, reason: AuthNeedsTLS},
	{at: atLogin, code: "AUTH", texts: tlsTexts, only: refusedInClear, reason: AuthNeedsTLS},
	{at: atLogin, code: "AUTH", texts: methodTexts, reason: AuthMethodForbidden},
	{at: atLogin, code: "AUTH", texts: expiredTexts, reason: AuthExpired},
	{at: atLogin, code: "AUTH", texts: disabledTexts, reason: AuthDisabled},
	{at: atLogin, code: "AUTH", reason: AuthRejected},

	// Texts.
	{at: anywhere, texts: limitTexts, reason: ServerLimit},
	{at: atLogin, texts: brokenTexts, reason: MailboxFailed},
	{at: atLogin, texts: methodTexts, reason: AuthMethodForbidden},
	{at: atLogin, texts: disabledTexts, reason: AuthDisabled},
	{at: atLogin, texts: needsTLSTexts, reason: AuthNeedsTLS},
	{at: atLogin, texts: mechanismTexts, reason: AuthMechanism},
	{at: atLogin, texts: expiredTexts, reason: AuthExpired},
	{at: atLogin, texts: temporaryTexts, reason: AuthTemporary},
	{at: atLogin, texts: proxyTexts, reason: AuthTemporary, doubtful: true},
	{at: atLogin, texts: tooSoonTexts, reason: AuthTooSoon},
	{at: atGreeting, texts: laterTexts, reason: ServerUnavailable},

	// Defaults. No password has been sent when USER is refused.
	{at: atLogin, command: "USER", only: refusedInClear, reason: AuthNeedsTLS},
	{at: atLogin, reason: AuthRejected},
	{at: atGreeting, reason: ServerRefused},
	{at: atMailbox, reason: MailboxFailed},
	{at: anywhere, reason: CommandRejected},
}

// smtpRules follow RFC 4954 section 6, RFC 5248 and RFC 5321 section 4.2.
var smtpRules = []refusalRule{
	{at: anywhere, status: "2", reason: ProtocolMalformed}, // not the yes that was asked for
	{at: anywhere, status: "3", reason: ProtocolMalformed},

	// 421 may answer any command: the server is leaving.
	{at: anywhere, status: "421", texts: limitTexts, reason: ServerLimit},
	{at: atLogin, status: "421", code: "4.7.0", texts: tooSoonTexts, reason: AuthTooSoon},
	{at: anywhere, status: "421", reason: ServerUnavailable},
	{at: atStartTLS, reason: StartTLSRefused},

	// Codes and replies to a login.
	{at: atLogin, status: "432", code: "4.3.2", reason: ServerLimit},
	{at: atLogin, status: "432", code: "4.7.12", reason: AuthExpired},
	{at: atLogin, status: "4", texts: limitTexts, reason: ServerLimit},
	{at: atLogin, code: "4.7.0", texts: tooSoonTexts, reason: AuthTooSoon},
	{at: atLogin, status: "432", reason: AuthExpired}, // RFC 4954: a password transition is needed
	{at: atLogin, status: "4", texts: proxyTexts, reason: AuthTemporary, doubtful: true},
	{at: atLogin, status: "4", reason: AuthTemporary},
	{at: atLogin, code: "5.7.139", texts: credentialTexts, reason: AuthRejected},
	{at: atLogin, code: "5.7.139", reason: AuthMethodForbidden},
	{at: atLogin, code: "5.7.9", reason: AuthMethodForbidden},
	{at: atLogin, code: "5.7.10", reason: AuthNeedsTLS},
	{at: atLogin, code: "5.7.11", reason: AuthNeedsTLS},
	{at: atLogin, code: "5.7.12", reason: AuthExpired},
	{at: atLogin, code: "5.7.13", reason: AuthDisabled},
	{at: atLogin, code: "5.7.4", reason: AuthMechanism},
	{at: atLogin, status: "535", texts: saslTexts, reason: AuthTemporary, doubtful: true},
	{at: atLogin, status: "535", texts: methodTexts, reason: AuthMethodForbidden},
	{at: atLogin, status: "535", texts: expiredTexts, reason: AuthExpired},
	{at: atLogin, status: "535", texts: disabledTexts, reason: AuthDisabled},
	{at: atLogin, code: "5.7.8", reason: AuthRejected},
	{at: atLogin, code: "5.7.3", reason: AuthRejected},
	{at: atLogin, status: "535", reason: AuthRejected},
	{at: atLogin, status: "530", reason: AuthNeedsTLS},
	{at: atLogin, status: "534", reason: AuthMethodForbidden},
	{at: atLogin, status: "525", reason: AuthDisabled},
	{at: atLogin, status: "523", reason: AuthNeedsTLS},
	{at: atLogin, status: "538", reason: AuthNeedsTLS},
	{at: atLogin, status: "504", reason: AuthMechanism},

	// Codes and replies to MAIL and RCPT.
	{at: atMailbox, status: "553", code: "5.7.1", reason: NotAuthorized},
	{at: atMailbox, code: "5.7.60", reason: NotAuthorized},
	{at: atMailbox, status: "554", code: "5.2.0", reason: NotAuthorized},
	{at: atMailbox, texts: senderTexts, reason: NotAuthorized},
	{at: atMailbox, texts: needsTLSTexts, reason: AuthNeedsTLS},
	{at: atMailbox, status: "530", reason: NotAuthorized}, // a login is wanted first
	{at: atMailbox, code: "5.2.2", reason: MailboxFailed},
	{at: atMailbox, code: "4.2.2", reason: MailboxFailed},
	{at: atMailbox, status: "552", reason: MailboxFailed},
	{at: atMailbox, command: "RCPT", code: "5.1.", reason: MailboxMissing},
	{at: atMailbox, command: "RCPT", status: "550", code: "5.7.", reason: MailboxDenied},
	{at: atMailbox, command: "RCPT", status: "550", reason: MailboxMissing},
	{at: atMailbox, command: "RCPT", status: "551", reason: MailboxMissing},

	// Replies and texts anywhere.
	{at: outsideLogin, status: "4", texts: limitTexts, reason: ServerLimit},
	{at: outsideLogin, status: "4", reason: ServerUnavailable},
	{at: atGreeting, status: "5", reason: ServerRefused},
	{at: atLogin, texts: mechanismTexts, reason: AuthMechanism},
	{at: anywhere, status: "500", reason: CommandRejected},
	{at: anywhere, status: "501", reason: CommandRejected},
	{at: anywhere, status: "502", reason: CommandRejected},
	{at: anywhere, status: "503", reason: CommandRejected},
	{at: anywhere, status: "504", reason: CommandRejected},
	{at: anywhere, status: "555", reason: CommandRejected},
	{at: atLogin, texts: needsTLSTexts, reason: AuthNeedsTLS},
	{at: atLogin, texts: methodTexts, reason: AuthMethodForbidden},
	{at: atLogin, texts: disabledTexts, reason: AuthDisabled},

	// Defaults.
	{at: atLogin, reason: AuthRejected},
	{at: atHello, reason: ServerRefused},
	{at: atMailbox, reason: MailboxDenied},
	{at: anywhere, reason: CommandRejected},
}
