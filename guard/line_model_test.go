package guard

// This file compares the line and the budget with models that are slow and simple, and
// measures the cost of an account that many connections share.

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"mailprobe/mail"
)

// plainLine is a line that looks at all places each time.
type plainLine []place

func (l *plainLine) ahead(mine place, now time.Time) (n int) {
	*l = slices.DeleteFunc(*l, func(p place) bool { return now.After(p.until) || p.since.After(now) })
	for _, other := range *l {
		if other.cause != mine.cause && other.before(&mine) {
			n++
		}
	}
	return n
}

func (l *plainLine) leave(cause keyedHash) {
	*l = slices.DeleteFunc(*l, func(p place) bool { return p.cause == cause })
}

// Connections ask, are tried and stay away in a random order. Some places have equal times
// and ranks, and the clock is set back at times.
func TestLineCountsAsOneThatLooksAtAllPlaces(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	a, model, longest := &account{}, plainLine{}, 0
	for step := range 20_000 {
		mine := place{cause: keyedHash{byte(random.IntN(100))}, rank: rank(random.IntN(4)), since: now,
			until: now.Add(time.Duration(20+random.IntN(90)) * time.Minute)}
		if random.IntN(2) == 0 {
			mine.refused = now.Add(-time.Duration(random.IntN(3)) * time.Hour)
		}
		if before := a.line.find(mine.cause); before != nil {
			mine.since = before.since
			if random.IntN(3) > 0 {
				mine.rank, mine.refused = before.rank, before.refused
			}
		}
		if got, want := a.line.ahead(mine, now), model.ahead(mine, now); got != want {
			t.Fatalf("step %d: %d connections come first, want %d", step, got, want)
		}
		model.leave(mine.cause)
		if random.IntN(4) == 0 {
			a.line.leave(mine.cause)
		} else {
			a.join(mine)
			model = append(model, mine)
		}
		if a.line != nil && (len(a.line.places) != len(model) || len(a.line.order) != len(model) || len(a.line.expiries) != len(model)) {
			t.Fatalf("step %d: %d places, %d in order, %d that expire, want %d", step, len(a.line.places), len(a.line.order), len(a.line.expiries), len(model))
		}
		longest = max(longest, len(model))
		now = now.Add(time.Duration(random.IntN(3)) * time.Minute)
		if random.IntN(300) == 0 {
			now = now.Add(-time.Duration(random.IntN(40)) * time.Minute)
		}
	}
	if longest < 20 {
		t.Errorf("at most %d connections waited, too few to compare", longest)
	}
}

// roomOneByOne is roomAt with each attempt of the others in turn.
func roomOneByOne(times []time.Time, b budget, ahead int, now time.Time) time.Time {
	times, at := slices.Clone(times), now
	for ; ; ahead-- {
		n := len(times)
		if n >= b.perHalfHour {
			at = laterOf(at, times[n-b.perHalfHour].Add(halfHour))
		}
		if n >= b.perDay {
			at = laterOf(at, times[n-b.perDay].Add(fullDay))
		}
		if ahead <= 0 {
			return at
		}
		times = append(times, at)
	}
}

func TestRoomBehindManyIsThatOfEachInTurn(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	for range 3000 {
		var u spent
		for range random.IntN(8) {
			u.times = append(u.times, now.Add(time.Duration(random.IntN(30*60)-28*60)*time.Minute))
		}
		slices.SortFunc(u.times, time.Time.Compare)
		for _, b := range []budget{wholeBudget, {othersPerHalfHour, othersPerDay}} {
			for _, ahead := range []int{0, random.IntN(12), random.IntN(500)} {
				if got, want := u.roomAt(b, ahead, now), roomOneByOne(u.times, b, ahead, now); !got.Equal(want) {
					t.Fatalf("budget %v after %v, %d come first: room at %v, want %v", b, u.times, ahead, got, want)
				}
			}
		}
	}
}

// BenchmarkManyShareOneWrongPassword measures one Enter of a connection whose account has
// no budget left, while many others wait for the budget.
func BenchmarkManyShareOneWrongPassword(b *testing.B) {
	for _, n := range []int{100, 1000, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			at := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
			g, err := New(Options{Now: func() time.Time { return at }})
			if err != nil {
				b.Fatal(err)
			}
			var conns []*mail.Connection
			for i := range n {
				conns = append(conns, user(fmt.Sprint("box-", i), fmt.Sprintf("mail-%d.example.org", i%50), "ann@example.org"))
			}
			g.SetConnections(conns)
			ask := func(c *mail.Connection) {
				at = at.Add(time.Millisecond)
				p := g.Enter(b.Context(), c, mail.NewSecret("p"))
				verdict := AuthVerdict{}
				if p.Allowed && p.Login(b.Context()) {
					verdict = wrong
				}
				p.Done(verdict)
			}
			for _, c := range conns { // all wait now
				ask(c)
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				ask(conns[i%n])
			}
		})
	}
}
