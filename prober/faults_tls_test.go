package prober

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"mailprobe/internal/mailtest"

	"mailprobe/mail"
)

// tlsFaults is section C of the catalogue, made once: keys take time. Each fault
// is played for TLS from the first byte and behind STARTTLS.
var tlsFaults = sync.OnceValue(makeTLSFaults)

func makeTLSFaults() []faultCase {
	var cases []faultCase
	for _, fault := range append(append(clearFaults(), handshakeFaults()...), certificateFaults()...) {
		cases = append(cases, fault.cases()...)
	}
	return append(cases, recordFaults()...)
}

// handshakeFault is what a server does where its handshake should be.
type handshakeFault struct {
	number int
	story  string
	script string           // from the ClientHello on; "TLS" by default
	cert   *tls.Certificate // presented; the good one by default
	server func(*tls.Config)
	client func(*tls.Config)
	phase  mail.Phase // PhaseTLS by default
	reason mail.Reason
	fine   bool // the probe is up, and the script goes on to the end
	check  func(*testing.T, faultRun)
}

// cases are the two cases of a fault, one for each way into TLS.
func (f handshakeFault) cases() []faultCase {
	if f.script == "" {
		f.script = "TLS"
	}
	if f.phase == "" && !f.fine {
		f.phase = mail.PhaseTLS
	}
	fault := faultCase{numbers: []int{f.number}, phase: f.phase, reason: f.reason, check: f.check,
		change: func(c *mail.Connection) {
			if f.client != nil {
				f.client(c.TLS)
			}
		},
		server: func(o *mailtest.ScriptOptions) {
			o.TLS = o.TLS.Clone()
			if f.cert != nil {
				o.TLS.Certificates = []tls.Certificate{*f.cert}
			}
			if f.server != nil {
				f.server(o.TLS)
			}
		}}
	implicit, later := fault, fault
	implicit.story, implicit.encryptions = f.story+"_from_the_first_byte", []mail.Encryption{mail.ImplicitTLS}
	implicit.script = map[mail.Protocol]string{}
	later.story, later.encryptions, later.after = f.story+"_after_starttls", []mail.Encryption{mail.StartTLS}, greeted
	later.script = map[mail.Protocol]string{}
	for p, part := range honestParts {
		goOn := "\nSTALL"
		if f.fine {
			goOn = "\n" + strings.Join([]string{part.hello, part.login, part.mailbox, "BYE " + string(p)}, "\n")
		}
		later.script[p] = part.starttls + "\n" + f.script + goOn
		if f.fine || f.phase == mail.PhaseGreeting {
			goOn = "\n" + part.greeting + goOn
		}
		implicit.script[p] = f.script + goOn
	}
	if f.phase == mail.PhaseGreeting {
		later.phase = mail.PhaseHello // the first read after the handshake
	}
	return []faultCase{implicit, later}
}

// rawBytes answers the ClientHello below TLS.
func rawBytes(text string) string { return "READ 5\nRAW " + quoteASCII(text) }

