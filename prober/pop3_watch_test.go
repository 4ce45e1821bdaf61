package prober

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mailprobe/internal/firstseen"
	"mailprobe/mail"
)

// sightings is a memory without a file and without secrets.
func sightings(t testing.TB) *firstseen.Store {
	t.Helper()
	m, err := firstseen.Open("", func(parts ...string) (h [16]byte) {
		copy(h[:], parts[len(parts)-1])
		return h
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestWatchedPOP3Maildrops(t *testing.T) {
	stories := []struct {
		name     string
		messages int
		answers  map[string]string
		mode     mail.WatchMode // empty: all
		want     string         // an hour after the first probe
		asked    []string
		noted    string
	}{
		{name: "two wait since the first probe", messages: 2, want: "2 waiting, oldest 1h0m0s, newest 1h0m0s, size 2000, first seen", asked: []string{"STAT", "UIDL 1", "UIDL 2"}},
		{name: "one waits", messages: 1, want: "1 waiting, oldest 1h0m0s, newest 1h0m0s, size 1000, first seen", asked: []string{"STAT", "UIDL 1"}},
		{name: "none waits", want: "0 waiting, size 0", asked: []string{"STAT"}},
		{name: "not watched", mode: mail.WatchNone, messages: 2, want: "nothing", asked: []string{"STAT"}},
		{name: "UIDL is unknown", messages: 2, answers: map[string]string{"UIDL": "-ERR unknown command"},
			want: "2 waiting, size 2000", asked: []string{"STAT", "UIDL 1"}, noted: "how long messages wait is not known"},
		{name: "an id of 70 characters", messages: 1, answers: map[string]string{"UIDL": "+OK 1 " + strings.Repeat("~", 70)},
			want: "1 waiting, oldest 1h0m0s, newest 1h0m0s, size 1000, first seen"},
		{name: "an id of one character", messages: 1, answers: map[string]string{"UIDL": "+OK 1 !"},
			want: "1 waiting, oldest 1h0m0s, newest 1h0m0s, size 1000, first seen"},
		{name: "an id of 71 characters", messages: 1, answers: map[string]string{"UIDL": "+OK 1 " + strings.Repeat("~", 71)}, want: "1 waiting, size 1000"},
		{name: "no id", messages: 1, answers: map[string]string{"UIDL": "+OK 1"}, want: "1 waiting, size 1000"},
		{name: "the id of another message", messages: 2, answers: map[string]string{"UIDL": "+OK 7 id-7"}, want: "2 waiting, size 2000"},
		{name: "one id for two messages", messages: 2, answers: map[string]string{"UIDL 1": "+OK 1 x", "UIDL 2": "+OK 2 x"}, want: "2 waiting, size 2000"},
		{name: "the last has an id of its own only", messages: 2, answers: map[string]string{"UIDL 2": "-ERR locked"}, want: "2 waiting, size 2000"},
		{name: "the server closes at UIDL", messages: 2, answers: map[string]string{"UIDL": "CLOSE"}, want: "2 waiting, size 2000"},
		{name: "the server stalls at UIDL", messages: 2, answers: map[string]string{"UIDL": "STALL"}, want: "2 waiting, size 2000"},
		{name: "the whole list instead of one line", messages: 2, answers: map[string]string{"UIDL": "+OK\n1 id-1\n2 id-2\n."}, want: "2 waiting, size 2000"},
	}
	for _, story := range stories {
		t.Run(story.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				box := &simMailbox{answers: story.answers}
				box.deliver(story.messages, time.Now())
				c := watched(mail.POP3, mail.WatchAll)
				if story.mode != "" {
					c.Watch = story.mode
				}
				p := box.prober(mail.POP3)
				p.Sightings = sightings(t)
				p.Probe(t.Context(), c)
				synctest.Wait()
				box.heard()
				time.Sleep(time.Hour - time.Second) // in a bubble
				time.Sleep(time.Until(time.Date(2000, 1, 1, 1, 0, 0, 0, time.UTC)))
				now := time.Now()
				o := p.Probe(t.Context(), c)
				synctest.Wait()
				heard := box.heard()
				wantOnlyLooks(t, heard)
				if !o.Up() {
					t.Errorf("down: %s", explain(o))
				}
				if got := factsText(o.Mailbox.Watch, now); got != story.want {
					t.Errorf("learned %s\nwant    %s\n%s", got, story.want, explain(o))
				}
				asked := slices.DeleteFunc(heard, func(c string) bool { return slices.Contains([]string{"CAPA", "USER", "PASS", "QUIT"}, c) })
				if story.asked != nil && !slices.Equal(asked, story.asked) {
					t.Errorf("asked %q, want %q", asked, story.asked)
				}
				if !strings.Contains(explain(o), story.noted) {
					t.Errorf("%q is not in the dialogue:\n%s", story.noted, explain(o))
				}
			})
		})
	}
}

// Without stored unique ids only the number of messages is known.
func TestWatchedPOP3MaildropWithoutMemory(t *testing.T) {
	box := &simMailbox{}
	box.deliver(2, time.Now())
	o := box.prober(mail.POP3).Probe(t.Context(), watched(mail.POP3, mail.WatchAll))
	if got := factsText(o.Mailbox.Watch, time.Now()); got != "2 waiting, size 2000" {
		t.Errorf("learned %s: %s", got, explain(o))
	}
}
