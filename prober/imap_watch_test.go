package prober

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mailprobe/mail"
)

// watchStory is one server and what a look at its mailbox must learn.
type watchStory struct {
	name string
	mode mail.WatchMode // empty: unread
	// ages are those of the messages, oldest first; a negative one has been read.
	ages    []time.Duration
	server  *simMailbox // nil: an honest one
	change  func(*mail.Connection)
	want    string   // as described by factsText
	asked   []string // the commands of phase mailbox; nil: not compared
	down    bool     // the probe fails
	noted   string   // a remark in the dialogue
	unknown bool     // nothing at all is learned
}

// The commands of a look, as they are on the wire.
const (
	cmdStatus  = "STATUS INBOX (MESSAGES UNSEEN UIDNEXT UIDVALIDITY)"
	cmdExamine = "EXAMINE INBOX"
	cmdESearch = "UID SEARCH RETURN (MIN) NOT SEEN"
	cmdSearch  = "UID SEARCH NOT SEEN"
	cmdNewest  = "FETCH * (UID INTERNALDATE)"
	items      = " (UID FLAGS INTERNALDATE)"
)

const h = time.Hour

func watchStories() []watchStory {
	lie := func(command, answer string) *simMailbox {
		return &simMailbox{before: "ESEARCH", noUnseenCode: true, answers: map[string]string{command: answer}}
	}
	eightOfTen := []time.Duration{-9 * h, -8 * h, 7 * h, 6 * h, 5 * h}
	found := "3 unread, 3 waiting, oldest 7h0m0s, newest 5h0m0s, next 6 of 77"
	notFound := "3 unread, 3 waiting, newest 5h0m0s, next 6 of 77"
	return []watchStory{
		// The ladder.
		{name: "the answer to EXAMINE names the first unread", ages: eightOfTen, want: found,
			asked: []string{cmdStatus, cmdExamine, "FETCH 3,*" + items}},
		{name: "ESEARCH, no such code", ages: eightOfTen, server: &simMailbox{before: "ESEARCH", noUnseenCode: true}, want: found,
			asked: []string{cmdStatus, cmdExamine, cmdESearch, "UID FETCH 3,*" + items}},
		{name: "ESEARCH announced after the login only", ages: eightOfTen, server: &simMailbox{after: "ESEARCH", noUnseenCode: true}, want: found,
			asked: []string{cmdStatus, cmdExamine, cmdESearch, "UID FETCH 3,*" + items}},
		{name: "an IMAP4rev2 server, without RECENT and UNSEEN", ages: eightOfTen, server: &simMailbox{before: "IMAP4rev2", noUnseenCode: true}, want: strings.Replace(found, ", next", ", size 5000, next", 1),
			asked: []string{"STATUS INBOX (MESSAGES UNSEEN UIDNEXT UIDVALIDITY SIZE)", cmdExamine, cmdESearch, "UID FETCH 3,*" + items}},
		{name: "neither, few unread", ages: eightOfTen, server: &simMailbox{noUnseenCode: true}, want: found,
			asked: []string{cmdStatus, cmdExamine, cmdSearch, "UID FETCH 3,*" + items}},
		{name: "neither, 501 unread", ages: append([]time.Duration{-9 * h}, slices.Repeat([]time.Duration{2 * h}, 501)...), server: &simMailbox{noUnseenCode: true},
			want:  "501 unread, 501 waiting, newest 2h0m0s, next 503 of 77",
			asked: []string{cmdStatus, cmdExamine, cmdNewest}},
		{name: "neither, 501 messages and none read", ages: slices.Repeat([]time.Duration{2 * h}, 501), server: &simMailbox{noUnseenCode: true},
			want:  "501 unread, 501 waiting, oldest 2h0m0s, newest 2h0m0s, next 502 of 77",
			asked: []string{cmdStatus, cmdExamine, "FETCH 1,*" + items}},
		{name: "none is unread", ages: []time.Duration{-2 * h, -h}, want: "0 unread, 0 waiting, newest 1h0m0s, next 3 of 77",
			asked: []string{cmdStatus, cmdExamine, cmdNewest}},
		{name: "an empty mailbox", want: "0 unread, 0 waiting, next 1 of 77", asked: []string{cmdStatus, cmdExamine}},
		{name: "one message, unread", ages: []time.Duration{h}, want: "1 unread, 1 waiting, oldest 1h0m0s, newest 1h0m0s, next 2 of 77",
			asked: []string{cmdStatus, cmdExamine, "FETCH 1,*" + items}},
		{name: "watch all takes message 1", mode: mail.WatchAll, ages: eightOfTen, want: "3 unread, 5 waiting, oldest 9h0m0s, newest 5h0m0s, next 6 of 77",
			asked: []string{cmdStatus, cmdExamine, "FETCH 1,*" + items}},
		{name: "watch all, empty", mode: mail.WatchAll, want: "0 unread, 0 waiting, next 1 of 77", asked: []string{cmdStatus, cmdExamine}},
		{name: "not watched", mode: mail.WatchNone, ages: eightOfTen, unknown: true, asked: []string{cmdExamine}},

		// What else is announced.
		{name: "sizes and a quota", ages: []time.Duration{h}, server: &simMailbox{after: "STATUS=SIZE QUOTA", quota: `QUOTA "User quota" (MESSAGE 1 100 STORAGE 10 512)`},
			want:  "1 unread, 1 waiting, oldest 1h0m0s, newest 1h0m0s, size 1000, quota 10240 of 524288, next 2 of 77",
			asked: []string{"STATUS INBOX (MESSAGES UNSEEN UIDNEXT UIDVALIDITY SIZE)", cmdExamine, "FETCH 1,*" + items, "GETQUOTAROOT INBOX"}},
		{name: "of two quotas the fuller one", server: &simMailbox{before: "QUOTA", quota: "QUOTA \"\" (STORAGE 10 512)\r\n* QUOTA {6}\r\ndomain (STORAGE 500 512)"},
			want: "0 unread, 0 waiting, quota 512000 of 524288, next 1 of 77"},
		{name: "a quota of messages alone", server: &simMailbox{before: "QUOTA", quota: `QUOTA "" (MESSAGE 1 100)`}, want: "0 unread, 0 waiting, next 1 of 77"},
		{name: "a quota without a limit", server: &simMailbox{before: "QUOTA", quota: `QUOTA "" (STORAGE 5 0)`}, want: "0 unread, 0 waiting, next 1 of 77"},
		{name: "a quota of 10^19", server: &simMailbox{before: "QUOTA", quota: `QUOTA "" (STORAGE 10000000000000000000 10000000000000000000)`}, want: "0 unread, 0 waiting, next 1 of 77"},
		{name: "GETQUOTAROOT is refused", server: &simMailbox{before: "QUOTA", answers: map[string]string{"GETQUOTAROOT": "{tag} NO [NOPERM] none of your business"}},
			want: "0 unread, 0 waiting, next 1 of 77", noted: "GETQUOTAROOT was refused: the quota is not known"},

		// Names.
		{name: "a name of other letters", ages: []time.Duration{h}, change: func(c *mail.Connection) { c.Mailbox = "Büro/Anfragen & \"Fragen\"" },
			want:  "1 unread, 1 waiting, oldest 1h0m0s, newest 1h0m0s, next 2 of 77",
			asked: []string{`STATUS "B&APw-ro/Anfragen &- \"Fragen\"" (MESSAGES UNSEEN UIDNEXT UIDVALIDITY)`, `EXAMINE "B&APw-ro/Anfragen &- \"Fragen\""`, "FETCH 1,*" + items}},
		{name: "a name that ends like a list", ages: []time.Duration{h}, change: func(c *mail.Connection) { c.Mailbox = "a (SIZE)" },
			want:  "1 unread, 1 waiting, oldest 1h0m0s, newest 1h0m0s, next 2 of 77",
			asked: []string{`STATUS "a (SIZE)" (MESSAGES UNSEEN UIDNEXT UIDVALIDITY)`, `EXAMINE "a (SIZE)"`, "FETCH 1,*" + items}},
		{name: "a shared folder below a namespace", ages: []time.Duration{h},
			change: func(c *mail.Connection) { c.SharedMailbox, c.SharedMailboxAccess = "helpdesk", mail.SharedFolder },
			server: &simMailbox{answers: map[string]string{
				`STATUS "Other Users/helpdesk" `:  "{tag} NO no such mailbox",
				`EXAMINE "Other Users/helpdesk"`:  "{tag} NO [NONEXISTENT] no such mailbox",
				`STATUS "Other Users/helpdesk/IN`: "* STATUS {26}\nOther Users/helpdesk/INBOX (MESSAGES 1 UNSEEN 1 UIDNEXT 2 UIDVALIDITY 77)\n{tag} OK",
			}},
			want:  "1 unread, 1 waiting, oldest 1h0m0s, newest 1h0m0s, next 2 of 77",
			asked: nil},

		// Refusals: up does not depend on them.
		{name: "STATUS is refused", ages: eightOfTen, server: &simMailbox{answers: map[string]string{"STATUS": "{tag} NO not here"}},
			want: "oldest 7h0m0s, newest 5h0m0s, next 6 of 77", noted: "STATUS was refused: the number of unread messages is not known"},
		{name: "STATUS is unknown", mode: mail.WatchAll, ages: eightOfTen, server: &simMailbox{answers: map[string]string{"STATUS": "{tag} BAD what?"}},
			want: "5 waiting, oldest 9h0m0s, newest 5h0m0s, next 6 of 77"},
		{name: "STATUS is refused, the mailbox is empty", server: &simMailbox{answers: map[string]string{"STATUS": "{tag} NO not here"}}, want: "0 unread, 0 waiting, next 1 of 77"},
		{name: "STATUS without items", ages: []time.Duration{h}, server: &simMailbox{answers: map[string]string{"STATUS": "* STATUS INBOX ()\n{tag} OK"}},
			want: "oldest 1h0m0s, newest 1h0m0s, next 2 of 77"},
		{name: "FETCH is refused", ages: []time.Duration{h}, server: &simMailbox{answers: map[string]string{"FETCH": "{tag} NO not today", "UID FETCH": "{tag} NO not today"}},
			want: "1 unread, 1 waiting, next 2 of 77", noted: "FETCH was refused: when messages arrived is not known"},
		{name: "RETURN is rejected though announced", ages: eightOfTen, server: lie("UID SEARCH RETURN", "{tag} BAD RETURN?"), want: found,
			asked: []string{cmdStatus, cmdExamine, cmdESearch, cmdSearch, "UID FETCH 3,*" + items}},
		{name: "ESEARCH is announced and fails", ages: eightOfTen, server: lie("UID SEARCH", "{tag} NO [SERVERBUG] later"), want: notFound,
			asked: []string{cmdStatus, cmdExamine, cmdESearch, cmdSearch, cmdNewest}},

		// Liars.
		{name: "ESEARCH counts all and has minimum 0", ages: eightOfTen, server: lie("UID SEARCH RETURN", "* ESEARCH (TAG \"{tag}\") UID COUNT 5 MIN 0\n{tag} OK"), want: found,
			asked: []string{cmdStatus, cmdExamine, cmdESearch, cmdSearch, "UID FETCH 3,*" + items}},
		{name: "ESEARCH with message numbers, said so", ages: eightOfTen, server: lie("UID SEARCH RETURN", "* ESEARCH (TAG \"{tag}\") MIN 3\n{tag} OK"), want: found,
			asked: []string{cmdStatus, cmdExamine, cmdESearch, cmdSearch, "UID FETCH 3,*" + items}},
		{name: "ESEARCH with a UID that does not exist", ages: eightOfTen, server: lie("UID SEARCH RETURN", "* ESEARCH (TAG \"{tag}\") UID MIN 999\n{tag} OK"), want: found,
			asked: []string{cmdStatus, cmdExamine, cmdESearch, "UID FETCH 999,*" + items, cmdSearch, "UID FETCH 3,*" + items}},
		{name: "ESEARCH answered with SEARCH", ages: eightOfTen, server: lie("UID SEARCH RETURN", "* SEARCH 5 4 3\n{tag} OK"), want: found},
		{name: "ESEARCH without an answer", ages: eightOfTen, server: lie("UID SEARCH RETURN", "{tag} OK"), want: found},
		{name: "ESEARCH with a number of 10^19", ages: eightOfTen, server: lie("UID SEARCH RETURN", "* ESEARCH (TAG \"{tag}\") UID MIN 10000000000000000000\n{tag} OK"), want: found},
		{name: "SEARCH lists what is read", ages: eightOfTen, server: lie("UID SEARCH", "* SEARCH 1 2\n{tag} OK"), want: notFound,
			asked: []string{cmdStatus, cmdExamine, cmdESearch, "UID FETCH 1,*" + items, cmdSearch}},
		{name: "the code names a message that is read", ages: eightOfTen, server: &simMailbox{before: "ESEARCH", answers: map[string]string{
			cmdExamine: "* 5 EXISTS\n* OK [UNSEEN 1] first\n* OK [UIDNEXT 6] next\n* OK [UIDVALIDITY 77] valid\n{tag} OK [READ-ONLY]"}}, want: found,
			asked: []string{cmdStatus, cmdExamine, "FETCH 1,*" + items, cmdESearch, "UID FETCH 3,*" + items}},
		{name: "the code names a message beyond the last", ages: eightOfTen, server: &simMailbox{before: "ESEARCH", answers: map[string]string{
			cmdExamine: "* 5 EXISTS\n* OK [UNSEEN 4000000000] first\n* OK [UIDNEXT 6] next\n* OK [UIDVALIDITY 77] valid\n{tag} OK [READ-ONLY]"}}, want: found,
			asked: []string{cmdStatus, cmdExamine, cmdESearch, "UID FETCH 3,*" + items}},
		{name: "FETCH of another message", ages: eightOfTen, server: &simMailbox{noUnseenCode: true, before: "ESEARCH", answers: map[string]string{
			"UID FETCH": "* 4 FETCH (UID 4 FLAGS () INTERNALDATE \" 1-Jan-1999 00:00:00 +0000\")\n{tag} OK"}}, want: "3 unread, 3 waiting, next 6 of 77"},
		{name: "FETCH answers flags of others too", ages: []time.Duration{h}, server: &simMailbox{answers: map[string]string{
			"FETCH": "* 1 FETCH (FLAGS (\\Seen))\n* 1 FETCH (UID 1 FLAGS () INTERNALDATE \"31-Dec-1999 23:00:00 +0000\")\n{tag} OK"}},
			want: "1 unread, 1 waiting, oldest 1h0m0s, newest 1h0m0s, next 2 of 77"},
		{name: "a message read meanwhile", ages: []time.Duration{2 * h}, server: &simMailbox{answers: map[string]string{
			"FETCH": "* 1 FETCH (UID 1 FLAGS (\\seen) INTERNALDATE \"31-Dec-1999 23:00:00 +0000\")\n{tag} OK", "UID SEARCH": "* SEARCH\n{tag} OK"}},
			want: "1 unread, 1 waiting, newest 1h0m0s, next 2 of 77"},
		{name: "flags are left out", ages: []time.Duration{2 * h}, server: &simMailbox{answers: map[string]string{
			"FETCH": "* 1 FETCH (UID 1 INTERNALDATE \"31-Dec-1999 23:00:00 +0000\")\n{tag} OK", "UID SEARCH": "{tag} NO"}},
			want: "1 unread, 1 waiting, newest 1h0m0s, next 2 of 77"},
		{name: "INTERNALDATE is NIL", ages: []time.Duration{h}, server: &simMailbox{answers: map[string]string{
			"FETCH": "* 1 FETCH (UID 1 FLAGS () INTERNALDATE NIL)\n{tag} OK", "UID FETCH": "* 1 FETCH (UID 1 FLAGS () INTERNALDATE NIL)\n{tag} OK"}},
			want: "1 unread, 1 waiting, next 2 of 77"},
		{name: "INTERNALDATE is no date", mode: mail.WatchAll, ages: []time.Duration{h}, server: &simMailbox{answers: map[string]string{
			"FETCH": "* 1 FETCH (UID 1 FLAGS () INTERNALDATE \"yesterday\")\n{tag} OK"}},
			want: "1 unread, 1 waiting, next 2 of 77"},
		{name: "INTERNALDATE is the epoch", mode: mail.WatchAll, ages: []time.Duration{h}, server: &simMailbox{answers: map[string]string{
			"FETCH": "* 1 FETCH (UID 1 FLAGS () INTERNALDATE \" 1-Jan-1970 00:00:00 +0000\")\n{tag} OK"}},
			want: "1 unread, 1 waiting, next 2 of 77"},
		{name: "INTERNALDATE in the future counts as now", mode: mail.WatchAll, ages: []time.Duration{-h}, server: &simMailbox{answers: map[string]string{
			"FETCH": "* 1 FETCH (UID 1 FLAGS () INTERNALDATE \" 1-Jan-2031 00:00:00 +0000\")\n{tag} OK"}},
			want: "0 unread, 1 waiting, oldest 0s, newest 0s, next 2 of 77"},
		{name: "10^19 everywhere in STATUS", ages: []time.Duration{h}, server: &simMailbox{after: "STATUS=SIZE", answers: map[string]string{
			"STATUS": "* STATUS INBOX (MESSAGES 10000000000000000000 UNSEEN 10000000000000000000 UIDNEXT 10000000000000000000 UIDVALIDITY 10000000000000000000 SIZE 10000000000000000000)\n{tag} OK"}},
			want: "oldest 1h0m0s, newest 1h0m0s, next 2 of 77"},
		{name: "more unread than messages", ages: []time.Duration{h}, server: &simMailbox{answers: map[string]string{
			"STATUS": "* STATUS INBOX (MESSAGES 1 UNSEEN 5000 UIDNEXT 2 UIDVALIDITY 77)\n{tag} OK"}},
			want: "oldest 1h0m0s, newest 1h0m0s, next 2 of 77"},
		{name: "negative numbers", ages: []time.Duration{h}, server: &simMailbox{answers: map[string]string{
			"STATUS": "* STATUS INBOX (MESSAGES -1 UNSEEN -1 UIDNEXT -2 UIDVALIDITY -77)\n{tag} OK"}},
			want: "oldest 1h0m0s, newest 1h0m0s, next 2 of 77"},
		{name: "a STATUS that cannot be read", ages: []time.Duration{h}, server: &simMailbox{answers: map[string]string{
			"STATUS": "* STATUS INBOX (MESSAGES 1 (((\n{tag} OK"}},
			want: "oldest 1h0m0s, newest 1h0m0s, next 2 of 77", noted: "STATUS has no usable answer: the number of unread messages is not known"},
		{name: "content that nobody asked for", ages: []time.Duration{h}, server: &simMailbox{answers: map[string]string{
			"FETCH": "* 1 FETCH (UID 1 BODY[] {13}\nSubject: hi\n FLAGS () INTERNALDATE \"31-Dec-1999 23:00:00 +0000\")\n{tag} OK"}},
			want: "1 unread, 1 waiting, oldest 1h0m0s, newest 1h0m0s, next 2 of 77"},
		{name: "messages come during FETCH", ages: []time.Duration{3 * h, 2 * h}, server: &simMailbox{answers: map[string]string{
			"FETCH": "* 3 EXISTS\n* 1 RECENT\n* 1 FETCH (UID 1 FLAGS () INTERNALDATE \"31-Dec-1999 21:00:00 +0000\")\n* 2 FETCH (UID 2 FLAGS () INTERNALDATE \"31-Dec-1999 22:00:00 +0000\")\n{tag} OK"}},
			want: "2 unread, 2 waiting, oldest 3h0m0s, newest 2h0m0s, next 3 of 77"},
		{name: "messages go during UID FETCH", ages: []time.Duration{3 * h, 2 * h}, server: &simMailbox{before: "ESEARCH", noUnseenCode: true, answers: map[string]string{
			"UID FETCH": "* 1 EXPUNGE\n* 1 FETCH (UID 2 FLAGS () INTERNALDATE \"31-Dec-1999 22:00:00 +0000\")\n{tag} OK", "FETCH": "{tag} NO"}},
			want: "2 unread, 2 waiting, newest 2h0m0s, next 3 of 77"},

		// Servers that end the session.
		{name: "the server stalls in FETCH", ages: []time.Duration{h}, server: &simMailbox{answers: map[string]string{"FETCH": "STALL"}},
			want: "1 unread, 1 waiting, next 2 of 77", noted: "FETCH has no usable answer"},
		{name: "the server closes in FETCH", ages: []time.Duration{h}, server: &simMailbox{answers: map[string]string{"FETCH": "CLOSE"}},
			want: "1 unread, 1 waiting, next 2 of 77"},
		{name: "the server says BYE in FETCH", ages: []time.Duration{h}, server: &simMailbox{answers: map[string]string{"FETCH": "* BYE enough\nCLOSE"}},
			want: "1 unread, 1 waiting, next 2 of 77"},
		{name: "a number of 10^19 before FETCH", ages: []time.Duration{h}, server: &simMailbox{answers: map[string]string{
			"FETCH": "* 10000000000000000000 FETCH (UID 1 FLAGS () INTERNALDATE NIL)\n{tag} OK"}},
			want: "1 unread, 1 waiting, next 2 of 77"},
		{name: "a line of 30 KB for a search", ages: eightOfTen, server: &simMailbox{noUnseenCode: true, answers: map[string]string{
			"UID SEARCH": "* SEARCH" + strings.Repeat(" 4000000", 4000) + "\n{tag} OK"}}, want: "3 unread, 3 waiting, next 6 of 77"},
		{name: "responses without end", ages: []time.Duration{h}, server: &simMailbox{answers: map[string]string{
			"FETCH": strings.Repeat("* 1 FETCH (FLAGS ())\n", 5000)}}, want: "1 unread, 1 waiting, next 2 of 77"},
		{name: "the mailbox does not exist", server: &simMailbox{answers: map[string]string{"STATUS": "{tag} NO [NONEXISTENT]", "EXAMINE": "{tag} NO [NONEXISTENT]"}},
			down: true, unknown: true},
	}
}

