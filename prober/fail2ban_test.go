package prober_test

// What fail2ban counts of our probes: real servers write their logs, the guard
// lives in a virtual time, each line of a log is dated by it, and Debian's
// fail2ban reads the logs with the filters that administrators use.

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"mailprobe/guard"
	"mailprobe/internal/realserver"
	"mailprobe/mail"
	"mailprobe/pool"
	"mailprobe/prober"
)

// Debian's defaults (jail.conf): who is counted this often within this time is
// banned.
const (
	maxRetry = 5
	findTime = 10 * time.Minute
)

// perHost is how many probes of one host are under way at most.
const perHost = 10

// Both logs as the jails of Debian read them, and in their stricter modes.
var (
	dovecotFilters = []string{"dovecot", "dovecot[mode=aggressive]"}
	postfixFilters = []string{"postfix", "postfix[mode=auth]", "postfix[mode=extra]", "postfix[mode=ddos]", "postfix[mode=aggressive]"}
)

// year is a virtual time: connections are probed through a pool and a guard when
// they are due, and the servers' logs are dated by its clock.
type year struct {
	servers *real
	pool    *pool.Pool
	conns   []*mail.Connection
	due     map[string]time.Time

	mu  sync.Mutex
	now time.Time

	dovecot, postfix diary
	outcomes         map[string]mail.Outcome // the last one of each
	// Sessions: with a login, those of them that were refused, and without.
	logins, refused, looks int
}

// newYear begins in the past, for fail2ban does not believe in the future.
func newYear(t *testing.T, servers *real, conns []*mail.Connection) *year {
	t.Helper()
	y := &year{servers: servers, conns: conns, due: map[string]time.Time{}, outcomes: map[string]mail.Outcome{},
		now: time.Now().UTC().Add(-30 * 24 * time.Hour).Truncate(time.Minute)}
	y.dovecot.begin(servers.dovecot.Log())
	y.postfix.begin(servers.postfix.Log())
	guard, err := guard.New(guard.Options{Now: y.clock})
	if err != nil {
		t.Fatal(err)
	}
	engine := &prober.Prober{Guard: guard}
	y.pool = pool.New(pool.Options{MaxInFlightPerHost: perHost, Probe: engine.Probe, Report: y.report})
	y.pool.Set(conns)
	return y
}

func (y *year) clock() time.Time {
	y.mu.Lock()
	defer y.mu.Unlock()
	return y.now
}

func (y *year) report(o mail.Outcome) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.outcomes[o.Connection.Name] = o
	switch {
	case o.Address == "":
		return
	case o.Auth.Sent:
		y.logins++
		if o.Auth.Rejected {
			y.refused++
		}
	default:
		y.looks++
	}
	if o.Connection.Protocol == mail.SMTP {
		y.postfix.sessions++
	} else {
		y.dovecot.sessions++
	}
}

// pass lets time go by, minute after minute.
func (y *year) pass(t *testing.T, span time.Duration) {
	t.Helper()
	for end := y.now.Add(span); y.now.Before(end); y.now = y.now.Add(time.Minute) {
		var probes sync.WaitGroup
		for _, c := range y.conns {
			if y.now.Before(y.due[c.Name]) {
				continue
			}
			y.due[c.Name] = y.now.Add(c.Interval)
			probes.Go(func() {
				if _, err := y.pool.ProbeNow(t.Context(), c.Name); err != nil {
					t.Error(err)
				}
			})
		}
		probes.Wait()
		y.dovecot.date(t, y.now, y.servers.dovecot.Log, "-login: Info: ")
		y.postfix.date(t, y.now, y.servers.postfix.Log, ": disconnect from ")
	}
}

// diary is a log with other dates.
type diary struct {
	dated    strings.Builder
	read     int // bytes of the log
	sessions int // that must have left their line
	ended    int // that have
}

func (d *diary) begin(log string) { d.read = len(log) }

