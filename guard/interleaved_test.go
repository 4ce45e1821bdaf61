package guard

// This file plays random sequences: several connections of an account, servers that change
// their answers, reloads, kills, runs by hand, clocks that are set. A model of the servers
// counts the refused logins. A sequence with more of them than promised is shortened
// before it is shown.

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"mailprobe/mail"
)

// act is one thing that happens. Which connection, host or value it concerns is a number
// modulo how many there are, so that a sequence from which acts were removed still makes
// sense.
type act struct {
	kind    kind
	which   int
	value   int
	elapses time.Duration // afterwards
}

type kind int

const (
	probes    kind = iota // a connection is probed
	begins                // a login is sent, and not answered yet
	answers               // the oldest login under way is answered
	leaves                // the probe of the oldest login under way is cancelled
	turns                 // a host changes its answer
	rotates               // a connection gets another secret
	reloads               // a connection becomes another one
	removes               // a connection is gone, or comes back
	ends                  // mailprobe ends and starts again
	isKilled              // mailprobe is killed (SIGKILL) and starts again
	setsClock             // mailprobe is killed, the clock is set, and it starts again
	runByHand             // a run by hand beside the serving process
	kinds
)

var kindNames = []string{"probe", "begin", "answer", "cancel", "turn", "rotate", "reload", "remove", "restart", "kill", "set clock", "by hand"}

func (a act) String() string {
	return fmt.Sprintf("{%s %d %d, %v}", kindNames[a.kind], a.which, a.value, a.elapses)
}

// moods are the answers of a host to logins. A host that accepts still refuses every
// secret but one.
var moods = []AuthVerdict{
	right, right, wrong, wrong, hungUp, tooSlow, later, commandRejected,
	{Tried: true, Class: mail.Transient, Reason: mail.AuthTooSoon},
	{Tried: true, Class: mail.Definitive, Reason: mail.AuthDisabled},
	{Tried: true, Accepted: true, Class: mail.Possible, Doubtful: true, Reason: mail.NotAuthorized},
}

// way is how a server tells logins apart: it begins to count anew when it accepts one.
type way struct{ account, host, protocol, auth, secret string }

// counted is one login that a server did not accept.
type counted struct {
	at        time.Duration
	way       way
	mailbox   *mail.Connection // if the answer was about that alone
	byOwnAct  bool             // the probe was cancelled, or killed
	turned    bool             // the login was known to work
	unbounded bool             // the promise does not bound it, see check
}

// known is what the servers know of a way.
type known struct {
	accepted time.Duration // when the last accepted login began; -1: never
	refused  bool          // since then
	doubts   int           // since then
}

// pendingLogin is a login under way.
type pendingLogin struct {
	permit *Permit
	conn   *mail.Connection
	way    way
	began  time.Duration
	known  bool
	since  time.Duration // of the last login that any host had accepted with this secret
}

// world is the model.
type world struct {
	t       *testing.T
	h       *fixture
	path    string
	conns   []*mail.Connection
	gone    map[int]bool
	secrets []string
	moods   map[string]AuthVerdict
	pending []pendingLogin // the oldest first

	elapsed time.Duration // real time since the start; a clock set forward counts as such
	ways    map[way]*known
	log     []counted
	broken  string // how the promise was broken; empty: it holds
	sent    int
}

var hostNames = []string{"one.example", "two.example", "three.example"}

func newWorld(t *testing.T, seed uint64) *world {
	r := rand.New(rand.NewPCG(seed, 1))
	w := &world{t: t, moods: map[string]AuthVerdict{}, gone: map[int]bool{}, ways: map[way]*known{}}
	if seed%6 == 0 { // the others have no restarts, and are quicker
		w.path = filepath.Join(t.TempDir(), "state")
	}
	w.h = &fixture{t: t, at: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)}
	w.open()
	for i := range 2 + r.IntN(5) {
		c := user(fmt.Sprint("c", i), hostNames[r.IntN(len(hostNames))], []string{"ann", "Ann", "ann", "bob"}[r.IntN(4)])
		c.Protocol = mail.Protocols()[r.IntN(3)]
		if r.IntN(4) == 0 {
			c.Realm = "apart"
		}
		w.conns, w.secrets = append(w.conns, c), append(w.secrets, fmt.Sprint("s", r.IntN(2)))
	}
	for _, host := range hostNames {
		w.moods[host] = moods[r.IntN(3)]
	}
	w.configure()
	return w
}

// sequence is what happens in one world.
func sequence(seed uint64, n int) (acts []act) {
	r := rand.New(rand.NewPCG(seed, 2))
	for range n {
		a := act{kind: kind(r.IntN(int(kinds))), which: r.IntN(60), value: r.IntN(1000)}
		if r.IntN(2) == 0 {
			a.kind = probes
		}
		switch r.IntN(8) {
		case 0:
			a.elapses = time.Duration(r.IntN(8*60)) * time.Minute
		case 1, 2, 3:
			a.elapses = time.Duration(r.IntN(40)) * time.Minute
		default:
			a.elapses = time.Duration(1+r.IntN(60)) * time.Second
		}
		acts = append(acts, a)
	}
	return acts
}