// factsText describes what a look learned, as told at now.
func factsText(w *mail.WatchFacts, now time.Time) string {
	if w == nil {
		return "nothing"
	}
	var parts []string
	add := func(n *uint64, format string) {
		if n != nil {
			parts = append(parts, fmt.Sprintf(format, *n))
		}
	}
	add(w.Unread, "%d unread")
	add(w.Waiting, "%d waiting")
	for name, at := range map[string]time.Time{"oldest": w.Oldest, "newest": w.Newest} {
		if !at.IsZero() {
			parts = append(parts, name+" "+now.Sub(at).String())
		}
	}
	slices.SortStableFunc(parts, func(a, b string) int {
		order := func(s string) int { return slices.Index([]string{"oldest", "newest"}, strings.Fields(s)[0]) }
		return order(a) - order(b)
	})
	add(w.Size, "size %d")
	if w.QuotaLimit != nil {
		parts = append(parts, fmt.Sprintf("quota %d of %d", *w.QuotaUsed, *w.QuotaLimit))
	}
	if w.FirstSeen {
		parts = append(parts, "first seen")
	}
	if w.UIDNext != 0 {
		parts = append(parts, fmt.Sprintf("next %d of %d", w.UIDNext, w.UIDValidity))
	}
	return strings.Join(parts, ", ")
}

