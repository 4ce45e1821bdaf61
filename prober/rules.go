package prober

// This file holds the tables of rules, one for each protocol: what a server's
// negative answer means. The first rule that fits decides.

import "mailprobe/mail"

// imapRules follow RFC 5530 and RFC 9051 section 7.1.
var imapRules = []refusalRule{
	{at: atStartTLS, status: "NO", reason: mail.StartTLSRefused},
	{at: atStartTLS, status: "BAD", reason: mail.StartTLSRefused},

	// Codes with one meaning.
	{at: anywhere, texts: tokenExpiredTexts, reason: mail.TokenRejected},
	{at: anywhere, texts: notConnectedByToken, only: usesToken, reason: mail.NotAuthorized, doubtful: true},
	{at: anywhere, texts: notConnectedTexts, reason: mail.NotAuthorized, doubtful: true},
	{at: anywhere, code: "LIMIT", reason: mail.ServerLimit},
	{at: anywhere, code: "UNAVAILABLE", texts: limitTexts, reason: mail.ServerLimit},
	{at: atLogin, code: "UNAVAILABLE", reason: mail.AuthTemporary},
	{at: atLogin, code: "SERVERBUG", reason: mail.AuthTemporary},
	{at: atLogin, code: "INUSE", reason: mail.AuthTemporary},
	{at: outsideLogin, code: "UNAVAILABLE", reason: mail.ServerUnavailable},
	{at: outsideLogin, code: "SERVERBUG", reason: mail.ServerUnavailable},
	{at: anywhere, code: "EXPIRED", reason: mail.AuthExpired},
	{at: anywhere, code: "PRIVACYREQUIRED", reason: mail.AuthNeedsTLS},
	{at: atLogin | atMailbox | atHello, code: "CLIENTBUG", reason: mail.CommandRejected},
	{at: atMailbox, code: "NONEXISTENT", reason: mail.MailboxMissing},
	{at: atMailbox, code: "TRYCREATE", reason: mail.MailboxMissing},
	{at: atMailbox, code: "NOPERM", reason: mail.MailboxDenied},
	{at: atMailbox, code: "AUTHORIZATIONFAILED", reason: mail.MailboxDenied},
	{at: atMailbox, code: "INUSE", reason: mail.MailboxInUse},
	{at: atMailbox, code: "CORRUPTION", reason: mail.MailboxFailed},
	{at: atMailbox, code: "CANNOT", texts: badNameTexts, reason: mail.MailboxFailed},
	{at: atMailbox, code: "CANNOT", reason: mail.MailboxFailed},
	{at: atLogin | atMailbox, code: "OVERQUOTA", texts: limitTexts, reason: mail.ServerLimit}, // Gmail's bandwidth
	{at: atLogin | atMailbox, code: "OVERQUOTA", reason: mail.MailboxFailed, advice: quotaAdvice},
	{at: atMailbox, code: "CONTACTADMIN", reason: mail.MailboxFailed},

	// RFC 2221 and 2193: the mailbox is on another server. The code changes no reason, and is
	// never followed (R10).
	{at: atGreeting, code: "REFERRAL", reason: mail.ServerRefused, advice: referralAdvice},
	{at: atLogin, code: "REFERRAL", reason: mail.AuthRejected, advice: referralAdvice},
	{at: atMailbox, code: "REFERRAL", reason: mail.MailboxMissing, advice: referralAdvice},
	{at: atLogin, status: "NO", code: "NOPERM", reason: mail.AuthDisabled, advice: switchedOffAdvice},

	// Texts that are believed beside a code of a refused login.
	{at: atLogin, texts: severalTexts, reason: mail.AuthRejected},
	{at: atLogin, texts: methodTexts, reason: mail.AuthMethodForbidden},
	{at: atLogin, texts: disabledTexts, reason: mail.AuthDisabled},
	{at: atLogin, texts: elsewhereTexts, reason: mail.AuthDisabled},
	{at: atLogin, texts: licenceTexts, reason: mail.AuthTemporary},
	{at: atLogin, texts: sessionTexts, reason: mail.AuthTemporary, doubtful: true},
	{at: atLogin, status: "NO", texts: expiredTexts, reason: mail.AuthExpired},
	{at: atLogin, texts: lockedOutTexts, reason: mail.AuthTooSoon, doubtful: true},
	{at: atLogin, texts: addressTexts, reason: mail.ServerRefused, doubtful: true},
	{at: atLogin, texts: deadBackEndTexts, reason: mail.AuthTemporary},

	// Codes of a refused login.
	{at: atLogin, status: "NO", code: "CONTACTADMIN", reason: mail.AuthDisabled},
	{at: atLogin, code: "AUTHENTICATIONFAILED", reason: mail.AuthRejected},
	// Yahoo says AUTHORIZATIONFAILED for a wrong password.
	{at: atLogin, code: "AUTHORIZATIONFAILED", only: refusedForAnother, reason: mail.NotAuthorized},
	{at: atLogin, code: "AUTHORIZATIONFAILED", reason: mail.AuthRejected},

	// Texts.
	{at: anywhere, texts: limitTexts, reason: mail.ServerLimit},
	{at: atLogin | atMailbox, texts: fullTexts, reason: mail.MailboxFailed},
	{at: atLogin, texts: microsoftTexts, only: forItself, reason: mail.AuthRejected},
	{at: atLogin, status: "BAD", texts: argumentTexts, reason: mail.CommandRejected},
	{at: atLogin, status: "BAD", texts: wrongPasswordWords, reason: mail.AuthRejected},
	{at: atLogin, status: "BYE", texts: brokenTexts, reason: mail.MailboxFailed},
	{at: atMailbox, texts: damagedTexts, reason: mail.MailboxFailed},
	{at: atMailbox, texts: unnamedTexts, reason: mail.MailboxDenied},
	{at: atMailbox, texts: inUseTexts, reason: mail.MailboxInUse},
	{at: atMailbox, texts: disabledTexts, reason: mail.AuthDisabled},
	{at: atMailbox, status: "NO", texts: deniedTexts, reason: mail.MailboxDenied},
	{at: atMailbox, texts: temporaryTexts, reason: mail.ServerUnavailable},
	{at: atLogin, texts: needsTLSTexts, reason: mail.AuthNeedsTLS},
	{at: atLogin, texts: stateTexts, only: refusedInClear, reason: mail.AuthNeedsTLS},
	{at: atLogin, texts: mechanismTexts, reason: mail.AuthMechanism},
	{at: atLogin, texts: proxyTexts, reason: mail.AuthTemporary, doubtful: true},
	{at: atLogin, texts: saslTexts, reason: mail.AuthTemporary, doubtful: true},
	{at: atLogin, texts: temporaryTexts, reason: mail.AuthTemporary},
	{at: atLogin, texts: leavingTexts, reason: mail.AuthTemporary},
	{at: atLogin, texts: damagedTexts, reason: mail.MailboxFailed},
	{at: atLogin, texts: tooSoonTexts, reason: mail.AuthTooSoon},
	{at: atGreeting, status: "BYE", texts: laterTexts, reason: mail.ServerUnavailable},

	// Defaults.
	{at: atGreeting, status: "BYE", reason: mail.ServerRefused},
	{at: atGreeting, reason: mail.ProtocolMalformed, advice: oddGreetingAdvice}, // a greeting is OK, PREAUTH or BYE
	{at: anywhere, status: "BYE", reason: mail.Closed},
	{at: anywhere, status: "BAD", reason: mail.CommandRejected},
	{at: atLogin, status: "NO", reason: mail.AuthRejected},
	{at: atMailbox, status: "NO", reason: mail.MailboxMissing},
	{at: anywhere, status: "NO", reason: mail.CommandRejected},
	{at: anywhere, reason: mail.ProtocolMalformed},
}

