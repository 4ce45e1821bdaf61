package metrics

import (
	"testing"
	"time"

	"mailprobe/mail"
)

const (
	arrivalsName = "mailprobe_mailbox_arrivals_total"
	oldestName   = "mailprobe_mailbox_oldest_waiting_timestamp_seconds"
	waitingName  = "mailprobe_mailbox_waiting_messages"
)

// watchedInbox is an IMAP connection whose mailbox is watched.
func watchedInbox() *mail.Connection {
	c := inbox("tickets")
	c.Watch, c.WatchMaxAge, c.WatchExpectEvery = mail.WatchUnread, 15*time.Minute, 24*time.Hour
	return c
}

// look is a probe that saw a mailbox's UIDNEXT and UIDVALIDITY.
func look(c *mail.Connection, next, validity uint32) mail.Outcome {
	o := watched(c)
	o.Mailbox.Watch.UIDNext, o.Mailbox.Watch.UIDValidity = next, validity
	return o
}

func TestArrivalsCountStepsOfUIDNext(t *testing.T) {
	type seen struct{ next, validity uint32 }
	tests := []struct {
		name  string
		looks []seen
		want  float64
	}{
		{"the first look counts nothing", []seen{{500, 1}}, 0},
		{"two arrive, then one", []seen{{500, 1}, {502, 1}, {502, 1}, {503, 1}}, 3},
		{"another uidvalidity makes no jump", []seen{{5, 1}, {9000, 2}, {9001, 2}}, 1},
		{"uidnext goes back and on", []seen{{500, 1}, {20, 1}, {21, 1}}, 1},
		{"a refused status in between", []seen{{500, 1}, {0, 0}, {502, 1}}, 2},
		{"a server without uidvalidity", []seen{{500, 0}, {502, 0}}, -1},
		{"never a uidnext", []seen{{0, 3}}, -1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := watchedInbox()
			m := collectorOf(mail.HistogramsNone, c)
			for _, s := range test.looks {
				m.Observe(look(c, s.next, s.validity))
			}
			got, found := value(t, m, arrivalsName)
			if !found {
				got = -1
			}
			if got != test.want {
				t.Errorf("after %v: %v arrivals, want %v (-1: no series)", test.looks, got, test.want)
			}
		})
	}
}

func TestWatchStories(t *testing.T) {
	c := watchedInbox()
	tell := func(name string, outcomes ...mail.Outcome) {
		t.Run(name, func(t *testing.T) {
			m := collectorOf(mail.HistogramsNone, c)
			for i, o := range outcomes {
				m.Observe(later(o, time.Duration(i)*time.Minute))
			}
			golden(t, m, name)
		})
	}
	held := refused(c)
	held.Auth = mail.AuthFacts{Held: true, HeldForOthers: true, NextAttempt: noon.Add(time.Hour)}
	none := watched(c)
	none.Mailbox.Watch = &mail.WatchFacts{Unread: new(uint64(0)), Waiting: new(uint64(0)), Newest: noon.Add(-time.Hour)}

	tell("watch_stuck", watched(c))
	tell("watch_none_waits", none)
	tell("watch_login_held_keeps_the_last_look", watched(c), held)
	tell("watch_login_refused", watched(c), refused(c))
}

// The series of a watch vanish when the watch or the connection is removed from the
// configuration; up stays after the former.
func TestWatchSeriesVanishWithTheWatch(t *testing.T) {
	c := watchedInbox()
	m := collectorOf(mail.HistogramsNone, c)
	m.Observe(watched(c))
	none := *c
	none.Watch, none.WatchMaxAge, none.WatchExpectEvery = mail.WatchNone, 0, 0
	m.SetConnections([]*mail.Connection{&none})
	m.Observe(later(watched(c), time.Minute)) // began before the reload
	for _, id := range append([]familyID{mailboxArrivals, watchMaxAge, watchExpectEvery}, watchedFamilies...) {
		if _, found := value(t, m, families[id].name); found {
			t.Errorf("%s is still there", families[id].name)
		}
	}
	if got, found := value(t, m, "mailprobe_up"); !found || got != 1 {
		t.Errorf("up is %v, %v", got, found)
	}
	m.SetConnections([]*mail.Connection{c})
	if _, found := value(t, m, waitingName); found {
		t.Error("the waiting messages of before the watch was removed are back")
	}
	m.Observe(look(c, 30, 7))
	if got, found := value(t, m, arrivalsName); !found || got != 0 {
		t.Errorf("arrivals are %v, %v: those of the old watch must not count", got, found)
	}
	if _, found := value(t, m, oldestName); !found {
		t.Error("the new watch has no oldest message")
	}
	m.SetConnections(nil)
	if _, found := value(t, m, waitingName); found {
		t.Error("the connection was removed, its waiting messages stay")
	}
}

