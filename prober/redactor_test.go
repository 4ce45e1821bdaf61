package prober

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mailprobe/internal/canary"
	"mailprobe/mail"
)

// searchingFor returns a redactor for a server that was given secrets.
func searchingFor(secrets ...string) *redactor {
	given := new(givenSecrets).server("mail.example.org")
	for _, secret := range secrets {
		given.add(mail.NewSecret(secret), false, time.Now())
	}
	return &redactor{servers: []*serverSecrets{given}}
}

func TestRedactorFindsTheSecretInEveryCoding(t *testing.T) {
	secret := canary.New()
	r := searchingFor("another one, "+canary.New(), secret)
	half := secret[len(secret)/2:]
	for _, part := range []string{secret, secret[:len(secret)/2], half} {
		for name, coded := range canary.Codings(part) {
			if text := "CN=mx " + coded + " says hello"; !r.contains(text) {
				t.Errorf("not found %s: %q", name, text)
			}
		}
	}
	base64Of := base64.StdEncoding.EncodeToString
	for name, text := range map[string]string{
		"eight bytes of it":       "…" + secret[9:17] + "…",
		"PLAIN":                   base64Of([]byte("\x00alice\x00" + secret)),
		"XOAUTH2":                 base64Of([]byte("user=alice\x01auth=Bearer " + secret + "\x01\x01")),
		"base64 of hex":           base64Of([]byte(hex.EncodeToString([]byte(secret)))),
		"base64 of base64":        base64Of([]byte(base64Of([]byte(secret)))),
		"bytes with colons":       strings.ReplaceAll(fmt.Sprintf("% x", secret), " ", ":"),
		"bytes of C":              fmt.Sprintf("%# x", secret),
		"mixed escapes":           "%" + hex.EncodeToString([]byte(secret[:1])) + secret[1:4] + `\x` + hex.EncodeToString([]byte(secret[4:5])) + secret[5:9],
		"UTF-16 in base64":        base64Of([]byte(strings.Join(strings.Split(secret, ""), "\x00"))),
		"capitals, backwards":     strings.ToUpper(canary.Codings(secret)["backwards"]),
		"an echo of the command":  "* BAD LOGIN alice {" + "42} " + secret,
		"in a URL inside of JSON": `{"u":"` + canary.Codings(canary.Codings(secret)["in a URL"])["in JSON"] + `"}`,
	} {
		if !r.contains(text) {
			t.Errorf("not found: %s in %q", name, text)
		}
	}
}

func TestRedactorShowsWhatHoldsNoSecret(t *testing.T) {
	r := searchingFor(canary.New(), "correct horse", "correct horse battery staple", "Support2024!", "wonder land", "password123")
	for _, text := range []string{"", elided, "* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN] Dovecot ready.", "220 mx.example.org ESMTP Postfix",
		"535 5.7.8 Error: authentication failed: Incorrect username or password (Failure)", "+ " + base64.StdEncoding.EncodeToString([]byte(canary.New())),
		"-ERR [AUTH] Your password is not supported here", canary.New(), strings.Repeat("x", 600)} {
		if r.contains(text) {
			t.Errorf("found in %q", text)
		}
	}
}

func TestRedactorFindsShortSecrets(t *testing.T) {
	tests := []struct{ secret, hit, miss string }{
		{"x7q", "NO x7q is wrong", "NO x7qs"},
		{"x7q", "NO eDdx is wrong", "NO eDd"},
		{"ab", "NO <AB>", "NO cab about"},
		{"hunt5", "NO thehunt5er", "NO hunt 6"},
		{"hunt5", "NO h u n t 5", "NO h u n t"},
		{"hunt5", "NO aHVudDU=", "NO aHVudDY="},
		{"hunt5", "NO 68756e7435", "NO 68756e7436"},
		{"hunt5", "NO 5tnuh", "NO 6tnuh"},
		{"!§$", "NO !§$", "NO !$§"},
		{"secret", "NO the secret word", "NO se cre"},
	}
	for _, test := range tests {
		r := searchingFor(test.secret)
		if !r.contains(test.hit) || r.contains(test.miss) {
			t.Errorf("%q: in %q %v, in %q %v", test.secret, test.hit, r.contains(test.hit), test.miss, r.contains(test.miss))
		}
	}
}

func TestRedactorFindsPartsOfALongToken(t *testing.T) {
	token := ""
	for range 40 {
		token += canary.New()
	}
	r := searchingFor(token)
	for at := 0; at+secretWindow+sparseStep <= len(token); at += 97 {
		if part := token[at : at+secretWindow+sparseStep]; !r.contains("NO " + part + ".") {
			t.Errorf("not found: %q", part)
		}
	}
}