func (w *world) open() {
	g, err := New(Options{StatePath: w.path, Now: w.h.now})
	if err != nil {
		w.t.Fatal(err)
	}
	w.h.Guard = g
}

func (w *world) configure() {
	var set []*mail.Connection
	for i, c := range w.conns {
		if !w.gone[i] {
			set = append(set, c)
		}
	}
	w.h.SetConnections(set)
}

// play lets everything happen, and reports how the promise was broken; empty: not at all.
func (w *world) play(acts []act) string {
	for _, a := range acts {
		w.do(a)
		if w.broken != "" {
			break
		}
		w.pass(a.elapses)
	}
	_ = w.h.Close()
	return w.broken
}

// pass lets time pass, and answers each login before its timeout.
func (w *world) pass(d time.Duration) {
	for len(w.pending) > 0 && w.elapsed+d-w.pending[0].began > 30*time.Second {
		w.finish(0, false)
	}
	w.h.sleep(d)
	w.elapsed += d
}

func (w *world) do(a act) {
	i := a.which % len(w.conns)
	c := w.conns[i]
	switch a.kind {
	case probes, begins:
		if !w.gone[i] {
			w.begin(w.h.Guard, i)
		}
		if a.kind == probes {
			w.finish(len(w.pending)-1, false)
		}
	case answers, leaves:
		w.finish(0, a.kind == leaves)
	case turns:
		w.moods[hostNames[a.which%len(hostNames)]] = moods[a.value%len(moods)]
	case rotates:
		w.secrets[i] = fmt.Sprint("s", a.value%3)
	case reloads:
		w.conns[i] = changed(c, a.value)
		w.configure()
	case removes:
		w.gone[i] = !w.gone[i]
		w.configure()
	case ends, isKilled, setsClock:
		w.restart(a)
	case runByHand:
		w.byHand(i)
	}
}

// changed is a connection after a reload.
func changed(c *mail.Connection, value int) *mail.Connection {
	other := *c
	switch value % 5 {
	case 0:
		other.Name += "x"
	case 1:
		other.Port = 1000 + value
	case 2:
		other.Protocol = mail.Protocols()[value/5%3]
	case 3:
		other.Auth = []mail.AuthMethod{mail.AuthAuto, mail.AuthPlain, mail.AuthCRAMMD5}[value/5%3]
	default:
		other.Host = hostNames[value/5%3]
	}
	return &other
}

// begin sends a login, if it may be.
func (w *world) begin(g *Guard, i int) {
	c, secret := w.conns[i], w.secrets[i]
	p := g.Enter(impatient{w.t.Context()}, c, mail.NewSecret(secret))
	if !p.Allowed || !p.Login(impatient{w.t.Context()}) {
		p.Done(AuthVerdict{})
		return
	}
	w.sent++
	f := pendingLogin{permit: p, conn: c, began: w.elapsed, since: -1,
		way: way{c.Realm + "/" + strings.ToLower(c.Username), c.Host, string(c.Protocol), string(c.Auth), secret}}
	for other, k := range w.ways {
		if other.account == f.way.account && other.secret == f.way.secret {
			f.since = max(f.since, k.accepted)
		}
	}
	if k := w.ways[f.way]; k != nil {
		f.known = k.accepted >= 0 && !k.refused && k.doubts < 2 && w.elapsed-k.accepted < knownGoodFor
	}
	w.pending = append(w.pending, f)
}

// finish answers a login under way, or cancels its probe (off).
func (w *world) finish(i int, off bool) {
	if i < 0 || i >= len(w.pending) {
		return
	}
	f := w.pending[i]
	w.pending = slices.Delete(w.pending, i, i+1)
	v := w.answer(f)
	w.count(f, v, off)
	if off {
		v = AuthVerdict{Tried: true}
	}
	if f.permit != nil {
		f.permit.Done(v)
	}
}

func (w *world) answer(f pendingLogin) AuthVerdict {
	v := w.moods[f.way.host]
	if v == right && f.way.secret != "s0" {
		v = wrong
	}
	v.Address = ""
	return v
}

// count records what the server counts for an answer, and checks the promise.
func (w *world) count(f pendingLogin, v AuthVerdict, off bool) {
	k := w.ways[f.way]
	if k == nil {
		k = &known{accepted: -1}
		w.ways[f.way] = k
	}
	switch resultOf(v) {
	case accepted:
		if off {
			return // the server begins anew; mailprobe does not know
		}
		*k = known{accepted: f.began}
		w.log = slices.DeleteFunc(w.log, func(c counted) bool { return c.byOwnAct && c.way == f.way })
		return
	case temporary:
		return
	}
	entry := counted{at: w.elapsed, way: f.way, byOwnAct: off, turned: f.known,
		unbounded: f.known && !off && (resultOf(v) == silent || resultOf(v) == tooSoon)}
	switch {
	case v.Reason == mail.NotAuthorized:
		entry.mailbox = f.conn
	case resultOf(v) == refused:
		k.refused = true
	case !entry.unbounded && !off: // what mailprobe does is no verdict of the server
		k.doubts++
	}
	w.log = append(w.log, entry)
	w.check(f, entry)
}

