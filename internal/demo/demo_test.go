package demo

import (
	"context"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"mailprobe/guard"
	"mailprobe/mail"
	"mailprobe/prober"
	"mailprobe/routes"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func fleet(t *testing.T) *Fleet {
	t.Helper()
	f, err := Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

func TestEachTargetShowsWhatItPromises(t *testing.T) {
	t.Parallel()
	f := fleet(t)
	var probes sync.WaitGroup
	for _, target := range f.Targets() {
		probes.Go(func() {
			connection := *target.Connection
			if target.Want != mail.Timeout {
				connection.Timeout = time.Minute // a loaded machine is no fault of the demo
			}
			o := (&prober.Prober{}).Probe(t.Context(), &connection)
			var phase mail.Phase
			var reason mail.Reason
			if o.Failure != nil {
				phase, reason = o.Failure.Phase, o.Failure.Reason
			}
			if phase != target.Phase || reason != target.Want {
				t.Errorf("%s: got %q at %q (%+v), want %q at %q", target.Connection.Name, reason, phase, o.Failure, target.Want, target.Phase)
			}
			if target.Want == "" && connection.Protocol != mail.SMTP && o.Mailbox.Messages != messages {
				t.Errorf("%s: got %d messages, want %d", target.Connection.Name, o.Mailbox.Messages, messages)
			}
		})
	}
	probes.Wait()
}

// One message of each route ends as its story says, and none is left behind.
func TestEachRouteShowsWhatItPromises(t *testing.T) {
	t.Parallel()
	f := fleet(t)
	journal, err := routes.OpenJournal("")
	if err != nil {
		t.Fatal(err)
	}
	tracker := &routes.Tracker{Transport: prober.NewCourier(new(prober.Prober)), Journal: journal}
	var messages sync.WaitGroup
	for _, target := range f.Routes() {
		messages.Go(func() {
			route := *target.Route
			if target.Want == mail.NotDelivered {
				route.Deadline = 2 * time.Second // nothing comes, however long it waits
			}
			o, known := tracker.Send(t.Context(), &route)
			var reason mail.Reason
			if o.Failure != nil {
				reason = o.Failure.Reason
			}
			if !known || reason != target.Want || o.Left != 0 || o.Deleted != o.Copies || target.Story == "" {
				t.Errorf("%s: got %q (%+v), want %q", target.Route.Name, reason, o, target.Want)
			}
			if target.Want == "" && (o.Authentication[mail.CheckDKIM] != mail.ResultPass || !o.Trusted || len(o.Hops) == 0) {
				t.Errorf("%s: %+v", target.Route.Name, o)
			}
		})
	}
	messages.Wait()
}

func TestEveryProtocolAndEncryptionIsThere(t *testing.T) {
	type pair struct {
		protocol   mail.Protocol
		encryption mail.Encryption
	}
	up, broken := map[pair]bool{}, map[mail.Reason]bool{}
	names := map[string]bool{}
	for _, target := range fleet(t).Targets() {
		c := target.Connection
		if names[c.Name] || target.Story == "" || (target.Want == "") != (target.Phase == "") {
			t.Errorf("%s: named twice, without a story, or half a fault: %+v", c.Name, target)
		}
		names[c.Name] = true
		if target.Want == "" {
			up[pair{c.Protocol, c.Encryption}] = true
		} else {
			broken[target.Want] = true
		}
	}
	if len(up) != 9 || len(broken) < 10 {
		t.Errorf("got %d good pairs, %d reasons; want 9, at least 10", len(up), len(broken))
	}
}

func TestServerCanBeKilledAndComesBack(t *testing.T) {
	f := fleet(t)
	const name = "imap-tls"
	connection := f.Connections()[0]
	if connection.Name != name {
		t.Fatalf("first connection: got %s, want %s", connection.Name, name)
	}
	probe := func() mail.Reason {
		c := *connection
		c.Timeout = time.Minute
		o := (&prober.Prober{}).Probe(t.Context(), &c)
		if o.Failure == nil {
			return ""
		}
		return o.Failure.Reason
	}
	steps := []struct {
		do   func() error
		want mail.Reason
	}{
		{func() error { return nil }, ""},
		{func() error { up, err := f.Toggle(name); checkUp(t, up, false); return err }, mail.ConnectRefused},
		{func() error { return f.Stop(name) }, mail.ConnectRefused},
		{func() error { up, err := f.Toggle(name); checkUp(t, up, true); return err }, ""},
		{func() error { return f.Restart(name) }, ""},
		{func() error { return f.Stop(name) }, mail.ConnectRefused},
	}
	for i, step := range steps {
		if err := step.do(); err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
		if got := probe(); got != step.want {
			t.Errorf("step %d: got %q, want %q", i, got, step.want)
		}
	}
	if _, err := f.Toggle("nobody"); err == nil {
		t.Error("an unknown name was toggled")
	}
}

func checkUp(t *testing.T, got, want bool) {
	t.Helper()
	if got != want {
		t.Errorf("running: got %v, want %v", got, want)
	}
}

func TestFleetEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	f, err := Start(ctx)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	for f.Restart("imap-tls") == nil {
		time.Sleep(time.Millisecond) // the fleet ends in the background, without an event
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
}

// The guard bounds refusals for each host, and all servers of the demo are on one host.
// The one wrong password must not hold the logins of the others.
func TestGuardLeavesTheGoodOnesAlone(t *testing.T) {
	t.Parallel()
	guard, err := guard.New(guard.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer guard.Close()
	p := &prober.Prober{Guard: guard}
	f := fleet(t)
	for range 3 {
		var probes sync.WaitGroup
		for _, target := range f.Targets() {
			if target.Want == mail.Timeout {
				continue // three times its timeout, for a server without a login
			}
			probes.Go(func() {
				connection := *target.Connection
				connection.Timeout = time.Minute
				o := p.Probe(t.Context(), &connection)
				if o.Up() != (target.Want == "") || !o.Up() && o.Failure.Reason != target.Want {
					t.Errorf("%s: got %+v, want %q", target.Connection.Name, o.Failure, target.Want)
				}
			})
		}
		probes.Wait()
	}
}
