package history

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"mailprobe/internal/outcometest"
	"mailprobe/mail"
)

func TestHistoryReturnsWhatItObserved(t *testing.T) {
	c := outcometest.Inbox("inbox")
	h := &History{}
	h.SetConnections([]*mail.Connection{c})
	if m, _ := h.Get("inbox"); m.State() != StateUnknown || m.LastSuccess != nil || m.LastFailure != nil {
		t.Errorf("never probed: state %q, good %v, bad %v", m.State(), m.LastSuccess, m.LastFailure)
	}
	up, down := outcometest.Good(c, outcometest.Noon), outcometest.Refused(c, outcometest.Noon.Add(time.Minute))
	h.Observe(up)
	h.Observe(down)
	m, ok := h.Get("inbox")
	if !ok {
		t.Fatal("the connection is unknown")
	}
	secrets := cmpopts.IgnoreTypes(mail.SecretSource{})
	if diff := cmp.Diff(&up, m.LastSuccess, secrets); diff != "" {
		t.Errorf("the good probe changed (-in +out):\n%s", diff)
	}
	if diff := cmp.Diff(&down, m.LastFailure, secrets); diff != "" {
		t.Errorf("the failed probe changed (-in +out):\n%s", diff)
	}
	if m.Last.Up() || !m.Since.Equal(down.End) {
		t.Errorf("last is up: %t, since %v; want down since %v", m.Last.Up(), m.Since, down.End)
	}
	if len(m.Failures) != 1 || m.Failures[0].Count != 1 || m.Failures[0].Text != down.Failure.Text {
		t.Errorf("failures are %v, want the text %q", m.Failures, down.Failure.Text)
	}
}

// While logins are withheld, the dialogue of the refused one is kept.
func TestHistoryKeepsTheRefusalBehindAHold(t *testing.T) {
	c := outcometest.Inbox("inbox")
	h := &History{}
	h.SetConnections([]*mail.Connection{c})
	h.Observe(outcometest.Refused(c, outcometest.Noon))
	held := outcometest.Failed(c, outcometest.Noon.Add(time.Minute), mail.PhaseAuth, mail.AuthRejected, "login withheld")
	held.Auth = mail.AuthFacts{Held: true, NextAttempt: outcometest.Noon.Add(time.Hour)}
	h.Observe(held)
	m, _ := h.Get("inbox")
	if !m.Last.Auth.Held || !m.LastFailure.Auth.Rejected || len(m.LastFailure.Transcript) == 0 || len(m.Failures) != 1 || m.Failures[0].Count != 2 {
		t.Errorf("last is held: %t; the failed one is the refusal: %t, with %d lines; %d failures",
			m.Last.Auth.Held, m.LastFailure.Auth.Rejected, len(m.LastFailure.Transcript), len(m.Failures))
	}
	down := outcometest.Failed(c, outcometest.Noon.Add(2*time.Minute), mail.PhaseConnect, mail.ConnectRefused, "refused")
	down.Auth.Held = true
	h.Observe(down)
	if m, _ := h.Get("inbox"); m.LastFailure.Failure.Reason != mail.ConnectRefused || m.Last.Failure.Reason != mail.ConnectRefused {
		t.Errorf("a failure before the login is not shown: %+v", m.LastFailure.Failure)
	}
}

func TestHistoryIsBounded(t *testing.T) {
	c := outcometest.Inbox("inbox")
	h := &History{}
	h.SetConnections([]*mail.Connection{c})
	for i := range 200 {
		o := outcometest.Good(c, outcometest.Noon.Add(time.Duration(i)*time.Minute))
		if i%2 == 1 {
			o = outcometest.Failed(c, o.End, mail.PhaseConnect, mail.Reasons()[i/2%25], fmt.Sprint("refused ", i))
		}
		h.Observe(o)
	}
	m, _ := h.Get("inbox")
	if len(m.Samples) != MaxSamples || len(m.Failures) != maxFailures || len(m.Changes) != maxChanges {
		t.Errorf("kept %d outcomes, %d failures, %d changes; want %d, %d, %d",
			len(m.Samples), len(m.Failures), len(m.Changes), MaxSamples, maxFailures, maxChanges)
	}
	last := m.Failures[len(m.Failures)-1]
	if last.Text != "refused 199" || last.Reason != mail.Reasons()[24] || last.Phase != mail.PhaseConnect || !last.At.Equal(outcometest.Noon.Add(199*time.Minute)) {
		t.Errorf("the last failure is %+v", last)
	}
	if first := m.Samples[0]; !first.Up() || !first.At.Equal(outcometest.Noon.Add(150*time.Minute)) || first.Duration != 83*time.Millisecond {
		t.Errorf("the oldest outcome is %+v", first)
	}
}

// Equal failures are one item with the first, the last and their number, whatever
// comes between them.
func TestHistoryFoldsEqualFailures(t *testing.T) {
	c := outcometest.Inbox("inbox")
	h := &History{}
	h.SetConnections([]*mail.Connection{c})
	at := func(minute int) time.Time { return outcometest.Noon.Add(time.Duration(minute) * time.Minute) }
	for minute := range 30 {
		h.Observe(outcometest.Failed(c, at(minute), mail.PhaseConnect, mail.ConnectRefused, fmt.Sprint("try ", minute)))
	}
	h.Observe(outcometest.Failed(c, at(30), mail.PhaseTLS, mail.CertExpired, "it ended"))
	h.Observe(outcometest.Good(c, at(31)))
	h.Observe(outcometest.Failed(c, at(32), mail.PhaseConnect, mail.ConnectRefused, "try 32"))
	m, _ := h.Get("inbox")
	want := []Failure{
		{Sample{at(30), 2 * time.Second, mail.PhaseTLS, mail.CertExpired}, "it ended", at(30), 1},
		{Sample{at(32), 2 * time.Second, mail.PhaseConnect, mail.ConnectRefused}, "try 32", at(0), 31},
	}
	if diff := cmp.Diff(want, m.Failures); diff != "" {
		t.Errorf("failures (-want +got):\n%s", diff)
	}
}