// check reports a broken promise if a login that was not accepted was one too many. There
// are three exceptions. Silence after a secret that works is no refusal (unbounded). A
// login that works is bounded only by the refusals since its secret was last accepted. And
// the account may get one refusal more for each way to log in that worked and turns wrong,
// except the first one: no login can know in advance that it will be refused. A connection
// whose mailbox takes the OK of the login back counts as such a way.
func (w *world) check(f pendingLogin, last counted) {
	if last.unbounded {
		return
	}
	own := tally{now: last.at}
	all := tally{now: last.at}
	type one struct {
		way     way
		mailbox *mail.Connection
	}
	turned := map[one]bool{}
	for _, c := range w.log {
		if c.way.account != last.way.account || c.unbounded {
			continue
		}
		all.add(c.at)
		if c.turned && last.at-c.at < 24*time.Hour {
			turned[one{c.way, c.mailbox}] = true
		}
		switch {
		case f.known && c.at < f.since:
		case !f.known && c.turned && c.at >= f.began && c != last:
		default:
			own.add(c.at)
		}
	}
	if own.exceeds(0) || all.exceeds(max(0, len(turned)-1)) {
		w.broken = fmt.Sprintf("at %v: %+v of %+v, of which %d ways that worked, at %+v, known %v since %v",
			w.elapsed, own, all, len(turned), last.way, f.known, f.since)
	}
}

// tally is how many logins were not accepted lately.
type tally struct {
	now           time.Duration
	halfHour, day int
}

func (y *tally) add(at time.Duration) {
	if y.now-at < 30*time.Minute {
		y.halfHour++
	}
	if y.now-at < 24*time.Hour {
		y.day++
	}
}

func (y *tally) exceeds(more int) bool {
	return y.halfHour > attemptsPerHalfHour+more || y.day > attemptsPerDay+more
}

// restart ends mailprobe and starts it again on what is on the disk.
func (w *world) restart(a act) {
	if w.path == "" {
		return
	}
	if a.kind == ends {
		for len(w.pending) > 0 {
			w.finish(0, true)
		}
	} else {
		w.h.written() // see TestGuardKilledAtOnce
		for len(w.pending) > 0 {
			w.pending[0].permit = nil
			w.finish(0, true)
		}
	}
	old := w.h.Guard
	if a.kind != ends {
		copied := filepath.Join(w.t.TempDir(), "state")
		for _, suffix := range []string{"", ".key", ".journal"} {
			if err := copyFile(w.path+suffix, copied+suffix); err != nil {
				w.t.Fatal(err)
			}
		}
		w.path = copied
	}
	if err := old.Close(); err != nil {
		w.t.Fatal(err)
	}
	if a.kind == setsClock {
		switch jump := time.Duration(a.value-500) * 3 * time.Minute; {
		case jump < 0:
			w.h.sleep(jump)
		default:
			w.pass(jump)
		}
	}
	w.open()
	w.configure()
}

// byHand probes in another process.
func (w *world) byHand(i int) {
	if w.path == "" || w.gone[i] {
		return
	}
	w.h.written()
	g, err := Open(Options{StatePath: w.path, Now: w.h.now})
	if err != nil {
		w.t.Fatal(err)
	}
	before := len(w.pending)
	w.begin(g, i)
	if len(w.pending) > before {
		w.finish(before, false)
	}
	if err := g.Close(); err != nil {
		w.t.Fatal(err)
	}
	w.h.written()
}

var (
	sequences     = flag.Uint64("sequences", 12, "how many random sequences TestGuardInterleaved plays")
	firstSequence = flag.Uint64("first-sequence", 0, "the seed of the first one")
)

// TestGuardInterleaved simulates many random histories.
func TestGuardInterleaved(t *testing.T) {
	t.Parallel()
	sent := 0
	for seed := *firstSequence; seed < *firstSequence+*sequences; seed++ {
		acts := sequence(seed, 120)
		w := newWorld(t, seed)
		broken := w.play(acts)
		sent += w.sent
		if broken == "" {
			continue
		}
		acts = shorten(acts, func(acts []act) bool { return newWorld(t, seed).play(acts) != "" })
		w = newWorld(t, seed)
		t.Fatalf("seed %d: %s\nafter %v\n%+v", seed, w.play(acts), acts, w.log)
	}
	t.Logf("%d logins in %d sequences", sent, *sequences)
}

// shorten removes acts from a sequence as long as it still breaks the promise.
func shorten(acts []act, breaks func([]act) bool) []act {
	for size := len(acts) / 2; size > 0; size /= 2 {
		for from := 0; from+size <= len(acts); {
			if fewer := slices.Delete(slices.Clone(acts), from, from+size); breaks(fewer) {
				acts = fewer
			} else {
				from += size
			}
		}
	}
	return acts
}
