package routes

import (
	"strings"
	"testing"
	"time"

	"mailprobe/mail"
)

var testKey = []byte("0123456789abcdef0123456789abcdef")

func testRoute(change ...func(*mail.Route)) *mail.Route {
	r := &mail.Route{
		Name:    "helpdesk-path",
		Send:    &mail.Connection{Name: "out", Protocol: mail.SMTP},
		Receive: &mail.Connection{Name: "in", Protocol: mail.IMAP, Mailbox: "INBOX"},
		From:    "probe@example.org", To: "mailprobe+t@example.org",
		Interval: 5 * time.Minute, Deadline: 10 * time.Minute, Slow: time.Minute,
	}
	for _, c := range change {
		c(r)
	}
	return r
}

func TestMessageIsSmallAndNamesNobody(t *testing.T) {
	for _, name := range []string{"helpdesk-path", "a; b: c\u00e9", strings.Repeat("n", 200)} {
		r := testRoute(func(r *mail.Route) { r.Name = name })
		m := newMessage(r, 17, time.Now())
		text := string(m.compose(r, testKey))
		if len(text) >= 2048 {
			t.Errorf("%d bytes, want less than 2 KiB", len(text))
		}
		for line := range strings.Lines(text) {
			if !strings.HasSuffix(line, "\r\n") || len(line) > 998 || strings.ContainsFunc(line, func(r rune) bool { return r > 126 }) {
				t.Errorf("line %q is not a line of RFC 5322", line)
			}
		}
		for _, want := range []string{"Auto-Submitted: auto-generated\r\n", "X-Auto-Response-Suppress: All\r\n",
			"Message-ID: <" + m.token + "@example.org>\r\n", "Message-ID: " + m.id(r) + "\r\n", "To: <mailprobe+t@example.org>\r\n"} {
			if !strings.Contains(text, want) {
				t.Errorf("no %q in %s", want, text)
			}
		}
		if got := strings.Count(text, "\r\n\r\n"); got < 1 {
			t.Error("no body")
		}
	}
}

func TestMarkIsKnownAgain(t *testing.T) {
	r := testRoute(func(r *mail.Route) { r.Name = "a; b" })
	m := newMessage(r, 17, time.Now())
	other := newMessage(r, 17, time.Now())
	mark := first(parseHeader(m.compose(r, testKey)), fieldMailprobe)
	if claim, _, err := parseMark(mark); err != nil || claim.route != "a; b" || claim.seq != 17 {
		t.Errorf("%q reads as %+v, %v", mark, claim, err)
	}
	tests := []struct {
		name string
		m    message
		mark string
		key  []byte
		want bool
	}{
		{"as it was sent", m, mark, testKey, true},
		{"folded by a relay", m, strings.ReplaceAll(mark, "; ", ";\t "), testKey, true},
		{"of another message", other, mark, testKey, false},
		{"with another key", m, mark, []byte("another"), false},
		{"with another number", m, strings.Replace(mark, "; 17;", "; 18;", 1), testKey, false},
		{"cut off", m, mark[:len(mark)-1], testKey, false},
		{"empty", m, "", testKey, false},
		{"too many parts", m, mark + "; x", testKey, false},
	}
	for _, test := range tests {
		if got := test.m.verify(test.mark, test.key); got != test.want {
			t.Errorf("%s: %v, want %v", test.name, got, test.want)
		}
	}
}

func TestBodyIsComparedAfterItsTransferEncoding(t *testing.T) {
	m := newMessage(testRoute(), 3, time.Now())
	quoted := strings.ReplaceAll(strings.ReplaceAll(m.body(), "=", "=3D"), "whether", "wheth=\r\ner")
	tests := []struct {
		name, header, body string
		want               bool
	}{
		{"as it was sent", "", m.body(), true},
		{"with other line ends", "", strings.ReplaceAll(m.body(), "\r\n", "\n"), true},
		{"with an empty line behind", "", m.body() + "\r\n", true},
		{"in quoted-printable", "Content-Transfer-Encoding: quoted-printable\r\n", quoted, true},
		{"with a footer", "", m.body() + "-- \r\nScanned by Example\r\n", false},
		{"cut", "", m.body()[:40], false},
		{"of another message", "", newMessage(testRoute(), 3, time.Now()).body(), false},
		{"not the base64 it says", "Content-Transfer-Encoding: base64\r\n", "!!", false},
	}
	for _, test := range tests {
		if got := m.sameBody(parseHeader([]byte(test.header)), []byte(test.body)); got != test.want {
			t.Errorf("%s: %v, want %v", test.name, got, test.want)
		}
	}
}
