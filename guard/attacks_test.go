package guard

// This file is the table of attacks on accounts: what a hostile server, client,
// operator or host does, and how many attempts an account may get. docs/attacks.md
// is written from it. The numbers are permanent.

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"mailprobe/mail"
)

// attack is one row of the table.
type attack struct {
	number   string
	name     string
	attempts int // that the account may get
	run      func(t *testing.T, h *fixture) (attempts int)
}

// commandRejected is an answer that no rule knows.
var commandRejected = AuthVerdict{Tried: true, Class: mail.Transient, Reason: mail.CommandRejected, Unclassified: true, Address: wrong.Address}

// repeat probes a connection n times, and returns how often its login was sent.
func (h *fixture) repeat(n int, gap time.Duration, c *mail.Connection, v AuthVerdict) (attempts int) {
	for range n {
		if h.probe(c, "bad", v).Allowed {
			attempts++
		}
		h.sleep(gap)
	}
	return attempts
}

// runByHand is one run of the command probe with a wrong password.
func (h *fixture) runByHand(path string) (attempts int) {
	g, err := Open(Options{StatePath: path, Now: h.now})
	if err != nil {
		return 0 // exit code 3
	}
	defer g.Close()
	p := g.Enter(context.Background(), user("a", "mail.example", "ann"), mail.NewSecret("bad"))
	if !p.Allowed || !p.Login(context.Background()) {
		p.Done(AuthVerdict{})
		return 0
	}
	p.Done(wrong)
	return 1
}