func TestRedactorRedactsCertificates(t *testing.T) {
	secret := canary.New()
	chain := func() []mail.CertificateFacts {
		return []mail.CertificateFacts{{Subject: "CN=" + secret, Issuer: "CN=ca", DNSNames: []string{"mail.example.org", secret}}}
	}
	shown, hidden := chain(), chain()
	searchingFor(secret).redactCertificates(shown)
	if text := toJSON(shown); canary.Find(text, secret) != "" || !strings.Contains(text, "CN=ca") || !strings.Contains(text, "mail.example.org") {
		t.Errorf("shown: %s", text)
	}
	(&redactor{hidden: true}).redactCertificates(hidden)
	if text := toJSON(hidden); strings.Contains(text, "CN=ca") || strings.Contains(text, "mail.example.org") {
		t.Errorf("hidden: %s", text)
	}
}

// Passwords stay known after a rotation; tokens for a day or two.
func TestGivenSecretsAreRememberedAndBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		given := new(givenSecrets)
		server := given.server("mail.example.org")
		if server != given.server("MAIL.example.org") || server == given.server("mx.example.org") {
			t.Error("a server is its name, in any case")
		}
		password, token := canary.New(), canary.New()
		r := &redactor{servers: []*serverSecrets{server}}
		server.add(mail.NewSecret(password), false, time.Now())
		server.add(mail.NewSecret(token), true, time.Now())
		for range 100 {
			time.Sleep(time.Hour)
			server.add(mail.NewSecret(canary.New()), false, time.Now())
			server.add(mail.NewSecret(canary.New()), true, time.Now())
		}
		if !r.contains(password) || r.contains(token) {
			t.Errorf("after four days the password is found: %v, the token: %v", r.contains(password), r.contains(token))
		}
		for range 3 * maxWindows / 160 { // each has about 160 windows
			server.add(mail.NewSecret(canary.New()), false, time.Now())
		}
		if n := server.passwords.current.used + server.passwords.previous.used; n > 2*maxWindows+1000 {
			t.Errorf("%d windows are kept", n)
		}
		if r.contains(password) {
			t.Error("the oldest password is kept although two generations were filled since")
		}
	})
}