func TestWatchedIMAPMailboxes(t *testing.T) {
	for _, story := range watchStories() {
		t.Run(story.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				box := story.server
				if box == nil {
					box = &simMailbox{}
				}
				box.validity = 77
				for _, age := range story.ages {
					box.deliver(1, time.Now().Add(-max(age, -age)))
					box.messages[len(box.messages)-1].seen = age < 0
				}
				c := watched(mail.IMAP, mail.WatchUnread)
				if story.mode != "" {
					c.Watch = story.mode
				}
				if story.change != nil {
					story.change(c)
				}
				now := time.Now()
				o := box.prober(mail.IMAP).Probe(t.Context(), c)
				synctest.Wait()
				heard := box.heard()
				wantOnlyLooks(t, heard)
				if o.Up() == story.down {
					t.Errorf("up is %v: %s", o.Up(), explain(o))
				}
				if story.unknown {
					story.want = "nothing"
				}
				if got := factsText(o.Mailbox.Watch, now); got != story.want {
					t.Errorf("learned %s\nwant    %s\n%s", got, story.want, explain(o))
				}
				if story.asked != nil {
					got := slices.DeleteFunc(heard, func(c string) bool { return c == "CAPABILITY" || c == "LOGIN" || c == "LOGOUT" })
					if !slices.Equal(got, story.asked) {
						t.Errorf("asked %q\nwant  %q", got, story.asked)
					}
				}
				if !strings.Contains(explain(o), story.noted) {
					t.Errorf("%q is not in the dialogue:\n%s", story.noted, explain(o))
				}
			})
		})
	}
}