// tamper damages a file in one of four ways.
func tamper(t *testing.T, path string, way int) {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err == nil {
		half := len(raw) / 2
		switch way % 4 {
		case 0:
			err = os.Truncate(path, int64(half))
		case 1:
			err = os.WriteFile(path, append(append(raw[:half:half], "\x00\xffjunk\n"...), raw[min(len(raw), half+20):]...), 0o600)
		case 2:
			err = os.Truncate(path, 0)
		default:
			err = os.Remove(path)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
}

// directory is a server that refuses every login after a delay, and counts the logins.
type directory struct {
	attempts atomic.Int32
	delay    time.Duration
}

// together probes connections at the same moment, in virtual time.
func (d *directory) together(g *Guard, conns []*mail.Connection, secret func(i int) string) {
	var probes sync.WaitGroup
	for i, c := range conns {
		probes.Go(func() {
			p := g.Enter(context.Background(), c, mail.NewSecret(secret(i)))
			if !p.Allowed || !p.Login(context.Background()) {
				p.Done(AuthVerdict{})
				return
			}
			d.attempts.Add(1)
			time.Sleep(d.delay)
			p.Done(AuthVerdict{Tried: true, Class: mail.Definitive, Reason: mail.AuthRejected})
		})
	}
	probes.Wait()
}

// hosts returns connections of one user to n hosts.
func hosts(n int, username string) (conns []*mail.Connection) {
	for i := range n {
		conns = append(conns, user(fmt.Sprint("c", i), fmt.Sprintf("host-%d.example", i), username))
	}
	return conns
}

// attacks is the table.
var attacks = []attack{
	{"A1", "a wrong password, probed each second for half an hour", 1, func(_ *testing.T, h *fixture) int {
		return h.repeat(1800, time.Second, user("a", "mail.example", "ann"), wrong)
	}},
	{"A2", "a password that worked turns wrong, probed each second for half an hour", 2, func(_ *testing.T, h *fixture) int {
		ann := user("a", "mail.example", "ann")
		h.probe(ann, "bad", right)
		h.sleep(time.Second)
		return h.repeat(1800, time.Second, ann, wrong)
	}},
	{"A3", "killed after each login, before the verdict is written, and started again, ten times in ten minutes", 2, func(t *testing.T, h *fixture) (attempts int) {
		path := filepath.Join(t.TempDir(), "state")
		h.restart(path)
		for range 10 {
			p := h.Enter(context.Background(), user("a", "mail.example", "ann"), mail.NewSecret("bad"))
			if p.Allowed && p.Login(context.Background()) {
				attempts++
			}
			path = h.kill(path)
			h.sleep(time.Minute)
		}
		return attempts
	}},
	{"A4", "a reload changes the connection after each login, fifteen times", 2, func(_ *testing.T, h *fixture) (attempts int) {
		for i := range 15 {
			c := user("a", "mail.example", "ann")
			c.Port = 1000 + i
			h.SetConnections([]*mail.Connection{c})
			if h.probe(c, "bad", wrong).Allowed {
				attempts++
			}
			h.sleep(time.Second)
		}
		return attempts
	}},
	{"A5", "ten runs by hand at the same moment", 1, func(t *testing.T, _ *fixture) int {
		path := filepath.Join(t.TempDir(), "state")
		var attempts atomic.Int32
		var runs sync.WaitGroup
		for range 10 {
			g, err := Open(Options{StatePath: path})
			if err != nil {
				t.Fatal(err)
			}
			runs.Go(func() {
				defer g.Close()
				p := g.Enter(context.Background(), user("a", "mail.example", "ann"), mail.NewSecret("bad"))
				v := AuthVerdict{}
				if p.Allowed && p.Login(context.Background()) {
					attempts.Add(1)
					v = wrong
				}
				p.Done(v)
			})
		}
		runs.Wait()
		return int(attempts.Load())
	}},
	{"A6", "a user name without a domain, one wrong password, five hosts", 1, func(_ *testing.T, h *fixture) (attempts int) {
		for _, c := range hosts(5, `CORP\alice`) {
			attempts += h.repeat(4, time.Second, c, wrong)
		}
		return attempts
	}},
	{"A7", "a password file that changes to another wrong password each minute, for half an hour", 2, func(_ *testing.T, h *fixture) (attempts int) {
		for i := range 30 {
			if h.probe(user("a", "mail.example", "ann"), fmt.Sprint("bad", i), wrong).Allowed {
				attempts++
			}
			h.sleep(time.Minute)
		}
		return attempts
	}},
	{"A8", "the same for a day", 4, func(_ *testing.T, h *fixture) (attempts int) {
		for i := range 24 * 60 {
			if h.probe(user("a", "mail.example", "ann"), fmt.Sprint("bad", i), wrong).Allowed {
				attempts++
			}
			h.sleep(time.Minute)
		}
		return attempts
	}},
	{"A9", "one account with eight mechanisms", 1, func(_ *testing.T, h *fixture) (attempts int) {
		for _, auth := range []mail.AuthMethod{mail.AuthAuto, mail.AuthLogin, mail.AuthPlain, mail.AuthCRAMMD5, mail.AuthSCRAMSHA1, mail.AuthSCRAMSHA256, mail.AuthSASLLogin, mail.AuthAPOP} {
			c := user(string(auth), "mail.example", "ann")
			c.Auth = auth
			attempts += h.repeat(1, time.Second, c, wrong)
		}
		return attempts
	}},
	{"A10", "an answer that no rule knows, each second for half an hour", 2, func(_ *testing.T, h *fixture) int {
		return h.repeat(1800, time.Second, user("a", "mail.example", "ann"), commandRejected)
	}},
	{"A11", "a server that wants longer pauses, probed twenty times in a minute", 2, func(_ *testing.T, h *fixture) int {
		return h.repeat(20, 3*time.Second, user("a", "mail.example", "ann"), AuthVerdict{Tried: true, Class: mail.Transient, Reason: mail.AuthTooSoon})
	}},
	{"A12", "a server that hangs up after the password, each second for half an hour", 2, func(_ *testing.T, h *fixture) int {
		return h.repeat(1800, time.Second, user("a", "mail.example", "ann"), hungUp)
	}},
	{"A13", "a server that never answers a password that worked, each second for half an hour", 2, func(_ *testing.T, h *fixture) int {
		ann := user("a", "mail.example", "ann")
		h.probe(ann, "bad", right)
		h.sleep(time.Second)
		return h.repeat(1800, time.Second, ann, tooSlow)
	}},
	{"A14", "an OK that the server takes back at the next command, each second", 2, func(_ *testing.T, h *fixture) int {
		return h.repeat(60, time.Second, user("a", "mail.example", "ann"),
			AuthVerdict{Tried: true, Accepted: true, Class: mail.Possible, Doubtful: true, Reason: mail.NotAuthorized})
	}},
	{"A15", "callers who leave in the middle of each login, ten times", 2, func(_ *testing.T, h *fixture) int {
		return h.repeat(10, time.Second, user("a", "mail.example", "ann"), AuthVerdict{Tried: true})
	}},
	{"A16", "a disk that cannot be written to", 0, func(t *testing.T, h *fixture) int {
		path := filepath.Join(t.TempDir(), "state")
		h.restart(path)
		breakJournal(t, path)
		return h.repeat(8, time.Minute, user("a", "mail.example", "ann"), wrong)
	}},
	{"A21", "the journal is cut, overwritten, emptied or removed after each of twelve runs by hand", 2, func(t *testing.T, h *fixture) (attempts int) {
		path := filepath.Join(t.TempDir(), "state")
		for i := range 12 {
			attempts += h.runByHand(path)
			tamper(t, path+".journal", i)
			h.sleep(time.Minute)
		}
		return attempts
	}},
	{"A22", "the state file is cut or overwritten, or its key removed, while the program is killed ten times in ten minutes", 2, func(t *testing.T, h *fixture) (attempts int) {
		path := filepath.Join(t.TempDir(), "state")
		h.restart(path)
		for i := range 10 {
			attempts += h.repeat(1, time.Second, user("a", "mail.example", "ann"), wrong)
			if err := h.Close(); err != nil {
				t.Fatal(err)
			}
			switch i % 3 {
			case 0:
				tamper(t, path, 0)
			case 1:
				tamper(t, path, 1)
			default:
				tamper(t, path+".key", 3)
			}
			h.restart(path)
			h.sleep(time.Minute)
		}
		return attempts
	}},
	{"A23", "a password that one host accepts each minute and six others refuse, for half an hour", othersPerHalfHour, func(_ *testing.T, h *fixture) int {
		return h.oneOfMany(30)
	}},
	{"A24", "the same for a day", othersPerDay, func(_ *testing.T, h *fixture) int { return h.oneOfMany(24 * 60) }},
	{"A25", "six protocols and ports of one host refuse a password that another host accepts each minute, for half an hour", othersPerHalfHour, func(_ *testing.T, h *fixture) int {
		f := oneOfMany(6)
		for i, c := range f.conns[1:7] {
			c.Host, c.Port = "no.example", 1000+i
			c.Protocol = mail.Protocols()[i%3]
		}
		f.refuses["no.example"] = true
		for range 30 {
			f.probe(h, time.Minute)
		}
		return len(f.refusals)
	}},
	{"A26", "a password that works at eight hosts turns wrong at one after another, one each minute, while the others accept it", 8, func(_ *testing.T, h *fixture) int {
		f := &family{conns: hosts(8, "ann"), refuses: map[string]bool{}, tried: map[string]time.Time{}, withheld: map[string]int{}}
		for minute := range 30 {
			f.probe(h, time.Minute)
			f.refuses[f.conns[min(minute, 7)].Host] = true
		}
		return len(f.refusals)
	}},
	{"A31", "three connections in one realm of their own, beside others of the same name, each with another wrong password each minute for half an hour: logins in that realm", attemptsPerHalfHour, func(_ *testing.T, h *fixture) (attempts int) {
		for minute := range 30 {
			for i, c := range hosts(6, "ann") {
				if i%2 == 0 {
					c.Realm = "Two"
				}
				if h.probe(c, fmt.Sprint("bad", minute), wrong).Allowed && i%2 == 0 {
					attempts++
				}
			}
			h.sleep(time.Minute)
		}
		return attempts
	}},
	{"A20", "reloads or restarts in the middle of each login with a password that worked, and the server never gets to answer, ten times", 2, func(_ *testing.T, h *fixture) int {
		ann := user("a", "mail.example", "ann")
		h.probe(ann, "bad", right)
		return h.repeat(10, time.Second, ann, AuthVerdict{Tried: true})
	}},
}

// readOnlyAttack is a row of the table that needs a file system of its own.
type readOnlyAttack struct {
	number, name string
	known        bool // the password worked before
	open         bool // the disk turns read-only while the first login has no answer
	answered     bool // which then comes
	attempts     int
}

var readOnlyAttacks = []readOnlyAttack{
	{"A27", "a state folder that is read-only from the start, while the program is killed ten times in ten minutes", false, false, false, 0},
	{"A28", "the same with a password that worked and turned wrong meanwhile", true, false, false, 0},
	{"A29", "the folder turns read-only while a login has no answer, ten kills in ten minutes", false, true, false, 1},
	{"A30", "the same with a password that worked, and is refused after the folder has turned", true, true, true, 1},
}

// oneOfMany counts the refusals of a password that one host accepts and six refuse.
func (h *fixture) oneOfMany(minutes int) int {
	f := oneOfMany(6)
	for range minutes {
		f.probe(h, time.Minute)
	}
	return len(f.refusals)
}

// TestOwnActsHoldNoGoodAccount calls each second login off before its answer: a
// program that is restarted all the time goes on.
func TestOwnActsHoldNoGoodAccount(t *testing.T) {
	h := newFixture(t, "")
	ann := user("a", "mail.example", "ann")
	h.probe(ann, "good", right)
	for i := range 20 {
		h.sleep(time.Second)
		if p := h.probe(ann, "good", AuthVerdict{Tried: true}); !p.Allowed {
			t.Fatalf("login %d, before it is called off: %+v", i, p.Hold)
		}
		h.sleep(time.Second)
		if p := h.probe(ann, "good", right); !p.Allowed {
			t.Fatalf("login %d, after one was called off: %+v", i, p.Hold)
		}
	}
}

func TestAttacks(t *testing.T) {
	t.Parallel()
	for _, a := range attacks {
		t.Run(a.number, func(t *testing.T) {
			if got := a.run(t, newFixture(t, "")); got > a.attempts || got == 0 && a.attempts > 0 {
				t.Errorf("%s: %d attempts, want at most %d, and at least one", a.name, got, a.attempts)
			}
		})
	}
}

// attackAtOnce is a row of the table that happens at one moment, again and again
// for half an hour, in virtual time.
type attackAtOnce struct {
	number, name string
	conns        []*mail.Connection
	known        bool // the passwords worked before
	secret       func(i int) string
	attempts     int32
}

func attacksAtOnce() []attackAtOnce {
	same := func(int) string { return "p" }
	other := func(i int) string { return fmt.Sprint("p", i) }
	var oneHost []*mail.Connection
	for i := range 12 {
		oneHost = append(oneHost, user(fmt.Sprint("c", i), "mail.example", "ann"))
	}
	return []attackAtOnce{
		{"A17", "a password that worked turns wrong on twelve connections of one host, probed together each minute for half an hour", oneHost, true, same, 2},
		{"A18", "the same with connections to eight hosts", hosts(8, "ann"), true, same, 2},
		{"A19", "twelve hosts with a wrong password each, for one user name without a domain", hosts(12, "ann"), false, other, 2},
	}
}

func TestAttacksAtOnce(t *testing.T) {
	for _, a := range attacksAtOnce() {
		t.Run(a.number, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { a.run(t) })
		})
	}
}

