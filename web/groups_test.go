package web

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"mailprobe/history"
	"mailprobe/internal/outcometest"
	"mailprobe/mail"
)

// Sixty mailboxes of one server that is down are one group on the page.
func TestOneCauseIsOneGroup(t *testing.T) {
	var connections []*mail.Connection
	add := func(name, host string) *mail.Connection {
		c := outcometest.Inbox(name, mail.Label{Name: "team", Value: "support"})
		c.Host = host
		connections = append(connections, c)
		return c
	}
	for i := range 60 {
		add(fmt.Sprintf("gone-%02d", i), "gone.example.org")
	}
	other, fine := add("other", "gone.example.org"), add("fine", "mail.example.org")
	s := newStage(t, connections...)
	for _, c := range connections[:60] {
		s.observe(outcometest.Failed(c, outcometest.Noon, mail.PhaseConnect, mail.ConnectTimeout, "no answer"))
	}
	s.observe(outcometest.Refused(other, outcometest.Noon.Add(-time.Minute)))
	s.observe(outcometest.Good(fine, outcometest.Noon))
	body := s.get("/").Body.String()
	for _, want := range []string{"60 of 61 at gone.example.org:993", mail.ConnectTimeout.Meaning(), "61 connections are down", "team=support"} {
		if !strings.Contains(body, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if groups, cards := strings.Count(body, "<details"), strings.Count(body, `<article class="card`); groups != 1 || cards != 1 {
		t.Errorf("%d groups and %d cards, want one of each: the refused login has another cause", groups, cards)
	}
	if n := strings.Count(body, ">gone-"); n != 60 {
		t.Errorf("%d of the 60 are in the group", n)
	}
	if n := strings.Count(body, mail.ConnectTimeout.Meaning()); n != 1 {
		t.Errorf("the meaning is there %d times, want once", n)
	}
	if found := s.get("/?q=gone-07").Body.String(); strings.Contains(found, "<details") {
		t.Error("a single connection is shown as a group")
	}
}

// A group that is longer than a page says how many there are in all.
func TestGroupOverPages(t *testing.T) {
	var connections []*mail.Connection
	for i := range 250 {
		connections = append(connections, outcometest.Inbox(fmt.Sprintf("gone-%03d", i)))
	}
	s := newStage(t, connections...)
	for _, c := range connections {
		s.observe(outcometest.Failed(c, outcometest.Noon, mail.PhaseConnect, mail.ConnectTimeout, "no answer"))
	}
	for page, want := range map[int]int{1: 100, 2: 100, 3: 50} {
		body := s.get(fmt.Sprintf("/?page=%d", page)).Body.String()
		if n := strings.Count(body, ">gone-"); n != want || !strings.Contains(body, "250 of 250 at mail.example.org:993") {
			t.Errorf("page %d has %d of the group, want %d", page, n, want)
		}
	}
}

func TestPageNumbersShowWhereSomeAreLeftOut(t *testing.T) {
	for number, want := range map[int]string{1: "1 2 3 4 …20", 10: "1 …7 8 9 10 11 12 13 …20", 5: "1 2 3 4 5 6 7 8 …20", 20: "1 …17 18 19 20"} {
		var o overview
		o.page(make([]history.Snapshot, 20*pageRows), number)
		var shown []string
		for _, l := range o.Pages {
			if l.Gap {
				l.Text = "…" + l.Text
			}
			shown = append(shown, l.Text)
		}
		if got := strings.Join(shown, " "); got != want {
			t.Errorf("page %d of 20: %q, want %q", number, got, want)
		}
	}
}

func TestFailedReloadIsShownOnEveryPage(t *testing.T) {
	s := newStage(t, outcometest.Inbox("inbox"))
	var fault error
	s.options.ReloadFault = func() (time.Time, error) { return outcometest.Noon.Add(-5 * time.Minute), fault }
	const said = "The configuration could not be reloaded"
	for _, path := range []string{"/", "/connections/inbox"} {
		fault = nil
		if strings.Contains(s.get(path).Body.String(), said) {
			t.Errorf("%s shows a failed reload, and there was none", path)
		}
		fault = errors.New("mailprobe.yml:12: connection <inbox>: unknown field hots; did you mean host?")
		body := s.get(path).Body.String()
		for _, want := range []string{said, "mailprobe.yml:12: connection &lt;inbox&gt;: unknown field hots", "5 min ago"} {
			if !strings.Contains(body, want) {
				t.Errorf("%s lacks %q", path, want)
			}
		}
	}
}

func TestMissingPageHasAWayBack(t *testing.T) {
	s := newStage(t, outcometest.Inbox("inbox"))
	for path, back := range map[string]string{"/connections/nobody": `href="../"`, "/nowhere": `href="/"`, "/a/b/c": `href="/"`} {
		w := s.get(path, "Accept", "text/html,application/xhtml+xml")
		if w.Code != http.StatusNotFound || !strings.Contains(w.Body.String(), back) || !strings.Contains(w.Body.String(), "All connections") {
			t.Errorf("%s: %d without a way back", path, w.Code)
		}
		if w := s.get(path); w.Code != http.StatusNotFound || strings.Contains(w.Body.String(), "<") {
			t.Errorf("%s for a program: %d %s", path, w.Code, w.Body)
		}
	}
}

func TestNothingConfiguredSaysWhatToDo(t *testing.T) {
	body := newStage(t).get("/").Body.String()
	for _, want := range []string{"No connection is configured", "--config.file", "password_file:", "--config.check"} {
		if !strings.Contains(body, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if strings.Contains(body, `class="legend"`) {
		t.Error("colours are explained that nothing has")
	}
}

// The page of a withheld connection names the refused one.
func TestPageSaysWhoseRefusalHoldsALogin(t *testing.T) {
	c := outcometest.Inbox("inbox")
	s := newStage(t, c)
	o := outcometest.Refused(c, outcometest.Noon)
	o.Auth = mail.AuthFacts{Held: true, HeldBy: "outbox <1>", HeldSince: outcometest.Noon.Add(-time.Minute), NextAttempt: outcometest.Noon.Add(time.Hour)}
	s.observe(o)
	for _, path := range []string{"/", "/connections/inbox"} {
		if body := s.get(path).Body.String(); !strings.Contains(body, "The same login was refused on the connection outbox &lt;1&gt; at 11:59 UTC, 23 Nov.") {
			t.Errorf("%s does not say whose refusal it was", path)
		}
	}
	o.Auth.HeldBy = "inbox"
	s.observe(o)
	if body := s.get("/").Body.String(); !strings.Contains(body, "It was refused at 11:59 UTC, 23 Nov.") {
		t.Error("the page does not say that the login of this connection was refused")
	}
}

func TestEmptyShareIsNoMissingConfiguration(t *testing.T) {
	s := newStage(t)
	s.options.Shard = "0/3"
	body := s.get("/").Body.String()
	if !strings.Contains(body, "No connection is in share 0/3") || !strings.Contains(body, "as <code>--shard</code> says") || strings.Contains(body, "password_file:") {
		t.Errorf("the page does not speak of the share:\n%s", body)
	}
}