// A message whose date is in the future is new at each probe. Its age is counted since it was
// first seen, or it would hide what waits behind it for ever.
func TestAMessageFromTheFutureGrowsOld(t *testing.T) {
	const year = 365 * 24 * time.Hour
	for _, story := range []struct {
		name     string
		ages     []time.Duration
		remember bool
		want     string // an hour after the first probe
	}{
		{"alone", []time.Duration{-year}, true, "1 unread, 1 waiting, oldest 1h0m0s, newest 1h0m0s, first seen, next 2 of 77"},
		{"before others", []time.Duration{-year, 0, 0}, true, "3 unread, 3 waiting, oldest 1h0m0s, newest 1h0m0s, first seen, next 4 of 77"},
		{"behind others", []time.Duration{2 * h, -year}, true, "2 unread, 2 waiting, oldest 3h0m0s, newest 1h0m0s, first seen, next 3 of 77"},
		{"and nothing is remembered", []time.Duration{-year}, false, "1 unread, 1 waiting, oldest 0s, newest 0s, next 2 of 77"},
		{"a date that has come", []time.Duration{-30 * time.Minute}, true, "1 unread, 1 waiting, oldest 30m0s, newest 30m0s, next 2 of 77"},
	} {
		t.Run(story.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				box := &simMailbox{validity: 77}
				for _, age := range story.ages {
					box.deliver(1, start.Add(-age))
				}
				p := box.prober(mail.IMAP)
				if story.remember {
					p.Sightings = sightings(t)
				}
				all, other := watched(mail.IMAP, mail.WatchAll), watched(mail.IMAP, mail.WatchAll)
				other.Mailbox = "Archive" // the same account: its messages are others
				probe := func(c *mail.Connection) mail.Outcome {
					o := p.Probe(t.Context(), c)
					synctest.Wait()
					wantOnlyLooks(t, box.heard())
					return o
				}
				probe(watched(mail.IMAP, mail.WatchUnread))
				probe(all)
				time.Sleep(h / 2) // in a bubble
				probe(other)
				time.Sleep(time.Until(start.Add(h)))
				for _, mode := range []mail.WatchMode{mail.WatchUnread, mail.WatchAll} {
					o := probe(watched(mail.IMAP, mode))
					if got := factsText(o.Mailbox.Watch, start.Add(h)); got != story.want {
						t.Errorf("%s: learned %s\nwant %s\n%s", mode, got, story.want, explain(o))
					}
				}
			})
		})
	}
}