// Another limit takes effect at the reload, without another probe.
func TestWatchLimitsFollowTheReload(t *testing.T) {
	c := watchedInbox()
	m := collectorOf(mail.HistogramsNone, c)
	m.Observe(watched(c))
	other := *c
	other.WatchMaxAge, other.WatchExpectEvery = time.Hour, 0
	m.SetConnections([]*mail.Connection{&other})
	if got, _ := value(t, m, "mailprobe_mailbox_watch_max_age_seconds"); got != 3600 {
		t.Errorf("max age is %v", got)
	}
	if _, found := value(t, m, "mailprobe_mailbox_watch_expect_every_seconds"); found {
		t.Error("expect_every is still there")
	}
	if got, _ := value(t, m, waitingName); got != 12 {
		t.Errorf("%v messages wait, want 12 as in the last probe", got)
	}
}

// The time of the newest arrival is known even if a fetcher has deleted that message.
func TestNewestArrivalOutlivesTheMessage(t *testing.T) {
	const newestName = "mailprobe_mailbox_newest_message_timestamp_seconds"
	type seen struct {
		at     int // minutes after noon
		next   uint32
		newest int // minutes after noon; -1: the mailbox is empty
		want   int // minutes after noon; -1: absent
	}
	tests := []struct {
		name   string
		expect time.Duration
		looks  []seen
	}{
		{"empty from the start", 0, []seen{{0, 5, -1, -1}, {1, 5, -1, -1}}},
		{"empty from the start, and mail is expected", time.Hour, []seen{{0, 5, -1, 0}, {1, 5, -1, 0}, {90, 6, 80, 80}, {91, 6, -1, 80}}},
		{"empty and expected, and an older message appears", time.Hour, []seen{{5, 0, -1, 5}, {9, 0, 2, 5}}},
		{"one arrives and is deleted", 0, []seen{{0, 5, -1, -1}, {9, 6, 8, 8}, {10, 6, -1, 8}, {90, 6, -1, 8}}},
		{"one arrives and is deleted between two looks", 0, []seen{{0, 5, -1, -1}, {9, 6, -1, 9}, {10, 6, -1, 9}}},
		{"others come and go beside one that is stuck", 0, []seen{{0, 5, -60, -60}, {9, 7, -60, 9}, {10, 7, -60, 9}}},
		{"an old message is moved here", 0, []seen{{0, 5, -60, -60}, {9, 6, -5000, 9}}},
		{"a server without UIDNEXT", 0, []seen{{0, 0, -60, -60}, {9, 0, -1, -60}, {10, 0, 9, 9}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := watchedInbox()
			c.Watch, c.WatchExpectEvery = mail.WatchAll, test.expect
			m := collectorOf(mail.HistogramsNone, c)
			for _, s := range test.looks {
				o := later(look(c, s.next, 7), time.Duration(s.at)*time.Minute)
				o.Mailbox.Watch.Newest = noon.Add(time.Duration(s.newest) * time.Minute)
				if s.newest == -1 {
					o.Mailbox.Watch.Newest, o.Mailbox.Messages = time.Time{}, 0
				}
				m.Observe(o)
				got, found := value(t, m, newestName)
				want := seconds(noon.Add(time.Duration(s.want) * time.Minute))
				if found != (s.want != -1) || found && got != want {
					t.Errorf("after %d minutes the newest is of %v minutes (%v), want %d", s.at, (got-seconds(noon))/60, found, s.want)
				}
			}
		})
	}
}