// FuzzRedactor: no text makes the search crash, and it finds a secret in any
// surroundings.
func FuzzRedactor(f *testing.F) {
	secret := "kT9#wq~Lp2vX"
	r := searchingFor(secret, "ab", "q7z")
	for _, seed := range []string{"", "%", "=4", `\u{`, `\u{41}`, `\`, "&#", "0x", "QUJD", "MFRGG===", "115 101", "\xff\x00"} {
		f.Add(seed, seed)
	}
	f.Fuzz(func(t *testing.T, before, after string) {
		if !r.contains(before + secret + after) {
			t.Errorf("not found in %q", before+secret+after)
		}
	})
}

func BenchmarkRedactor(b *testing.B) {
	lines := []string{"* OK [CAPABILITY IMAP4rev1 SASL-IR LOGIN-REFERRALS ID ENABLE IDLE LITERAL+ AUTH=PLAIN AUTH=LOGIN] Dovecot (Debian) ready.",
		"* CAPABILITY IMAP4rev1 SASL-IR LOGIN-REFERRALS ID ENABLE IDLE LITERAL+ AUTH=PLAIN AUTH=LOGIN", "T1 OK Pre-login capabilities listed, post-login capabilities have more.",
		"T2 OK [CAPABILITY IMAP4rev1 SASL-IR LOGIN-REFERRALS ID ENABLE IDLE SORT THREAD=REFERENCES MULTIAPPEND UNSELECT CHILDREN NAMESPACE UIDPLUS] Logged in",
		"* FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft)", "* 3 EXISTS", "* 0 RECENT", "* OK [UIDVALIDITY 1764345600] UIDs valid", "T3 OK [READ-ONLY] Examine completed.",
		"* BYE Logging out", "T4 OK Logout completed."}
	r := searchingFor(canary.New(), "password123")
	search := func(b *testing.B, before func()) {
		b.ReportAllocs()
		for b.Loop() {
			before()
			for _, line := range lines {
				if r.contains(line) {
					b.Fatal(line)
				}
			}
		}
	}
	b.Run("first_probe", func(b *testing.B) { search(b, func() { r.servers[0].given.clean.newer = hashSet{} }) })
	b.Run("next_probe", func(b *testing.B) { search(b, func() {}) })
}

// A host name that has another address at each probe does not make the memory grow, and
// a server that is contacted now and then is not forgotten for it.
func TestServersThatAreNotContactedAnyMoreAreForgotten(t *testing.T) {
	t.Parallel()
	given := new(givenSecrets)
	kept, gone := given.server("mail.example.org"), given.server("192.0.2.1")
	for i := range 2 * maxServers {
		given.server(fmt.Sprintf("2001:db8::%x:%x", i>>16, i&0xffff))
		if i%1000 == 0 && given.server("mail.example.org") != kept {
			t.Fatalf("forgotten after %d other addresses", i)
		}
	}
	if n := len(given.servers) + len(given.older); n > 2*maxServers {
		t.Errorf("%d servers are kept, want at most %d", n, 2*maxServers)
	}
	if given.server("192.0.2.1") == gone {
		t.Error("a server that was not contacted any more is kept")
	}
}

// A text that was found clean is searched again once the server was given another
// secret, and is never remembered for one that came during the search.
func TestRedactorSearchesAgainAfterANewSecret(t *testing.T) {
	const line = "* OK ready, hunter2hunter2 is the word"
	s := new(givenSecrets).server("mail.example.org")
	s.add(mail.NewSecret("another password"), false, time.Now())
	r := &redactor{servers: []*serverSecrets{s}}
	for range 2 {
		if r.contains(line) {
			t.Fatal("found before it was given")
		}
	}
	if _, known, _ := s.lookUp(line); !known {
		t.Error("a clean text is not remembered")
	}
	_, _, before := s.lookUp(line)
	s.add(mail.NewSecret("hunter2hunter2"), false, time.Now())
	s.remember(line, before)
	for range 2 {
		if !r.contains(line) {
			t.Error("not found although it was given")
		}
	}
	if _, known, _ := s.lookUp(line); known {
		t.Error("a text with a secret is remembered as clean")
	}
}

func TestRedactorRemembersFewTexts(t *testing.T) {
	const bound = moreCleanTexts + cleanTextsPerServer
	given := new(givenSecrets)
	s := given.server("mail.example.org")
	s.add(mail.NewSecret("hunter2hunter2"), false, time.Now())
	r := &redactor{servers: []*serverSecrets{s}}
	for i := range 3 * bound {
		if r.contains("clean "+strconv.Itoa(i)) || r.contains("in each probe") {
			t.Fatal("found")
		}
	}
	if n := given.clean.newer.used + given.clean.older.used; n < bound || n > 2*bound {
		t.Errorf("%d texts, want %d to %d", n, bound, 2*bound)
	}
	for text, want := range map[string]bool{"clean " + strconv.Itoa(3*bound-1): true, "in each probe": true, "clean 0": false} {
		if _, known, _ := s.lookUp(text); known != want {
			t.Errorf("%q is known: %v, want %v", text, known, want)
		}
	}
}

// Servers with the same password share what is kept of it, until one is given another.
// A text is searched for the secrets of its own server alone, and for all of them.
func TestServersWithTheSameSecretShareItsWindows(t *testing.T) {
	t.Parallel()
	const password, other, text = "hunter2hunter2", "correct horse 7", "* OK my word is correct horse 7"
	given := new(givenSecrets)
	host, address := given.server("mail.example.org"), given.server("192.0.2.1")
	for _, s := range []*serverSecrets{host, address} {
		s.add(mail.NewSecret(password), false, time.Now())
	}
	if host.passwords.current != address.passwords.current {
		t.Error("the same password is kept twice")
	}
	onHost, onAddress := &redactor{servers: []*serverSecrets{host}}, &redactor{servers: []*serverSecrets{address}}
	if onHost.contains(text) {
		t.Error("found before it was given")
	}
	if _, known, _ := address.lookUp(text); !known {
		t.Error("what is clean for one is not clean for the other")
	}
	host.add(mail.NewSecret(other), false, time.Now())
	for range 2 {
		if !onHost.contains(text) || !onHost.contains(password) {
			t.Error("not found although it was given")
		}
		if onAddress.contains(text) || !onAddress.contains(password) {
			t.Error("searched for the secrets of another server")
		}
	}
}

// The same secret in both generations is not taken for none.
func TestTextIsSearchedAgainForASecretGivenTwice(t *testing.T) {
	t.Parallel()
	const text = "* OK my word is hunter2hunter2"
	s := new(givenSecrets).server("mail.example.org")
	s.add(mail.NewSecret("correct horse 7"), true, time.Now())
	r := &redactor{servers: []*serverSecrets{s}}
	if r.contains(text) {
		t.Fatal("found before it was given")
	}
	for _, isToken := range []bool{false, true} {
		s.add(mail.NewSecret("hunter2hunter2"), isToken, time.Now())
		if !r.contains(text) {
			t.Errorf("not found; as a token: %v", isToken)
		}
	}
}