// clearFaults answer the ClientHello with what is no handshake.
func clearFaults() []handshakeFault {
	return []handshakeFault{
		{number: 33, story: "imap_in_clear", script: rawBytes("* OK ready\r\n"), reason: mail.TLSPlaintext},
		{number: 33, story: "pop3_in_clear", script: rawBytes("+OK ready\r\n"), reason: mail.TLSPlaintext},
		{number: 33, story: "smtp_in_clear", script: rawBytes("220 ready\r\n"), reason: mail.TLSPlaintext},
		{number: 35, story: "alert_handshake_failure", script: rawBytes(alert(40)), reason: mail.TLSHandshake},
		{number: 36, story: "random_bytes", script: rawBytes("\x8f\x01\xff\x00\x93\x12\x77\xe0\x41"), reason: mail.TLSHandshake},
		{number: 36, story: "random_bytes_like_a_record", script: rawBytes("\x16\x03\x03\x00\x04\x8f\x01\xff\x00"), reason: mail.TLSHandshake},
		{number: 37, story: "silence_after_the_client_hello", script: "READ 5\nSTALL", reason: mail.Timeout},
		{number: 38, story: "fin_in_the_handshake", script: "READ 5\nCUT", reason: mail.Closed},
		{number: 38, story: "reset_in_the_handshake", script: "READ 5\nRESET", reason: mail.Reset},
		{number: 39, story: "alert_protocol_version", script: rawBytes(alert(70)), reason: mail.TLSVersion},
		{number: 53, story: "alert_about_application_protocols", script: rawBytes(alert(120)), reason: mail.TLSHandshake},
		{number: 55, story: "seventeen_empty_records", script: rawBytes(strings.Repeat("\x16\x03\x03\x00\x00", 40)), reason: mail.TLSHandshake},
		{number: 56, story: "one_byte_at_a_time", script: "READ 5\nSPLITWIRE 1 1s\nRAW " +
			quoteASCII("\x16\x03\x03\x00\x7a\x02\x00\x00\x76\x03\x03"+strings.Repeat("r", 120)), reason: mail.Timeout},
		{number: 56, story: "records_of_one_byte", script: "READ 5\nSPLITWIRE 6 1s\nRAW " +
			quoteASCII(bytewise("\x02\x00\x00\x76\x03\x03"+strings.Repeat("r", 116))), reason: mail.Timeout},
	}
}

// bytewise puts each byte of a handshake into a record of its own.
func bytewise(text string) string {
	var b strings.Builder
	for i := range len(text) {
		b.WriteString("\x16\x03\x03\x00\x01" + text[i:i+1])
	}
	return b.String()
}

// handshakeFaults are handshakes that go wrong by what the two sides can do.
func handshakeFaults() []handshakeFault {
	tls12 := func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }
	return []handshakeFault{
		{number: 39, story: "tls_1_1_at_most", server: func(c *tls.Config) {
			c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
		}, reason: mail.TLSVersion},
		{number: 40, story: "no_common_cipher", server: func(c *tls.Config) {
			tls12(c)
			c.CipherSuites = []uint16{tls.TLS_RSA_WITH_AES_128_CBC_SHA} // the key is ECDSA
		}, reason: mail.TLSHandshake},
		{number: 51, story: "a_client_certificate_is_wanted_tls_1_2", server: func(c *tls.Config) { tls12(c); wantClientCert(c) },
			reason: mail.TLSClientCert},
		{number: 52, story: "a_client_certificate_is_wanted_tls_1_3", server: wantClientCert, phase: mail.PhaseGreeting, reason: mail.TLSClientCert},
		{number: 53, story: "a_server_with_other_application_protocols", server: func(c *tls.Config) { c.NextProtos = []string{"h2"} }, fine: true},
		{number: 57, story: "a_second_client_hello_is_asked_for", server: func(c *tls.Config) {
			c.CurvePreferences = []tls.CurveID{tls.CurveP521} // no key share for it is in the first
		}, client: func(c *tls.Config) { c.CurvePreferences = []tls.CurveID{tls.X25519, tls.CurveP521} }, fine: true},
		{number: 58, story: "our_clock_is_ten_years_ahead", client: func(c *tls.Config) {
			c.Time = func() time.Time { return time.Date(2101, 1, 1, 0, 0, 0, 0, time.UTC) }
		}, reason: mail.CertExpired},
		{number: 58, story: "our_clock_is_ten_years_behind", client: func(c *tls.Config) {
			c.Time = func() time.Time { return time.Date(1990, 1, 1, 0, 0, 0, 0, time.UTC) }
		}, reason: mail.CertNotYetValid},
	}
}

