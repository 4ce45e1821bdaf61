package routes

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"mailprobe/mail"
)

// results writes what was read in the order of the closed set.
func results(got map[mail.SenderCheck]mail.CheckResult) string {
	var words []string
	for _, check := range mail.SenderChecks() {
		if r, ok := got[check]; ok {
			words = append(words, string(check)+"="+string(r))
		}
	}
	return strings.Join(words, " ")
}

// The forms are those of the providers' own documents and of messages quoted in
// public bug reports, with names and addresses replaced.
func TestAuthenticationResultsOfRealProviders(t *testing.T) {
	tests := []struct {
		name, value string
		id, want    string
	}{
		{"Gmail", `mx.google.com;
       dkim=pass header.i=@example.org header.s=s1 header.b="ab/c+d";
       spf=pass (google.com: domain of probe@example.org designates 192.0.2.1 as permitted sender) smtp.mailfrom=probe@example.org;
       dmarc=pass (p=REJECT sp=REJECT dis=NONE) header.from=example.org`,
			"mx.google.com", "spf=pass dkim=pass dmarc=pass"},
		{"Exchange Online writes no authserv-id", `spf=pass (sender IP is 192.0.2.1) smtp.mailfrom=example.org; dkim=pass (signature was verified) header.d=example.org;dmarc=bestguesspass action=none header.from=example.org;compauth=pass reason=109`,
			"", "spf=pass dkim=pass dmarc=unknown"},
		{"Exchange Online before its first part", `spf=fail (sender IP is 192.0.2.1) smtp.mailfrom=example.org; dkim=none (message not signed) header.d=none;dmarc=fail action=oreject header.from=example.org;`,
			"", "spf=fail dkim=none dmarc=fail"},
		{"OpenDKIM's comment holds a semicolon", `mail.example.org;
	dkim=pass (2048-bit key; unprotected) header.d=example.org header.i=@example.org header.b="x1"; dkim-atps=neutral`,
			"mail.example.org", "dkim=pass"},
		{"Yahoo", `atlas101.mail.example.com; dkim=pass header.i=@example.org header.s=s1; spf=pass smtp.mailfrom=example.org; dmarc=pass(p=NONE) header.from=example.org;`,
			"atlas101.mail.example.com", "spf=pass dkim=pass dmarc=pass"},
		{"Fastmail", `mx5.messagingengine.com;
    arc=none (no signatures found);
    dkim=pass (2048-bit rsa key sha256) header.d=example.org header.i=@example.org header.b=abc header.a=rsa-sha256 header.s=s1;
    dmarc=pass policy.published-domain-policy=none policy.applied-disposition=none (p=none,d=none) header.from=example.org;
    iprev=pass smtp.remote-ip=192.0.2.1 (mx.example.org);
    spf=pass smtp.mailfrom=probe@example.org smtp.helo=mx.example.org`,
			"mx5.messagingengine.com", "spf=pass dkim=pass dmarc=pass arc=none"},
		{"GMX", `gmx.net; dkim=none; spf=softfail`, "gmx.net", "spf=softfail dkim=none"},
		{"rspamd", `mail.example.org;
	dkim=permerror ("invalid key") header.d=example.org; spf=neutral (mail.example.org: 192.0.2.1 is neither permitted nor denied) smtp.mailfrom=probe@example.org; dmarc=none; arc=pass ("arc:example.net:i=1")`,
			"mail.example.org", "spf=neutral dkim=permerror dmarc=none arc=pass"},
		{"mail.ru, with a version", `mxs.mail.ru 1; spf=pass (mx250.i.mail.ru: domain of example.org designates 192.0.2.1 as permitted sender) smtp.mailfrom=probe@example.org smtp.helo=mx.example.org; dkim=pass header.d=example.org; dmarc=pass header.from=probe@example.org`,
			"mxs.mail.ru", "spf=pass dkim=pass dmarc=pass"},
		{"nothing was done", `mail.example.org; none`, "mail.example.org", ""},
		{"two signatures, one passes", `mx; dkim=fail header.d=list.example; dkim=pass header.d=example.org`, "mx", "dkim=pass"},
		{"a method with a version", `mx; dkim/1=pass`, "mx", "dkim=pass"},
		{"in capitals", `MX; SPF=PASS`, "MX", "spf=pass"},
		{"a label made up by a server", `mx; spf=<script>; dkim=` + strings.Repeat("x", 500), "mx", "spf=unknown dkim=unknown"},
		{"a comment that never ends", `mx; spf=pass (oops; dkim=pass`, "mx", "spf=pass"},
		{"empty", ``, "", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			unfolded := parseHeader([]byte("Authentication-Results: " + strings.ReplaceAll(test.value, "\n", "\r\n ") + "\r\n"))
			id, got := parseAuthenticationResults(unfolded[0].value)
			if id != test.id || results(got) != test.want {
				t.Errorf("%q with %s, want %q with %s", id, results(got), test.id, test.want)
			}
		})
	}
}