// pop3Rules follow RFC 2449 section 8 and RFC 3206.
var pop3Rules = []refusalRule{
	{at: anywhere, status: "+", reason: mail.ProtocolMalformed}, // no refusal at all
	{at: atStartTLS, reason: mail.StartTLSRefused},

	// Codes with one meaning. Dovecot says IN-USE for its limit of connections, too,
	// and Cyrus SYS/TEMP for an account that has a password and no mailbox.
	{at: anywhere, code: "IN-USE", texts: limitTexts, reason: mail.ServerLimit},
	{at: anywhere, code: "IN-USE", reason: mail.MailboxInUse},
	{at: anywhere, code: "LOGIN-DELAY", reason: mail.AuthTooSoon},
	{at: anywhere, code: "SYS/TEMP", texts: limitTexts, reason: mail.ServerLimit},
	{at: atLogin, texts: lockedBoxTexts, reason: mail.MailboxInUse},
	{at: atLogin, code: "SYS/TEMP", texts: maildropTexts, reason: mail.MailboxMissing},
	{at: atLogin, code: "SYS/TEMP", texts: inUseTexts, reason: mail.MailboxInUse},
	{at: atLogin, code: "SYS/TEMP", texts: brokenTexts, reason: mail.MailboxFailed},
	{at: atLogin, code: "SYS/TEMP", reason: mail.AuthTemporary},
	{at: atLogin, code: "SYS", reason: mail.AuthTemporary},
	{at: outsideLogin, code: "SYS/TEMP", reason: mail.ServerUnavailable},
	{at: outsideLogin, code: "SYS", reason: mail.ServerUnavailable},

	{at: atMailbox, texts: notConnectedByToken, only: usesToken, reason: mail.NotAuthorized, doubtful: true},
	{at: atMailbox, texts: notConnectedTexts, reason: mail.NotAuthorized, doubtful: true},

	// Texts that are believed beside a code of a refused login.
	{at: atLogin, texts: severalTexts, reason: mail.AuthRejected},
	{at: atLogin, texts: methodTexts, reason: mail.AuthMethodForbidden},
	{at: atLogin, texts: disabledTexts, reason: mail.AuthDisabled},
	{at: atLogin, texts: elsewhereTexts, reason: mail.AuthDisabled},
	{at: atLogin, texts: licenceTexts, reason: mail.AuthTemporary},
	{at: atLogin, texts: sessionTexts, reason: mail.AuthTemporary, doubtful: true},
	{at: atLogin, code: "SYS/PERM", texts: brokenTexts, reason: mail.MailboxFailed}, // Cyrus, of its own databases
	{at: atLogin, code: "SYS/PERM", reason: mail.AuthDisabled},
	{at: atLogin, texts: expiredTexts, reason: mail.AuthExpired},
	{at: atLogin, texts: lockedOutTexts, reason: mail.AuthTooSoon, doubtful: true},
	{at: atLogin, texts: addressTexts, reason: mail.ServerRefused, doubtful: true},
	{at: atLogin, texts: deadBackEndTexts, reason: mail.AuthTemporary},
	{at: atLogin, texts: saslTexts, reason: mail.AuthTemporary, doubtful: true},
	{at: atLogin, texts: needsTLSTexts, reason: mail.AuthNeedsTLS},

	// Codes of a refused login.
	{at: atLogin, code: "AUTH", texts: tlsTexts, only: refusedInClear, reason: mail.AuthNeedsTLS},
	{at: atLogin, code: "AUTH", reason: mail.AuthRejected},

	// Texts.
	{at: anywhere, texts: limitTexts, reason: mail.ServerLimit},
	{at: atLogin | atMailbox, texts: inUseTexts, reason: mail.MailboxInUse},
	{at: atLogin | atMailbox, texts: fullTexts, reason: mail.MailboxFailed},
	{at: atLogin, texts: brokenTexts, reason: mail.MailboxFailed},
	{at: atLogin, texts: microsoftTexts, only: forItself, reason: mail.AuthRejected},
	{at: atLogin, texts: closedTexts, reason: mail.AuthTemporary, doubtful: true},
	{at: atLogin, texts: stateTexts, only: refusedInClear, reason: mail.AuthNeedsTLS},
	{at: atLogin, texts: mechanismTexts, reason: mail.AuthMechanism},
	{at: atLogin, texts: proxyTexts, reason: mail.AuthTemporary, doubtful: true},
	{at: atLogin, texts: temporaryTexts, reason: mail.AuthTemporary},
	{at: atLogin, texts: leavingTexts, reason: mail.AuthTemporary},
	{at: atLogin, texts: damagedTexts, reason: mail.MailboxFailed},
	{at: atLogin | atMailbox, texts: tooSoonTexts, reason: mail.AuthTooSoon},
	{at: atMailbox, texts: temporaryTexts, reason: mail.ServerUnavailable},
	{at: atMailbox, texts: leavingTexts, reason: mail.ServerUnavailable},
	{at: atGreeting, texts: laterTexts, reason: mail.ServerUnavailable},

	// Defaults. No password has been sent when USER is refused.
	{at: atLogin, command: "USER", only: refusedInClear, reason: mail.AuthNeedsTLS},
	{at: atLogin, reason: mail.AuthRejected},
	{at: atGreeting, reason: mail.ServerRefused},
	{at: atMailbox, reason: mail.MailboxFailed},
}