// date takes what the servers wrote since the last time, as soon as the last
// line of each session is there.
func (d *diary) date(t *testing.T, now time.Time, log func() string, last string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for d.ended < d.sessions {
		text := log()[d.read:]
		text = text[:strings.LastIndexByte(text, '\n')+1]
		d.read += len(text)
		d.ended += strings.Count(text, last)
		for line := range strings.Lines(text) {
			// A syslog date has 16 bytes with its space.
			d.dated.WriteString(now.Format(time.RFC3339) + line[15:])
		}
		if d.ended < d.sessions && ctx.Err() != nil {
			t.Fatalf("%d sessions, %d times %q in the log", d.sessions, d.ended, last)
		}
		time.Sleep(2 * time.Millisecond) // a log of another process
	}
}

// failures are the times of the lines that each filter counts.
func (d *diary) failures(t *testing.T, filters []string) map[string][]time.Time {
	t.Helper()
	found := map[string][]time.Time{}
	for _, filter := range filters {
		found[filter] = realserver.Failures(t, d.dated.String(), filter)
	}
	return found
}

// densest is the highest number of times within any window.
func densest(times []time.Time, window time.Duration) (n int) {
	first := 0
	for last := range times {
		for times[last].Sub(times[first]) >= window {
			first++
		}
		n = max(n, last-first+1)
	}
	return n
}

// fleet are connections with an account each, all with one password.
func (r *real) fleet(t *testing.T, n int, protocols ...mail.Protocol) (conns []*mail.Connection, users []string) {
	t.Helper()
	for i := range n {
		user := fmt.Sprintf("user-%d@example.test", i)
		c := r.connection(protocols[i%len(protocols)], mail.ImplicitTLS)
		c.Name, c.Username, c.CheckMailbox = user, user, false
		c.Password = mail.InlineSecret(mail.NewSecret("pw-of-all"))
		conns, users = append(conns, c), append(users, user)
	}
	r.dovecot.SetPasswords(t, "pw-of-all", users...)
	return conns, users
}

// wantUpAll demands that every connection is up.
func (y *year) wantUpAll(t *testing.T) {
	t.Helper()
	for name, o := range y.outcomes {
		if !o.Up() {
			t.Errorf("%s: %s", name, story(o))
		}
	}
}

// TestFail2banSpares lets passwords of 20 healthy connections turn wrong at the
// server, and wants that no filter would ban us. docs/authentication.md tells
// the counts that it logs.
func TestFail2banSpares(t *testing.T) {
	t.Parallel()
	realserver.Need(t, "fail2ban-regex")
	servers := startReal(t, realserver.Options{})
	for _, test := range []struct {
		story    string
		protocol mail.Protocol
		stale    int // of 20
		span     time.Duration
		refusals int // at least
	}{
		{"one_stale_password_on_imap", mail.IMAP, 1, 24 * time.Hour, 4},
		{"one_stale_password_on_smtp", mail.SMTP, 1, 2 * time.Hour, 3},
		{"all_passwords_wrong_at_once_on_imap", mail.IMAP, 20, time.Hour, 6},
		{"all_passwords_wrong_at_once_on_smtp", mail.SMTP, 20, time.Hour, 6},
	} {
		t.Run(test.story, func(t *testing.T) {
			conns, users := servers.fleet(t, 20, test.protocol)
			for _, c := range conns[test.stale:] {
				c.Interval = 6 * time.Hour
			}
			y := newYear(t, servers, conns)
			y.pass(t, time.Minute)
			y.wantUpAll(t)
			servers.dovecot.SetPasswords(t, "another", users[:test.stale]...)
			y.pass(t, test.span)
			if y.refused < test.refusals {
				t.Fatalf("%d logins refused, want %d to look at", y.refused, test.refusals)
			}
			y.wantNoBan(t, test.protocol)
		})
	}
}