func TestAuthenticationResultsOfAnInnerHopAreNotBelieved(t *testing.T) {
	field := func(value string) string { return "Authentication-Results: " + value + "\r\n" }
	forged := field("mx.example.org; spf=pass; dkim=pass")
	tests := []struct {
		name, header, id string
		want             string
		trusted          bool
	}{
		{"the configured host's own", field("mx.example.org; dkim=fail"), "mx.example.org", "dkim=fail", true},
		{"below it a forged one in its name", field("mx.example.org; dkim=fail") + forged, "mx.example.org", "dkim=fail", true},
		{"another host's alone", field("inner.example.net; dkim=pass"), "mx.example.org", "dkim=pass", false},
		{"no host is configured", forged, "", "spf=pass dkim=pass", false},
		{"none at all", "Subject: x\r\n", "mx.example.org", "", false},
		{"in capitals", field("MX.Example.ORG; dkim=pass"), "mx.example.org", "dkim=pass", true},
	}
	for _, test := range tests {
		got, trusted := authentication(parseHeader([]byte(test.header)), test.id)
		if results(got) != test.want || trusted != test.trusted {
			t.Errorf("%s: %s, trusted %v; want %s, %v", test.name, results(got), trusted, test.want, test.trusted)
		}
	}
}

func TestMissingNamesTheFirstRequiredResult(t *testing.T) {
	got := map[mail.SenderCheck]mail.CheckResult{mail.CheckSPF: mail.ResultPass, mail.CheckDKIM: mail.ResultFail}
	for want, require := range map[mail.SenderCheck]map[mail.SenderCheck]mail.CheckResult{
		"":              {mail.CheckSPF: mail.ResultPass},
		mail.CheckDKIM:  {mail.CheckSPF: mail.ResultPass, mail.CheckDKIM: mail.ResultPass},
		mail.CheckDMARC: {mail.CheckDMARC: mail.ResultPass},
	} {
		if check := missing(require, got); check != want {
			t.Errorf("%v of %v: %q, want %q", require, got, check, want)
		}
	}
}

// FuzzHeader feeds what any server on the way may write: nothing may crash, and
// nothing but words of the closed sets may come out.
func FuzzHeader(f *testing.F) {
	f.Add("Authentication-Results: mx; spf=pass (a (b) c); dkim=fail\r\nReceived: from a (b [192.0.2.1]) by c with ESMTP; Mon, 2 Jan 2006 15:04:05 +0000\r\n")
	f.Add("X-Mailprobe: v1; r; 1; 2026-11-28T00:00:00Z; 00\r\n x\r\n")
	f.Add("Received: ((((((;")
	f.Add("Content-Type: multipart/report\r\n\r\nAction: failed\r\nStatus: 5.1.1 (\\")
	f.Fuzz(func(t *testing.T, header string) {
		fields := parseHeader([]byte(header))
		got, _ := authentication(fields, "mx")
		for check, result := range maps.All(got) {
			if !senderChecks[check] || ranks[result] == 0 {
				t.Errorf("%q=%q is in no closed set", check, result)
			}
		}
		for _, hop := range hops(fields) {
			if len(fmt.Sprint(hop.From, hop.By, hop.With)) > 3*maxHopText {
				t.Errorf("%+v is too long", hop)
			}
		}
		_, _, _ = parseMark(first(fields, fieldMailprobe))
		if s, _, ok := parseStatus([]byte(header)); ok && actionRank[s.action] == 0 {
			t.Errorf("action %q", s.action)
		}
	})
}