// certificateFaults are certificates that are wrong, or only strange.
func certificateFaults() []handshakeFault {
	ca := faultCA()
	from, until := wide(), wide()
	from.NotBefore, until.NotAfter = time.Now().Add(24*time.Hour), time.Date(1999, 6, 1, 0, 0, 0, 0, time.UTC)
	issue := func(change func(*mailtest.CertOptions)) *tls.Certificate {
		o := wide()
		change(&o)
		cert := ca.MustIssue(o)
		return &cert
	}
	bad := func(number int, story string, reason mail.Reason, change func(*mailtest.CertOptions)) handshakeFault {
		return handshakeFault{number: number, story: story, cert: issue(change), reason: reason, check: wantCertificate}
	}
	good := func(number int, story string, change func(*mailtest.CertOptions)) handshakeFault {
		return handshakeFault{number: number, story: story, cert: issue(change), fine: true, check: wantCertificate}
	}
	unread := func(f handshakeFault) handshakeFault { f.check = nil; return f }
	other := mailtest.MustCA(mailtest.CAOptions{Name: "another"}).Pool()
	strange := bad(45, "an_unknown_authority", mail.CertUntrusted, func(*mailtest.CertOptions) {})
	strange.client = func(c *tls.Config) { c.RootCAs = other }
	short := unread(bad(46, "an_rsa_key_of_512_bit", mail.TLSHandshake, func(o *mailtest.CertOptions) { o.RSABits = 512 }))
	short.server = func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }
	return []handshakeFault{
		bad(41, "an_expired_certificate", mail.CertExpired, func(o *mailtest.CertOptions) { *o = until }),
		bad(42, "a_certificate_of_the_future", mail.CertNotYetValid, func(o *mailtest.CertOptions) { *o = from }),
		bad(43, "another_name", mail.CertName, func(o *mailtest.CertOptions) { o.Names, o.IPs = []string{"other.example"}, nil }),
		bad(44, "an_address_that_is_not_in_it", mail.CertName, func(o *mailtest.CertOptions) { o.IPs = nil }),
		strange,
		bad(45, "a_self_signed_certificate", mail.CertUntrusted, func(o *mailtest.CertOptions) { o.SelfSigned = true }),
		bad(45, "a_missing_intermediate", mail.CertUntrusted, func(o *mailtest.CertOptions) { o.Intermediates, o.HideIntermediates = 1, true }),
		good(45, "an_intermediate_that_is_sent", func(o *mailtest.CertOptions) { o.Intermediates = 2 }),
		bad(46, "a_certificate_for_clients", mail.CertInvalid, func(o *mailtest.CertOptions) { o.EKU = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }),
		bad(46, "no_alternative_name", mail.CertName, func(o *mailtest.CertOptions) { o.Names, o.IPs, o.CommonName = nil, nil, "127.0.0.1" }),
		bad(46, "a_signature_with_sha_1", mail.CertUntrusted, func(o *mailtest.CertOptions) { o.SHA1 = true }),
		bad(46, "an_rsa_key_of_1024_bit", mail.CertInvalid, func(o *mailtest.CertOptions) { o.RSABits = 1024 }),
		good(48, "three_hundred_certificates", func(o *mailtest.CertOptions) { o.Filler = 300 }),
		unread(bad(48, "more_certificates_than_go_reads", mail.TLSHandshake, func(o *mailtest.CertOptions) { o.Filler = 500 })),
		short,
		unread(bad(49, "an_rsa_key_of_16384_bit", mail.TLSHandshake, func(o *mailtest.CertOptions) { o.RSABits = 16384 })),
		good(60, "names_without_end", func(o *mailtest.CertOptions) { o.Names = manyNames(4000) }),
		good(60, "a_subject_that_is_no_text", func(o *mailtest.CertOptions) { o.RawSubject = subjectOfBytes() }),
	}
}

