package prober

// This file holds the tables of rules, one for each protocol: what a server's
// negative answer means. The first rule that fits decides.

import "mailprobe/mail"

// imapRules follow RFC 5530 and RFC 9051 section 7.1.
var imapRules = []refusalRule{
	{at: atStartTLS, status: "NO", reason: mail.StartTLSRefused},
	{at: atStartTLS, status: "BAD", reason: mail.StartTLSRefused},

	// Codes.
	{at: anywhere, texts: notConnectedTexts, reason: mail.NotAuthorized},
	{at: anywhere, code: "LIMIT", reason: mail.ServerLimit},
	{at: anywhere, code: "UNAVAILABLE", texts: limitTexts, reason: mail.ServerLimit},
	{at: atLogin, code: "UNAVAILABLE", reason: mail.AuthTemporary},
	{at: atLogin, code: "SERVERBUG", reason: mail.AuthTemporary},
	{at: atLogin, code: "INUSE", reason: mail.AuthTemporary},
	{at: outsideLogin, code: "UNAVAILABLE", reason: mail.ServerUnavailable},
	{at: outsideLogin, code: "SERVERBUG", reason: mail.ServerUnavailable},
	{at: atLogin, code: "AUTHENTICATIONFAILED", texts: methodTexts, reason: mail.AuthMethodForbidden},
	{at: atLogin, code: "AUTHENTICATIONFAILED", texts: expiredTexts, reason: mail.AuthExpired},
	{at: atLogin, code: "AUTHENTICATIONFAILED", texts: disabledTexts, reason: mail.AuthDisabled},
	{at: atLogin, code: "AUTHENTICATIONFAILED", reason: mail.AuthRejected},
	// Yahoo says AUTHORIZATIONFAILED for a wrong password.
	{at: atLogin, code: "AUTHORIZATIONFAILED", only: refusedForAnother, reason: mail.NotAuthorized},
	{at: atLogin, code: "AUTHORIZATIONFAILED", reason: mail.AuthRejected},
	{at: anywhere, code: "EXPIRED", reason: mail.AuthExpired},
	{at: anywhere, code: "PRIVACYREQUIRED", reason: mail.AuthNeedsTLS},
	{at: atLogin, status: "NO", code: "CONTACTADMIN", reason: mail.AuthDisabled},
	{at: atLogin | atMailbox | atHello, code: "CLIENTBUG", reason: mail.CommandRejected},
	{at: atMailbox, code: "NONEXISTENT", reason: mail.MailboxMissing},
	{at: atMailbox, code: "TRYCREATE", reason: mail.MailboxMissing},
	{at: atMailbox, code: "NOPERM", reason: mail.MailboxDenied},
	{at: atMailbox, code: "AUTHORIZATIONFAILED", reason: mail.MailboxDenied},
	{at: atMailbox, code: "INUSE", reason: mail.MailboxInUse},
	{at: atMailbox, code: "CORRUPTION", reason: mail.MailboxFailed},
	{at: atMailbox, code: "CANNOT", reason: mail.MailboxFailed},
	{at: atMailbox, code: "OVERQUOTA", reason: mail.MailboxFailed},
	{at: atMailbox, code: "CONTACTADMIN", reason: mail.MailboxFailed},

	// Texts.
	{at: anywhere, texts: limitTexts, reason: mail.ServerLimit},
	{at: atLogin, status: "BYE", texts: brokenTexts, reason: mail.MailboxFailed},
	{at: atMailbox, texts: unnamedTexts, reason: mail.MailboxDenied},
	{at: atMailbox, status: "NO", texts: deniedTexts, reason: mail.MailboxDenied},
	{at: atLogin, texts: methodTexts, reason: mail.AuthMethodForbidden},
	{at: atLogin, texts: disabledTexts, reason: mail.AuthDisabled},
	{at: atLogin, texts: needsTLSTexts, reason: mail.AuthNeedsTLS},
	{at: atLogin, texts: mechanismTexts, reason: mail.AuthMechanism},
	{at: atLogin, status: "NO", texts: expiredTexts, reason: mail.AuthExpired},
	{at: atLogin, texts: temporaryTexts, reason: mail.AuthTemporary},
	{at: atLogin, texts: proxyTexts, reason: mail.AuthTemporary, doubtful: true},
	{at: atLogin, texts: saslTexts, reason: mail.AuthTemporary, doubtful: true},
	{at: atLogin, texts: tooSoonTexts, reason: mail.AuthTooSoon},
	{at: atGreeting, status: "BYE", texts: laterTexts, reason: mail.ServerUnavailable},

	// Defaults.
	{at: atGreeting, status: "BYE", reason: mail.ServerRefused},
	{at: atGreeting, reason: mail.ProtocolMalformed}, // a greeting is OK, PREAUTH or BYE
	{at: anywhere, status: "BYE", reason: mail.Closed},
	{at: anywhere, status: "BAD", reason: mail.CommandRejected},
	{at: atLogin, status: "NO", reason: mail.AuthRejected},
	{at: atMailbox, status: "NO", reason: mail.MailboxMissing},
	{at: anywhere, status: "NO", reason: mail.CommandRejected},
	{at: anywhere, reason: mail.ProtocolMalformed},
}

