package web

import (
	"strings"
	"testing"
	"time"

	"mailprobe/internal/outcometest"
	"mailprobe/mail"
)

// watchedProbe is a good probe of a watched mailbox, changed for a story.
func watchedProbe(name string, change func(*mail.Outcome)) mail.Outcome {
	o := outcometest.Stuck(outcometest.Watched(name), outcometest.Noon)
	if change != nil {
		change(&o)
	}
	return o
}

func TestPageSaysWhatWaitsInAWatchedMailbox(t *testing.T) {
	calm := func(o *mail.Outcome) {
		w := o.Mailbox.Watch
		w.Waiting, w.Oldest, w.QuotaUsed = new(uint64(2)), outcometest.Noon.Add(-5*time.Minute), new(uint64(1<<20))
	}
	const late = "12 waiting, oldest 3 h 10 min (limit 15 min)"
	for _, story := range []struct {
		name     string
		change   func(*mail.Outcome)
		headline string
		want     []string // on the list and on the connection's page
		never    string
	}{
		{"nothing is fetched, and the quota fills up", nil, "Connections are up, but one mailbox needs a look",
			[]string{late, "93 % of the quota used", `class="trouble"`}, "no mail for"},
		{"mail is fetched", calm, "All is well", []string{"2 waiting, oldest 5 min (limit 15 min)"}, `class="trouble"`},
		{"POP3 tells no times", func(o *mail.Outcome) { o.Mailbox.Watch.FirstSeen = true }, "one mailbox needs a look",
			[]string{"oldest at least 3 h 10 min"}, "no mail for"},
		{"no mail arrives", func(o *mail.Outcome) {
			calm(o)
			o.Mailbox.Watch.Newest = outcometest.Noon.Add(-50 * time.Hour)
		}, "one mailbox needs a look", []string{"no mail for 2 d 2 h (expected every 1d)"}, late},
		{"a quota without a limit is never full", func(o *mail.Outcome) {
			calm(o)
			o.Mailbox.Watch.QuotaUsed, o.Mailbox.Watch.QuotaLimit = new(uint64(1<<40)), new(uint64(0))
		}, "All is well", nil, "of the quota"},
		{"the server refused to tell", func(o *mail.Outcome) { o.Mailbox.Watch = &mail.WatchFacts{} }, "All is well", nil, "waiting"},
	} {
		t.Run(story.name, func(t *testing.T) {
			o := watchedProbe("tickets", story.change)
			s := newStage(t, o.Connection)
			s.observe(o)
			list, page := s.get("/").Body.String(), s.get("/connections/tickets").Body.String()
			list, _, _ = strings.Cut(list[strings.Index(list, "<body>"):], "<footer>")
			if !strings.Contains(list, story.headline+"</h1>") {
				t.Errorf("no %q in %s", story.headline, list)
			}
			for _, want := range story.want {
				if !strings.Contains(list, want) || !strings.HasPrefix(want, "class") && !strings.Contains(page, want) {
					t.Errorf("%q is not on both pages", want)
				}
			}
			if strings.Contains(list, story.never) {
				t.Errorf("%q is on the page", story.never)
			}
		})
	}
}

// A mailbox that needs a look comes first among the connections that are up, and can be
// chosen by itself. While a connection is down, the headline is about that one.
func TestMailboxesThatNeedALookAreFirstAmongWhatIsUp(t *testing.T) {
	stuck := watchedProbe("tickets", nil)
	calm := outcometest.Inbox("archive")
	down := outcometest.Inbox("broken")
	s := newStage(t, calm, stuck.Connection, down)
	s.observe(outcometest.Good(calm, outcometest.Noon))
	s.observe(stuck)
	page := s.get("/").Body.String()
	if strings.Index(page, ">tickets<") > strings.Index(page, ">archive<") || !strings.Contains(page, "?state=mail") {
		t.Errorf("tickets is not first, or cannot be chosen: %s", page)
	}
	page = s.get("/?state=mail").Body.String()
	if !strings.Contains(page, ">tickets<") || strings.Contains(page, ">archive<") {
		t.Errorf("the choice shows others: %s", page)
	}
	s.observe(outcometest.Refused(down, outcometest.Noon))
	page = s.get("/").Body.String()
	if !strings.Contains(page, "One connection is down</h1>") || !strings.Contains(page, "1 mailbox needs a look") {
		t.Errorf("beside what is down: %s", page)
	}
}

func TestOverviewNamesBrokenRoutes(t *testing.T) {
	c := outcometest.Inbox("inbox")
	s := newStage(t, c)
	s.observe(outcometest.Good(c, outcometest.Noon))
	s.sendMessages()
	page := s.get("/").Body.String()
	for _, want := range []string{"Connections are up, but 2 routes are broken</h1>", `href="routes">2 routes are broken</a>`} {
		if !strings.Contains(page, want) {
			t.Errorf("no %q in %s", want, page)
		}
	}
}
