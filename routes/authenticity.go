package routes

// This file reads Authentication-Results (RFC 8601), in which a receiving server reports
// what it found out about the sender. Every server on the way can write such a field, so
// only those of the configured host are trusted.

import (
	"strings"

	"mailprobe/mail"
)

const maxAuthenticationResults = 10 // fields that are looked at

// authentication returns the results of a message. trusted reports that they are those
// of authservID. If authservID is empty or has no field, the results are those of the
// topmost field, which the last server wrote.
func authentication(fields []field, authservID string) (results map[mail.SenderCheck]mail.CheckResult, trusted bool) {
	seen := 0
	for _, f := range fields {
		if !strings.EqualFold(f.name, "Authentication-Results") {
			continue
		}
		if seen++; seen > maxAuthenticationResults {
			break
		}
		id, found := parseAuthenticationResults(f.value)
		if authservID != "" && strings.EqualFold(id, authservID) {
			return found, true
		}
		if results == nil {
			results = found
		}
	}
	return results, false
}

// parseAuthenticationResults reads one field. Of several results of one method
// the best counts: a message may carry more than one DKIM signature, and one that
// passes is enough (RFC 6376 section 6.1).
func parseAuthenticationResults(value string) (authservID string, results map[mail.SenderCheck]mail.CheckResult) {
	value = withoutComments(value)
	id, rest, _ := strings.Cut(value, ";")
	if words := strings.Fields(id); len(words) > 0 && strings.Contains(words[0], "=") {
		// Microsoft writes no authserv-id: the first part is a result already.
		id, rest = "", value
	}
	authservID, _, _ = strings.Cut(strings.TrimSpace(id), " ") // a version may follow
	results = map[mail.SenderCheck]mail.CheckResult{}
	for part := range strings.SplitSeq(rest, ";") {
		method, result, ok := parseResult(part)
		if ok && better(result, results[method]) {
			results[method] = result
		}
	}
	return authservID, results
}

// parseResult reads one `method=result ...`. No library is used, because the known
// ones refuse a whole field for one odd part, such as OpenDKIM's comment with a
// semicolon or Microsoft's missing authserv-id.
func parseResult(part string) (mail.SenderCheck, mail.CheckResult, bool) {
	part = strings.TrimSpace(part)
	word, _, _ := strings.Cut(part, " ")
	method, value, ok := strings.Cut(word, "=")
	method, _, _ = strings.Cut(strings.ToLower(strings.TrimSpace(method)), "/") // a version may follow
	known := senderChecks[mail.SenderCheck(method)]
	if !ok || !known {
		return "", "", false
	}
	result := mail.CheckResult(strings.ToLower(strings.Trim(strings.TrimSpace(value), `"`)))
	if ranks[result] == 0 {
		result = mail.ResultUnknown
	}
	return mail.SenderCheck(method), result, true
}

// senderChecks are the methods that are read.
var senderChecks = map[mail.SenderCheck]bool{mail.CheckSPF: true, mail.CheckDKIM: true, mail.CheckDMARC: true, mail.CheckARC: true}

// ranks orders the results, the best last.
var ranks = map[mail.CheckResult]int{
	mail.ResultUnknown: 1, mail.ResultPermError: 2, mail.ResultTempError: 3, mail.ResultFail: 4, mail.ResultSoftFail: 5,
	mail.ResultPolicy: 6, mail.ResultNone: 7, mail.ResultNeutral: 8, mail.ResultPass: 9,
}

func better(a, b mail.CheckResult) bool { return ranks[a] > ranks[b] }

// missing returns the first required check without its result, in the order of the
// closed set; empty: all are there.
func missing(required, got map[mail.SenderCheck]mail.CheckResult) mail.SenderCheck {
	for _, check := range mail.SenderChecks() {
		if want, ok := required[check]; ok && got[check] != want {
			return check
		}
	}
	return ""
}