func (a *attackAtOnce) run(t *testing.T) {
	g, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	if a.known {
		for i, c := range a.conns {
			p := g.Enter(context.Background(), c, mail.NewSecret(a.secret(i)))
			p.Login(context.Background())
			p.Done(AuthVerdict{Tried: true, Accepted: true})
		}
	}
	d := &directory{delay: 2 * time.Second}
	for range 28 {
		time.Sleep(time.Minute)
		d.together(g, a.conns, a.secret)
	}
	if n := d.attempts.Load(); n > a.attempts || n == 0 {
		t.Errorf("%s: %d attempts in half an hour, want at most %d, and at least one", a.name, n, a.attempts)
	}
}

var update = flag.Bool("update", false, "write docs/attacks.md")

// TestAttacksPageIsWritten compares docs/attacks.md with the table that the tests use.
func TestAttacksPageIsWritten(t *testing.T) {
	var page strings.Builder
	page.WriteString(attacksIntroduction)
	rows := map[int]string{}
	add := func(number, name string, attempts int) {
		n, err := strconv.Atoi(strings.TrimPrefix(number, "A"))
		if err != nil || rows[n] != "" {
			t.Errorf("attack %s: not a number of its own (%v)", number, err)
		}
		rows[n] = fmt.Sprintf("| %s | %s | %d |\n", number, name, attempts)
	}
	for _, a := range attacks {
		add(a.number, a.name, a.attempts)
	}
	for _, a := range attacksAtOnce() {
		add(a.number, a.name, int(a.attempts))
	}
	for _, a := range readOnlyAttacks {
		add(a.number, a.name, a.attempts)
	}
	for _, n := range slices.Sorted(maps.Keys(rows)) {
		page.WriteString(rows[n])
	}
	const path = "../docs/attacks.md"
	if *update {
		if err := os.WriteFile(path, []byte(page.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if written, err := os.ReadFile(path); err != nil || string(written) != page.String() {
		t.Errorf("%s is not up to date (%v); run: make generate", path, err)
	}
}

const attacksIntroduction = `# Attacks on accounts

<!-- written by make generate from guard/attacks_test.go -->

What a hostile server, client or operator, or bad luck, can do to make mailprobe try a password too often, and how many logins the
account may get. Each row is a test: ` + "`go test ./guard -run TestAttacks`" + ` counts the logins. A connection with ` + "`lockout: off`" + ` is not
protected. Random sequences of such acts are played by ` + "`go test ./guard -run Interleaved`" + `. Where STARTTLS is refused, stripped, broken off, answered
in clear or with a wrong certificate, no secret leaves, so there is no login: ` + "`go test ./prober -run TestFaults`" + `.

A26 is the exception to two in half an hour: a login that works is not withheld because others are refused.

| number | attack | logins at most |
|---|---|---|
`