// recordFaults are what TLS can do wrong around a handshake that went well, and
// TLS where none was expected.
func recordFaults() []faultCase {
	encrypted := []mail.Encryption{mail.ImplicitTLS, mail.StartTLS}
	clear := []mail.Encryption{mail.NoEncryption, mail.StartTLS}
	return []faultCase{
		{
			numbers: []int{34}, story: "a_tls_port_waits_for_a_client_hello", encryptions: clear,
			script: every("STALL"), phase: mail.PhaseGreeting, reason: mail.Timeout,
		},
		{
			numbers: []int{34}, story: "a_tls_port_answers_with_an_alert", encryptions: clear,
			script: every("RAW " + quoteASCII(alert(50)) + "\nSTALL"), phase: mail.PhaseGreeting, reason: mail.ProtocolMalformed,
			check: wantHint("TLS from the first byte"),
		},
		{
			numbers: []int{34}, story: "a_tls_port_answers_with_an_alert_and_closes", encryptions: clear,
			script: every("RAW " + quoteASCII(alert(50)) + "\nCUT"), phase: mail.PhaseGreeting, reason: mail.ProtocolMalformed,
			check: wantHint("TLS from the first byte"),
		},
		{
			numbers: []int{54}, story: "an_end_without_close_notify_after_the_last_reply", encryptions: encrypted,
			after: opened, script: goodbyes("CUT"),
		},
		{
			numbers: []int{54}, story: "an_end_without_close_notify_inside_a_reply", encryptions: encrypted,
			after: asked, script: halfVerdicts("CUT"), phase: mail.PhaseAuth, reason: mail.Closed,
		},
		{
			numbers: []int{55}, story: "empty_records_of_data", encryptions: encrypted, after: secured,
			script: every("LOOP 100\nRAW \"\\x17\\x03\\x03\\x00\\x00\"\nEND\nSTALL"), phase: mail.PhaseHello, reason: mail.TLSHandshake,
		},
	}
}

// goodbyes answer the goodbye, and then do something.
func goodbyes(then string) map[mail.Protocol]string {
	return map[mail.Protocol]string{
		mail.IMAP: "C: {tag} LOGOUT\nS: * BYE\nS: {tag} OK done\n" + then,
		mail.POP3: "C: QUIT\nS: +OK\n" + then,
		mail.SMTP: "C: QUIT\nS: 221 2.0.0 Bye\n" + then,
	}
}

// halfVerdicts answer the login with half a line, and then do something.
func halfVerdicts(then string) map[mail.Protocol]string {
	return map[mail.Protocol]string{
		mail.IMAP: "C: {tag} AUTHENTICATE PLAIN *\nSEND \"{tag} OK Log\"\n" + then,
		mail.POP3: "C: AUTH PLAIN\nS: + \nC: *\nSEND \"+OK Log\"\n" + then,
		mail.SMTP: "C: AUTH PLAIN *\nSEND \"235 2.7.0 Auth\"\n" + then,
	}
}

// wantHint wants words in the advice.
func wantHint(words string) func(*testing.T, faultRun) {
	return func(t *testing.T, run faultRun) {
		if advice := run.outcome.Failure.Advice(); !strings.Contains(advice, words) {
			t.Errorf("the advice is %q, want %q in it", advice, words)
		}
	}
}

// wantCertificate wants the facts of the presented certificate, whatever the
// verdict on it, and no more of them than is bounded.
func wantCertificate(t *testing.T, run faultRun) {
	facts := run.outcome.TLS
	if facts == nil || facts.NotAfter.IsZero() || len(facts.FingerprintSHA256) != 64 || len(facts.Chain) == 0 {
		t.Fatalf("TLS facts: %+v", facts)
	}
	if facts.Verified != run.outcome.Up() || len(facts.Chain) > maxChain {
		t.Errorf("verified %v, a chain of %d", facts.Verified, len(facts.Chain))
	}
	checkFacts(t, *facts)
}

// quoteASCII is a Go string literal whose bytes outside ASCII are escaped.
func quoteASCII(text string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i := range len(text) {
		fmt.Fprintf(&b, `\x%02x`, text[i])
	}
	return b.String() + `"`
}

// manyNames are names of some 50 bytes each.
func manyNames(n int) []string {
	names := []string{"localhost"}
	for i := range n {
		names = append(names, fmt.Sprintf("a-name-that-is-as-long-as-names-get-%05d.mail.example", i))
	}
	return names
}

// subjectOfBytes is a distinguished name of the obsolete type T61String, with
// bytes that are neither UTF-8 nor visible.
func subjectOfBytes() []byte {
	return []byte("\x30\x0f\x31\x0d\x30\x0b\x06\x03\x55\x04\x03\x14\x04<\xe9\x1b\x00")
}