// pop3Rules follow RFC 2449 section 8 and RFC 3206.
var pop3Rules = []refusalRule{
	{at: anywhere, status: "+", reason: mail.ProtocolMalformed}, // not a no at all
	{at: atStartTLS, reason: mail.StartTLSRefused},

	// Codes. Dovecot says IN-USE for its limit of connections, too, and Cyrus
	// SYS/TEMP for an account that has a password and no mailbox.
	{at: anywhere, code: "IN-USE", texts: limitTexts, reason: mail.ServerLimit},
	{at: anywhere, code: "IN-USE", reason: mail.MailboxInUse},
	{at: anywhere, code: "LOGIN-DELAY", reason: mail.AuthTooSoon},
	{at: atLogin, code: "SYS/PERM", texts: methodTexts, reason: mail.AuthMethodForbidden},
	{at: atLogin, code: "SYS/PERM", reason: mail.AuthDisabled},
	{at: anywhere, code: "SYS/TEMP", texts: limitTexts, reason: mail.ServerLimit},
	{at: atLogin, code: "SYS/TEMP", texts: maildropTexts, reason: mail.MailboxMissing},
	{at: atLogin, code: "SYS/TEMP", texts: brokenTexts, reason: mail.MailboxFailed},
	{at: atLogin, code: "SYS/TEMP", reason: mail.AuthTemporary},
	{at: atLogin, code: "SYS", reason: mail.AuthTemporary},
	{at: outsideLogin, code: "SYS/TEMP", reason: mail.ServerUnavailable},
	{at: outsideLogin, code: "SYS", reason: mail.ServerUnavailable},
	{at: atLogin, code: "AUTH", texts: saslTexts, reason: mail.AuthTemporary, doubtful: true},
	{at: atLogin, code: "AUTH", texts: needsTLSTexts, reason: mail.AuthNeedsTLS},
	{at: atLogin, code: "AUTH", texts: tlsTexts, only: refusedInClear, reason: mail.AuthNeedsTLS},
	{at: atLogin, code: "AUTH", texts: methodTexts, reason: mail.AuthMethodForbidden},
	{at: atLogin, code: "AUTH", texts: expiredTexts, reason: mail.AuthExpired},
	{at: atLogin, code: "AUTH", texts: disabledTexts, reason: mail.AuthDisabled},
	{at: atLogin, code: "AUTH", reason: mail.AuthRejected},

	// Texts.
	{at: anywhere, texts: limitTexts, reason: mail.ServerLimit},
	{at: atLogin, texts: brokenTexts, reason: mail.MailboxFailed},
	{at: atLogin, texts: methodTexts, reason: mail.AuthMethodForbidden},
	{at: atLogin, texts: disabledTexts, reason: mail.AuthDisabled},
	{at: atLogin, texts: needsTLSTexts, reason: mail.AuthNeedsTLS},
	{at: atLogin, texts: mechanismTexts, reason: mail.AuthMechanism},
	{at: atLogin, texts: expiredTexts, reason: mail.AuthExpired},
	{at: atLogin, texts: temporaryTexts, reason: mail.AuthTemporary},
	{at: atLogin, texts: proxyTexts, reason: mail.AuthTemporary, doubtful: true},
	{at: atLogin, texts: tooSoonTexts, reason: mail.AuthTooSoon},
	{at: atGreeting, texts: laterTexts, reason: mail.ServerUnavailable},

	// Defaults. No password has been sent when USER is refused.
	{at: atLogin, command: "USER", only: refusedInClear, reason: mail.AuthNeedsTLS},
	{at: atLogin, reason: mail.AuthRejected},
	{at: atGreeting, reason: mail.ServerRefused},
	{at: atMailbox, reason: mail.MailboxFailed},
}