// FuzzWatchedIMAPMailbox lets a server answer the commands of a look with anything.
// The probe must end, and what it learned must make sense.
func FuzzWatchedIMAPMailbox(f *testing.F) {
	f.Add("* STATUS INBOX (MESSAGES 3 UNSEEN 2)", "* ESEARCH (TAG \"T5\") UID MIN 2", "* 2 FETCH (UID 2 FLAGS () INTERNALDATE \"17-Jul-1996 02:44:25 -0700\")", "* QUOTA \"\" (STORAGE 1 2)")
	f.Add("* STATUS {5}\r\nINBOX (UNSEEN 99999999999)", "* SEARCH 1 2 3", "* 3 FETCH (INTERNALDATE NIL FLAGS NIL)", "* QUOTA a (STORAGE")
	f.Add("* 3 EXISTS", "* BYE", "* 1 EXPUNGE", "* 4294967295 FETCH (UID 4294967295)")
	f.Fuzz(func(t *testing.T, status, search, fetch, quota string) {
		synctest.Test(t, func(t *testing.T) { // servers that stall cost nothing here
			box := &simMailbox{validity: 77, before: "ESEARCH QUOTA STATUS=SIZE", noUnseenCode: true, answers: map[string]string{
				"STATUS": status + "\n{tag} OK", "UID SEARCH": search + "\n{tag} OK", "UID FETCH": fetch + "\n{tag} OK",
				"FETCH": fetch + "\n{tag} OK", "GETQUOTAROOT": quota + "\n{tag} OK"}}
			box.deliver(3, time.Now().Add(-h))
			o := box.prober(mail.IMAP).Probe(t.Context(), watched(mail.IMAP, mail.WatchUnread))
			if f := o.Failure; f != nil && (f.Phase != mail.PhaseMailbox || !slices.Contains(mail.Reasons(), f.Reason) || f.Reason == mail.LocalBug) {
				t.Errorf("failed: %+v", f)
			}
			wantOnlyLooks(t, box.heard())
			w := o.Mailbox.Watch
			if w == nil {
				return
			}
			if w.Oldest.After(o.End) || w.Newest.After(o.End) {
				t.Errorf("in the future: %+v", w)
			}
			if w.QuotaLimit != nil && (*w.QuotaLimit == 0 || w.QuotaUsed == nil) {
				t.Errorf("half a quota: %+v", w)
			}
		})
	})
}