// wantNoBan demands that each filter counts what it is known to count, which is
// nothing of healthy connections, and never enough for a ban.
func (y *year) wantNoBan(t *testing.T, p mail.Protocol) {
	t.Helper()
	t.Logf("%d sessions with a login, %d of them refused, %d without", y.logins, y.refused, y.looks)
	log, filters := &y.dovecot, dovecotFilters
	want := map[string]int{"dovecot": y.refused, "dovecot[mode=aggressive]": y.refused + y.looks}
	if p == mail.SMTP {
		log, filters = &y.postfix, postfixFilters
		want = map[string]int{"postfix": 0, "postfix[mode=auth]": y.refused, "postfix[mode=extra]": y.refused,
			"postfix[mode=ddos]": y.refused, "postfix[mode=aggressive]": 2 * y.refused}
	}
	found := log.failures(t, filters)
	for _, filter := range filters {
		times := found[filter]
		window := densest(times, findTime)
		t.Logf("%-25s %3d lines, at most %d in %v", filter, len(times), window, findTime)
		if window >= maxRetry {
			t.Errorf("%s counts %d within %v, want less than %d", filter, window, findTime, maxRetry)
		}
		if len(times) != want[filter] {
			t.Errorf("%s counts %d lines, want %d", filter, len(times), want[filter])
		}
	}
}

// TestFail2banCountsSessions tells how many lines one session of each kind costs.
// docs/authentication.md has the same table.
func TestFail2banCountsSessions(t *testing.T) {
	t.Parallel()
	realserver.Need(t, "fail2ban-regex")
	servers := startReal(t, realserver.Options{})
	good := func(*mail.Connection) {}
	noLogin := func(c *mail.Connection) { c.Username = "" }
	untrusting := func(c *mail.Connection) { c.TLS.ServerName = "another.example.test" }
	aggressive := map[string]int{"dovecot[mode=aggressive]": 1}
	refused := map[string]int{"dovecot": 1, "dovecot[mode=aggressive]": 1}
	tests := []struct {
		story    string
		protocol mail.Protocol
		change   func(*mail.Connection)
		want     map[string]int // by filter; others count nothing
	}{
		{"imap_good", mail.IMAP, good, nil},
		{"pop3_good", mail.POP3, good, nil},
		{"smtp_good", mail.SMTP, good, nil},
		{"imap_refused", mail.IMAP, wrongPassword, refused},
		{"pop3_refused", mail.POP3, wrongPassword, refused},
		{"smtp_refused", mail.SMTP, wrongPassword, map[string]int{
			"postfix[mode=auth]": 1, "postfix[mode=extra]": 1, "postfix[mode=ddos]": 1, "postfix[mode=aggressive]": 2}},
		{"imap_without_login", mail.IMAP, noLogin, aggressive},
		{"pop3_without_login", mail.POP3, noLogin, aggressive},
		{"smtp_without_login", mail.SMTP, noLogin, nil},
		{"imap_bad_certificate", mail.IMAP, untrusting, aggressive},
		{"pop3_bad_certificate", mail.POP3, untrusting, aggressive},
		{"smtp_bad_certificate", mail.SMTP, untrusting, map[string]int{"postfix[mode=ddos]": 1, "postfix[mode=aggressive]": 1}},
	}
	var conns []*mail.Connection
	for _, test := range tests {
		conns = append(conns, servers.connection(test.protocol, mail.ImplicitTLS, test.change, func(c *mail.Connection) {
			c.Name, c.Interval, c.Lockout = test.story, 1000*time.Hour, mail.LockoutOff
		}))
	}
	y := newYear(t, servers, conns)
	start := y.now
	for i, c := range conns {
		y.due[c.Name] = start.Add(time.Duration(i) * time.Hour) // by which its lines are known
	}
	y.pass(t, time.Duration(len(conns))*time.Hour)
	found := y.dovecot.failures(t, dovecotFilters)
	maps.Copy(found, y.postfix.failures(t, postfixFilters))
	for i, test := range tests {
		from := start.Add(time.Duration(i) * time.Hour)
		for filter, times := range found {
			times = slices.DeleteFunc(slices.Clone(times), func(at time.Time) bool { return at.Before(from) || !at.Before(from.Add(time.Hour)) })
			if len(times) != test.want[filter] {
				t.Errorf("%s: %s counts %d lines, want %d", test.story, filter, len(times), test.want[filter])
			}
		}
	}
	if t.Failed() {
		t.Log(y.dovecot.dated.String() + y.postfix.dated.String())
	}
}