// smtpRules follow RFC 4954 section 6, RFC 5248 and RFC 5321 section 4.2.
var smtpRules = []refusalRule{
	{at: anywhere, status: "2", reason: mail.ProtocolMalformed}, // not the yes that was asked for
	{at: anywhere, status: "3", reason: mail.ProtocolMalformed},

	// 421 may answer any command: the server is leaving.
	{at: anywhere, status: "421", texts: limitTexts, reason: mail.ServerLimit},
	{at: atLogin, status: "421", code: "4.7.0", texts: tooSoonTexts, reason: mail.AuthTooSoon},
	{at: anywhere, status: "421", reason: mail.ServerUnavailable},
	{at: atStartTLS, reason: mail.StartTLSRefused},

	// Codes and replies to a login.
	{at: atLogin, status: "432", code: "4.3.2", reason: mail.ServerLimit},
	{at: atLogin, status: "432", code: "4.7.12", reason: mail.AuthExpired},
	{at: atLogin, status: "4", texts: limitTexts, reason: mail.ServerLimit},
	{at: atLogin, code: "4.7.0", texts: tooSoonTexts, reason: mail.AuthTooSoon},
	{at: atLogin, status: "432", reason: mail.AuthExpired}, // RFC 4954: a password transition is needed
	{at: atLogin, status: "4", texts: proxyTexts, reason: mail.AuthTemporary, doubtful: true},
	{at: atLogin, status: "4", reason: mail.AuthTemporary},
	{at: atLogin, code: "5.7.139", texts: credentialTexts, reason: mail.AuthRejected},
	{at: atLogin, code: "5.7.139", reason: mail.AuthMethodForbidden},
	{at: atLogin, code: "5.7.9", reason: mail.AuthMethodForbidden},
	{at: atLogin, code: "5.7.10", reason: mail.AuthNeedsTLS},
	{at: atLogin, code: "5.7.11", reason: mail.AuthNeedsTLS},
	{at: atLogin, code: "5.7.12", reason: mail.AuthExpired},
	{at: atLogin, code: "5.7.13", reason: mail.AuthDisabled},
	{at: atLogin, code: "5.7.4", reason: mail.AuthMechanism},
	{at: atLogin, status: "535", texts: saslTexts, reason: mail.AuthTemporary, doubtful: true},
	{at: atLogin, status: "535", texts: methodTexts, reason: mail.AuthMethodForbidden},
	{at: atLogin, status: "535", texts: expiredTexts, reason: mail.AuthExpired},
	{at: atLogin, status: "535", texts: disabledTexts, reason: mail.AuthDisabled},
	{at: atLogin, code: "5.7.8", reason: mail.AuthRejected},
	{at: atLogin, code: "5.7.3", reason: mail.AuthRejected},
	{at: atLogin, status: "535", reason: mail.AuthRejected},
	{at: atLogin, status: "530", reason: mail.AuthNeedsTLS},
	{at: atLogin, status: "534", reason: mail.AuthMethodForbidden},
	{at: atLogin, status: "525", reason: mail.AuthDisabled},
	{at: atLogin, status: "523", reason: mail.AuthNeedsTLS},
	{at: atLogin, status: "538", reason: mail.AuthNeedsTLS},
	{at: atLogin, status: "504", reason: mail.AuthMechanism},

	// Codes and replies to MAIL and RCPT.
	{at: atMailbox, status: "553", code: "5.7.1", reason: mail.NotAuthorized},
	{at: atMailbox, code: "5.7.60", reason: mail.NotAuthorized},
	{at: atMailbox, status: "554", code: "5.2.0", reason: mail.NotAuthorized},
	{at: atMailbox, texts: senderTexts, reason: mail.NotAuthorized},
	{at: atMailbox, texts: needsTLSTexts, reason: mail.AuthNeedsTLS},
	{at: atMailbox, status: "530", reason: mail.NotAuthorized}, // a login is wanted first
	{at: atMailbox, code: "5.2.2", reason: mail.MailboxFailed},
	{at: atMailbox, code: "4.2.2", reason: mail.MailboxFailed},
	{at: atMailbox, status: "552", reason: mail.MailboxFailed},
	{at: atMailbox, command: "RCPT", code: "5.1.", reason: mail.MailboxMissing},
	{at: atMailbox, command: "RCPT", status: "550", code: "5.7.", reason: mail.MailboxDenied},
	{at: atMailbox, command: "RCPT", status: "550", reason: mail.MailboxMissing},
	{at: atMailbox, command: "RCPT", status: "551", reason: mail.MailboxMissing},

	// Replies and texts anywhere.
	{at: outsideLogin, status: "4", texts: limitTexts, reason: mail.ServerLimit},
	{at: outsideLogin, status: "4", reason: mail.ServerUnavailable},
	{at: atGreeting, status: "5", reason: mail.ServerRefused},
	{at: atLogin, texts: mechanismTexts, reason: mail.AuthMechanism},
	{at: anywhere, status: "500", reason: mail.CommandRejected},
	{at: anywhere, status: "501", reason: mail.CommandRejected},
	{at: anywhere, status: "502", reason: mail.CommandRejected},
	{at: anywhere, status: "503", reason: mail.CommandRejected},
	{at: anywhere, status: "504", reason: mail.CommandRejected},
	{at: anywhere, status: "555", reason: mail.CommandRejected},
	{at: atLogin, texts: needsTLSTexts, reason: mail.AuthNeedsTLS},
	{at: atLogin, texts: methodTexts, reason: mail.AuthMethodForbidden},
	{at: atLogin, texts: disabledTexts, reason: mail.AuthDisabled},

	// Defaults.
	{at: atLogin, reason: mail.AuthRejected},
	{at: atHello, reason: mail.ServerRefused},
	{at: atMailbox, reason: mail.MailboxDenied},
}