func TestHistoryOverReload(t *testing.T) {
	h := &History{}
	stays, goes := outcometest.Inbox("stays"), outcometest.Inbox("goes")
	h.SetConnections([]*mail.Connection{stays, goes})
	h.Observe(outcometest.Good(stays, outcometest.Noon))
	h.Observe(outcometest.Good(goes, outcometest.Noon))
	again, comes := outcometest.Inbox("stays"), outcometest.Inbox("comes")
	h.SetConnections([]*mail.Connection{comes, again})
	h.Observe(outcometest.Good(goes, outcometest.Noon)) // its probe was still under way
	if _, ok := h.Get("goes"); ok {
		t.Error("a removed connection is remembered")
	}
	if m, _ := h.Get("comes"); m.State() != StateUnknown {
		t.Errorf("a new connection is %q", m.State())
	}
	m, _ := h.Get("stays")
	if m.State() != StateUp || m.Connection != again || m.LastSuccess.Connection != again {
		t.Errorf("the one that stays is %q, with the new definition: %t", m.State(), m.Connection == again)
	}
	names := []string{}
	for c := range h.Connections() {
		names = append(names, c.Name)
	}
	if !slices.Equal(names, []string{"comes", "stays"}) {
		t.Errorf("connections are %v", names)
	}
}

// After a change of the server, the answers of the old one are dropped.
func TestHistoryBeginsAnewWithAnotherTarget(t *testing.T) {
	h := &History{}
	before := outcometest.Inbox("inbox")
	h.SetConnections([]*mail.Connection{before})
	h.Observe(outcometest.Good(before, outcometest.Noon))
	after := outcometest.Inbox("inbox")
	after.Host = "new.example.org"
	h.SetConnections([]*mail.Connection{after})
	h.Observe(outcometest.Good(before, outcometest.Noon)) // its probe was still under way
	if m, _ := h.Get("inbox"); m.State() != StateUnknown || m.Connection != after {
		t.Errorf("a connection to another host is %q before its first probe", m.State())
	}
	slower := outcometest.Inbox("inbox")
	slower.Host, slower.Interval = after.Host, time.Hour
	h.Observe(outcometest.Good(after, outcometest.Noon))
	h.SetConnections([]*mail.Connection{slower})
	if m, _ := h.Get("inbox"); m.State() != StateUp {
		t.Errorf("another interval made it %q", m.State())
	}
}

func TestHistoryUnknownReasonIsNoSuccess(t *testing.T) {
	c := outcometest.Inbox("inbox")
	h := &History{}
	h.SetConnections([]*mail.Connection{c})
	h.Observe(outcometest.Failed(c, outcometest.Noon, mail.PhaseAuth, "a_word_from_the_future", ""))
	if m, _ := h.Get("inbox"); m.Samples[0].Up() || m.State() != StateDown {
		t.Errorf("outcome %+v, state %q; want down", m.Samples[0], m.State())
	}
}

// With ten thousand connections the history must stay below 80 MiB: each has 50
// outcomes, 20 failures with different reasons and texts, and two whole dialogues.
func TestHistoryFitsMemory(t *testing.T) {
	const connections, most = 1000, 8 << 10
	h := &History{}
	list := make([]*mail.Connection, connections)
	for i := range list {
		list[i] = outcometest.Inbox(fmt.Sprint("inbox-", i))
		list[i].Host = fmt.Sprintf("mx%d.example.org", i%20)
	}
	h.SetConnections(list)
	before := heap()
	for i := range 40 {
		end := outcometest.Noon.Add(time.Duration(i) * time.Minute)
		for _, c := range list {
			h.Observe(outcometest.Good(c, end))
			o := outcometest.Refused(c, end)
			o.Failure.Reason = mail.Reasons()[i%maxFailures]
			o.Failure.Text = strings.Clone(fmt.Sprint(o.Failure.Text, " in session ", c.Name, i))
			h.Observe(o)
		}
	}
	each := (heap() - before) / connections
	t.Logf("%d bytes for each connection", each)
	if each > most {
		t.Errorf("a connection takes %d bytes, want at most %d", each, most)
	}
	runtime.KeepAlive(h)
}

func heap() uint64 {
	runtime.GC()
	runtime.GC() // the second frees what weak pointers held
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func TestHistoryUnderConcurrentUse(t *testing.T) {
	h := &History{}
	list := []*mail.Connection{outcometest.Inbox("a"), outcometest.Inbox("b")}
	h.SetConnections(list)
	var users sync.WaitGroup
	for range 4 {
		users.Go(func() {
			for i := range 100 {
				h.Observe(outcometest.Good(list[i%2], outcometest.Noon))
				h.Observe(outcometest.Refused(list[i%2], outcometest.Noon))
			}
		})
		users.Go(func() {
			for range 20 {
				h.SetConnections(list)
				for range h.Summaries("") {
				}
				h.Get("a")
			}
		})
	}
	users.Wait()
	for _, c := range list {
		m, ok := h.Get(c.Name)
		if !ok || len(m.Samples) != 50 || len(m.Failures) != 1 || m.Failures[0].Count != 200 || m.LastSuccess == nil || m.LastFailure == nil {
			t.Errorf("%s: %d samples, %d failures, last good %v, last bad %v after 400 outcomes",
				c.Name, len(m.Samples), len(m.Failures), m.LastSuccess, m.LastFailure)
		}
	}
}