// smtpRules follow RFC 4954 section 6, RFC 5248 and RFC 5321 section 4.2.
var smtpRules = []refusalRule{
	{at: anywhere, status: "2", reason: mail.ProtocolMalformed}, // a success, but not the one of this command
	{at: anywhere, status: "3", reason: mail.ProtocolMalformed},

	// The name in EHLO, also where it is refused late.
	{at: atHello | atMailbox, texts: clientNameTexts, reason: mail.CommandRejected},

	{at: outsideLogin, texts: licenceTexts, reason: mail.ServerUnavailable},

	// 421 may answer any command: the server is leaving.
	{at: anywhere, status: "421", texts: limitTexts, reason: mail.ServerLimit},
	{at: atLogin, status: "421", texts: serverErrorTexts, reason: mail.AuthTemporary},
	{at: atLogin, status: "421", code: "4.7.0", texts: tooSoonTexts, reason: mail.AuthTooSoon},
	{at: atLogin, status: "421", texts: lockedOutTexts, reason: mail.AuthTooSoon, doubtful: true},
	// With a code for security, or words about a login, it may have refused one.
	{at: atLogin, status: "421", code: "4.7.", reason: mail.ServerUnavailable, doubtful: true},
	{at: atLogin, status: "421", texts: loginWords, reason: mail.ServerUnavailable, doubtful: true},
	{at: anywhere, status: "421", reason: mail.ServerUnavailable},
	{at: atStartTLS, status: "454", reason: mail.StartTLSRefused},
	{at: atStartTLS, status: "5", reason: mail.StartTLSRefused},

	// Temporary refusals of a login.
	{at: atLogin, status: "432", code: "4.3.2", reason: mail.ServerLimit},
	{at: atLogin, status: "432", code: "4.7.12", reason: mail.AuthExpired},
	{at: atLogin, status: "4", texts: limitTexts, reason: mail.ServerLimit},
	{at: atLogin, status: "4", texts: serverErrorTexts, reason: mail.AuthTemporary},
	{at: atLogin, code: "4.7.0", texts: tooSoonTexts, reason: mail.AuthTooSoon},
	{at: atLogin, status: "4", texts: lockedOutTexts, reason: mail.AuthTooSoon, doubtful: true},
	{at: atLogin, status: "432", reason: mail.AuthExpired}, // RFC 4954: a password transition is needed
	{at: atLogin, status: "4", texts: proxyTexts, reason: mail.AuthTemporary, doubtful: true},
	{at: atLogin, status: "4", texts: wrongPasswordWords, reason: mail.AuthTemporary, doubtful: true},
	{at: atLogin, status: "4", reason: mail.AuthTemporary},

	// Texts that are believed beside a code of a refused login.
	{at: atLogin, code: "5.7.8", texts: standardTexts, reason: mail.AuthRejected},
	{at: atLogin, texts: severalTexts, reason: mail.AuthRejected},
	{at: atLogin, texts: methodTexts, reason: mail.AuthMethodForbidden},
	{at: atLogin, texts: disabledTexts, reason: mail.AuthDisabled},
	{at: atLogin, texts: licenceTexts, reason: mail.AuthTemporary},
	{at: atLogin, texts: expiredTexts, reason: mail.AuthExpired},
	{at: atLogin, texts: lockedOutTexts, reason: mail.AuthTooSoon, doubtful: true},
	{at: atLogin, texts: addressTexts, reason: mail.ServerRefused, doubtful: true},
	{at: atLogin, texts: unwelcomeTexts, reason: mail.ServerRefused, doubtful: true},
	{at: atLogin, texts: badMechanismTexts, reason: mail.AuthMechanism},
	{at: atLogin, texts: deadBackEndTexts, reason: mail.AuthTemporary},
	{at: atLogin, texts: saslTexts, reason: mail.AuthTemporary, doubtful: true},

	{at: atLogin, status: "550", texts: limitTexts, reason: mail.ServerLimit}, // QQ; 535 stays a refused login

	// Codes and replies to a login.
	{at: atLogin, code: "5.7.139", reason: mail.AuthMethodForbidden, advice: policyAdvice},
	{at: atLogin, code: "5.7.30", reason: mail.AuthMethodForbidden, advice: basicAuthAdvice},
	{at: atLogin, code: "5.7.9", reason: mail.AuthMethodForbidden},
	{at: atLogin, code: "5.7.14", reason: mail.AuthMethodForbidden, advice: webLoginAdvice}, // Gmail
	{at: atLogin, code: "5.7.10", reason: mail.AuthNeedsTLS},
	{at: atLogin, code: "5.7.11", reason: mail.AuthNeedsTLS},
	{at: atLogin, code: "5.7.12", reason: mail.AuthExpired},
	{at: atLogin, code: "5.7.13", reason: mail.AuthDisabled},
	{at: atLogin, code: "5.7.4", reason: mail.AuthMechanism},
	{at: atLogin, code: "5.7.8", reason: mail.AuthRejected},
	{at: atLogin, code: "5.7.3", reason: mail.AuthRejected},
	{at: atLogin, status: "535", reason: mail.AuthRejected},
	{at: atLogin, status: "530", reason: mail.AuthNeedsTLS},
	{at: atLogin, status: "534", reason: mail.AuthMethodForbidden},
	{at: atLogin, status: "525", reason: mail.AuthDisabled},
	{at: atLogin, status: "523", reason: mail.AuthNeedsTLS},
	{at: atLogin, status: "538", reason: mail.AuthNeedsTLS},
	{at: atLogin, status: "504", reason: mail.AuthMechanism},

	{at: atHello, status: "501", reason: mail.CommandRejected, advice: clientNameAdvice},
	{at: atHello, status: "504", reason: mail.CommandRejected, advice: clientNameAdvice},

	// Codes, replies and texts to MAIL and RCPT.
	{at: atMailbox, texts: senderTexts, reason: mail.NotAuthorized},
	{at: atMailbox, texts: blockedSenderTexts, reason: mail.NotAuthorized},
	{at: atMailbox, status: "553", code: "5.7.1", reason: mail.NotAuthorized},
	{at: atMailbox, code: "5.7.60", reason: mail.NotAuthorized},
	{at: atMailbox, status: "554", code: "5.2.0", reason: mail.NotAuthorized},
	{at: atMailbox, texts: needsTLSTexts, reason: mail.AuthNeedsTLS},
	{at: atMailbox, status: "5", texts: loginFirstTexts, reason: mail.NotAuthorized},
	{at: atMailbox, status: "530", reason: mail.NotAuthorized, advice: loginFirstAdvice},
	{at: atMailbox, texts: limitTexts, reason: mail.ServerLimit},
	{at: atMailbox, code: "5.4.5", reason: mail.ServerLimit, advice: dailyAdvice}, // Gmail, Yahoo
	{at: outsideLogin, status: "4", texts: greylistTexts, reason: mail.ServerUnavailable},
	{at: atMailbox, texts: fullTexts, reason: mail.MailboxFailed},
	{at: atMailbox, code: "5.2.2", reason: mail.MailboxFailed, advice: quotaAdvice},
	{at: atMailbox, code: "4.2.2", reason: mail.MailboxFailed, advice: quotaAdvice},
	{at: atMailbox, status: "552", reason: mail.MailboxFailed},
	{at: outsideLogin, texts: unwelcomeTexts, reason: mail.ServerRefused},
	{at: atMailbox, texts: relayTexts, reason: mail.MailboxDenied},
	{at: atMailbox, texts: noSenderTexts, reason: mail.MailboxDenied},
	{at: atMailbox, command: "MAIL", code: "5.1.7", reason: mail.MailboxDenied, advice: noSenderAdvice},
	{at: atMailbox, command: "RCPT", texts: unknownUserTexts, reason: mail.MailboxMissing},
	{at: atMailbox, command: "RCPT", status: "5", texts: noRecipientTexts, reason: mail.MailboxMissing},
	{at: atMailbox, command: "RCPT", code: "5.1.", reason: mail.MailboxMissing},
	{at: atMailbox, command: "RCPT", code: "4.1.2", reason: mail.MailboxMissing}, // Postfix, of a domain that is not found
	{at: atMailbox, command: "RCPT", status: "550", code: "5.7.", reason: mail.MailboxDenied},
	{at: atMailbox, command: "RCPT", status: "550", reason: mail.MailboxMissing},
	{at: atMailbox, command: "RCPT", status: "551", reason: mail.MailboxMissing},

	// Replies and texts anywhere.
	{at: outsideLogin, status: "4", texts: limitTexts, reason: mail.ServerLimit},
	{at: outsideLogin, status: "4", reason: mail.ServerUnavailable},
	{at: atGreeting | atHello, status: "5", texts: limitTexts, reason: mail.ServerLimit},
	{at: atGreeting, status: "5", reason: mail.ServerRefused},
	{at: atLogin, texts: mechanismTexts, reason: mail.AuthMechanism},
	{at: atLogin, status: "50", texts: wrongPasswordWords, reason: mail.AuthRejected},
	{at: anywhere, status: "500", reason: mail.CommandRejected},
	{at: anywhere, status: "501", reason: mail.CommandRejected},
	{at: anywhere, status: "502", reason: mail.CommandRejected},
	{at: anywhere, status: "503", reason: mail.CommandRejected},
	{at: anywhere, status: "504", reason: mail.CommandRejected},
	{at: anywhere, status: "555", reason: mail.CommandRejected},
	{at: atLogin, texts: needsTLSTexts, reason: mail.AuthNeedsTLS},

	// Defaults.
	{at: atLogin, reason: mail.AuthRejected},
	{at: atHello, reason: mail.ServerRefused},
	{at: atMailbox, reason: mail.MailboxDenied},
}
