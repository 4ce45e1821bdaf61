package metrics

import (
	"testing"
	"time"

	"mailprobe/mail"
)

// The expected text of a scrape after each story is in testdata.
func TestCollectorTellsStories(t *testing.T) {
	stories := []struct {
		name  string
		setup func(*mail.Connection)
		tell  func(*Collector, *mail.Connection)
	}{
		{name: "never_probed", tell: func(*Collector, *mail.Connection) {}},
		{name: "up_over_tls", tell: func(m *Collector, c *mail.Connection) { m.Observe(good(c)) }},
		{name: "login_refused_after_success", tell: func(m *Collector, c *mail.Connection) {
			m.Observe(good(c))
			m.Observe(later(refused(c), time.Minute))
		}},
		{name: "login_held", tell: func(m *Collector, c *mail.Connection) {
			m.Observe(refused(c))
			o := refused(c)
			o.Auth = mail.AuthFacts{Held: true, NextAttempt: noon.Add(time.Hour)}
			m.Observe(later(o, time.Minute))
			o.Phases, o.TLS, o.Port = nil, nil, 0 // no server was contacted
			m.Observe(later(o, 2*time.Minute))
		}},
		{name: "login_held_for_others", tell: func(m *Collector, c *mail.Connection) {
			o := refused(c)
			o.Failure.Reason = mail.AuthHeld
			o.Auth = mail.AuthFacts{Held: true, HeldForOthers: true, NextAttempt: noon.Add(time.Hour)}
			m.Observe(o)
		}},
		{name: "certificate_expired", tell: func(m *Collector, c *mail.Connection) {
			o := good(c)
			o.Phases = o.Phases[:3]
			o.Failure = &mail.Failure{Phase: mail.PhaseTLS, Reason: mail.CertExpired}
			o.TLS = &mail.TLSFacts{NotAfter: noon.AddDate(0, 0, -3), FingerprintSHA256: fingerprint}
			o.Auth, o.Mailbox = mail.AuthFacts{}, mail.MailboxFacts{}
			m.Observe(o)
		}},
		{name: "name_not_found", tell: func(m *Collector, c *mail.Connection) {
			m.Observe(mail.Outcome{Connection: c, Start: noon, End: noon.Add(time.Second),
				Phases:  []mail.PhaseTime{{Phase: mail.PhaseResolve, Duration: time.Second}},
				Failure: &mail.Failure{Phase: mail.PhaseResolve, Reason: mail.DNSNotFound}})
		}},
		{name: "server_wants_fewer_probes", tell: func(m *Collector, c *mail.Connection) {
			o := refused(c)
			o.Failure.Reason = mail.ServerLimit
			o.Interval = 4 * time.Minute
			m.Observe(o)
		}},
		{name: "no_tls_no_login_bad_goodbye",
			setup: func(c *mail.Connection) {
				c.Protocol, c.Encryption, c.Username = mail.SMTP, mail.NoEncryption, ""
			},
			tell: func(m *Collector, c *mail.Connection) {
				o := good(c)
				o.Phases = append(o.Phases[:2:2], o.Phases[3:5]...)
				o.TLS, o.Auth, o.Mailbox = nil, mail.AuthFacts{}, mail.MailboxFacts{}
				o.Goodbye = mail.Closed
				m.Observe(o)
			}},
		{name: "time_up_during_login", tell: func(m *Collector, c *mail.Connection) {
			o := refused(c)
			o.Failure.Reason = mail.Timeout
			o.Auth = mail.AuthFacts{Mechanism: mail.AuthPlain, Sent: true}
			m.Observe(o)
		}},
		{name: "shared_mailbox_with_labels",
			setup: func(c *mail.Connection) {
				c.SharedMailbox, c.SharedMailboxAccess = "helpdesk", mail.SharedLoginName
				c.Labels = []mail.Label{{Name: "area", Value: `a "quoted" \ place`}, {Name: "team", Value: "support"}}
			},
			tell: func(m *Collector, c *mail.Connection) { m.Observe(good(c)) }},
	}
	for _, story := range stories {
		t.Run(story.name, func(t *testing.T) {
			c := inbox("support-inbox")
			if story.setup != nil {
				story.setup(c)
			}
			m := collectorOf(mail.HistogramsBoth, c)
			story.tell(m, c)
			golden(t, m, story.name)
		})
	}
}

func TestOneShowsGaugesOfOneOutcome(t *testing.T) {
	golden(t, One(good(inbox("support-inbox"))), "one_up")
	golden(t, One(refused(inbox("support-inbox"))), "one_refused")
	if found := gather(t, One(mail.Outcome{})); len(found) != 0 {
		t.Errorf("an outcome without connection gave %d families, want none", len(found))
	}
	for _, family := range gather(t, One(good(inbox("a")))) {
		if family.GetType() != gauge {
			t.Errorf("%s is a %s: only gauges are right for a single probe", family.GetName(), family.GetType())
		}
	}
}

// A withheld probe contacts no server, so /probe keeps what the last probe learned about
// it, as /metrics does.
func TestOneOfAWithheldProbeKeepsWhatIsKnownOfTheServer(t *testing.T) {
	c := inbox("a")
	m := collectorOf(mail.HistogramsBoth, c)
	m.Observe(refused(c))
	held := later(refused(c), time.Minute)
	held.Auth = mail.AuthFacts{Held: true, NextAttempt: noon.Add(time.Hour)}
	held.Phases, held.TLS, held.Port = nil, nil, 0
	m.Observe(held)
	for _, name := range keptFamilies {
		if name := families[name].name; name != "" {
			if _, ok := value(t, m.One(held), name); !ok {
				t.Errorf("%s is gone", name)
			}
		}
	}
	if _, ok := value(t, One(held), "mailprobe_effective_port"); ok {
		t.Error("without a collector a port is known that this probe did not dial")
	}
	if got, _ := value(t, m.One(held), "mailprobe_up"); got != 0 {
		t.Errorf("up is %v", got)
	}
}

func TestReload(t *testing.T) {
	host := func(c *mail.Connection) *mail.Connection { c.Host = "other.example.org"; return c }
	pop := func(c *mail.Connection) *mail.Connection { c.Protocol = mail.POP3; return c }
	slow := func(c *mail.Connection) *mail.Connection { c.Interval = time.Hour; return c }
	stories := []struct {
		name                 string
		next                 []*mail.Connection
		probes, up, attempts float64 // -1: the series is absent
		team                 string
	}{
		{name: "an unchanged connection keeps everything", next: []*mail.Connection{inbox("a")}, probes: 2, up: 1, attempts: 2},
		{name: "another interval keeps everything", next: []*mail.Connection{slow(inbox("a"))}, probes: 2, up: 1, attempts: 2},
		{name: "another label is on every metric", next: []*mail.Connection{inbox("a", mail.Label{Name: "team", Value: "x"})}, probes: 2, up: 1, attempts: 2, team: "x"},
		{name: "another host keeps counters only", next: []*mail.Connection{host(inbox("a"))}, probes: 2, up: -1, attempts: 2},
		{name: "another protocol starts anew", next: []*mail.Connection{pop(inbox("a"))}, probes: -1, up: -1, attempts: -1},
		{name: "a removed connection vanishes", next: []*mail.Connection{inbox("b")}, probes: -1, up: -1, attempts: -1},
	}
	for _, story := range stories {
		t.Run(story.name, func(t *testing.T) {
			c := inbox("a")
			m := collectorOf(mail.HistogramsBoth, c)
			m.Observe(refused(c))
			m.Observe(later(good(c), time.Minute))
			m.SetConnections(story.next)
			labels := []string{"connection", "a"}
			if story.team != "" {
				labels = append(labels, "team", story.team)
			}
			for name, want := range map[string]float64{
				"mailprobe_probes_total": story.probes, "mailprobe_probe_duration_seconds": story.probes,
				"mailprobe_tls_handshake_duration_seconds": story.probes,
				"mailprobe_up": story.up, "mailprobe_last_success_timestamp_seconds": story.up,
				"mailprobe_auth_attempts_total": story.attempts,
			} {
				got, ok := value(t, m, name, labels...)
				if !ok {
					got = -1
				}
				if name == "mailprobe_last_success_timestamp_seconds" && ok {
					got = 1
				}
				if got != want {
					t.Errorf("%s: %v, want %v (-1: absent)", name, got, want)
				}
			}
			if err := pedantic(m); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestReloadRelabelsEverySeries(t *testing.T) {
	c := inbox("a", mail.Label{Name: "team", Value: "old"})
	m := collectorOf(mail.HistogramsBoth, c)
	m.Observe(refused(c))
	before := seriesOf(t, m)
	m.SetConnections([]*mail.Connection{inbox("a", mail.Label{Name: "area", Value: "x"}, mail.Label{Name: "team", Value: "new"})})
	after := 0
	for _, name := range connectionFamilies() {
		for _, family := range gather(t, m) {
			if family.GetName() != name {
				continue
			}
			for _, metric := range family.Metric {
				after++
				if !hasLabels(metric, []string{"connection", "a", "area", "x", "team", "new"}) {
					t.Errorf("%s{%v} has not the new labels", name, metric.Label)
				}
			}
		}
	}
	if after != before {
		t.Errorf("%d series after the reload, want %d", after, before)
	}
	if got, _ := value(t, m, "mailprobe_probe_failures_total", "reason", "auth_rejected", "team", "new"); got != 1 {
		t.Errorf("failures by reason: %v, want 1", got)
	}
}

func TestOutcomeOfAnEarlierConfigurationIsIgnored(t *testing.T) {
	old, moved := inbox("a"), inbox("a")
	moved.Port = 1993
	m := collectorOf(mail.HistogramsBoth, moved)
	m.Observe(good(old))        // still in flight when the reload moved the port
	m.Observe(good(inbox("b"))) // removed
	m.Observe(mail.Outcome{})   // of nothing at all
	if _, ok := value(t, m, "mailprobe_probes_total"); ok {
		t.Error("an outcome of a connection that is not configured was taken")
	}
	same := inbox("a")
	same.Port, same.Interval = 1993, time.Hour
	m.Observe(good(same)) // reloaded with nothing changed that matters
	if got, _ := value(t, m, "mailprobe_probes_total"); got != 1 {
		t.Errorf("probes: %v, want 1", got)
	}
}

func TestHistogramsOption(t *testing.T) {
	for kind, want := range map[mail.Histograms]struct{ classic, native bool }{
		mail.HistogramsBoth: {true, true}, mail.HistogramsClassic: {true, false}, mail.HistogramsNative: {false, true},
		mail.HistogramsNone: {}, "": {true, true}, "nonsense": {true, true},
	} {
		c := inbox("a")
		m := collectorOf(kind, c)
		m.Observe(good(c))
		found := 0
		for _, family := range gather(t, m) {
			if name := family.GetName(); name != families[probeDuration].name && name != families[handshakeDuration].name {
				continue
			}
			found++
			h := family.Metric[0].Histogram
			if classic, native := len(h.Bucket) > 0, h.Schema != nil && len(h.PositiveSpan) > 0; classic != want.classic || native != want.native {
				t.Errorf("%q: %s: classic %v native %v, want %v", kind, family.GetName(), classic, native, want)
			}
			if h.CreatedTimestamp == nil {
				t.Errorf("%q: %s: no created timestamp", kind, family.GetName())
			}
		}
		if wantFound := map[bool]int{true: 2}[want.classic || want.native]; found != wantFound {
			t.Errorf("%q: %d histograms, want %d", kind, found, wantFound)
		}
	}
}

func TestExporterMetrics(t *testing.T) {
	m := NewCollector(Options{Pool: func() mail.PoolStats { return mail.PoolStats{InFlight: 3, Limit: 4096, Skipped: 7} }})
	if _, ok := value(t, m, "mailprobe_config_last_reload_successful"); ok {
		t.Error("a reload is reported before there was any")
	}
	m.ObserveStartDelay(20 * time.Millisecond)
	m.ObserveStartDelay(-time.Second)
	m.ConfigReloaded(true, noon)
	m.ConfigReloaded(false, noon.Add(time.Hour))
	for name, want := range map[string]float64{
		"mailprobe_pool_in_flight": 3, "mailprobe_pool_limit": 4096, "mailprobe_pool_skipped_total": 7,
		"mailprobe_pool_start_delay_seconds": 2, "mailprobe_config_last_reload_successful": 0,
		"mailprobe_config_last_reload_success_timestamp_seconds": seconds(noon), "mailprobe_build_info": 1,
	} {
		if got, ok := value(t, m, name); !ok || got != want {
			t.Errorf("%s: %v (there: %v), want %v", name, got, ok, want)
		}
	}
	for _, name := range []string{"go_goroutines", "process_open_fds", "go_sched_latencies_seconds"} {
		if _, ok := value(t, m, name); !ok {
			t.Errorf("%s is missing", name)
		}
	}
	for _, name := range []string{"mailprobe_pool_limit", "mailprobe_auth_holds_kept"} {
		if _, ok := value(t, NewCollector(Options{}), name); ok {
			t.Errorf("%s without a pool and a state file", name)
		}
	}
}

func TestHoldsMetrics(t *testing.T) {
	var since time.Time
	m := NewCollector(Options{HoldsUnkept: func() time.Time { return since }})
	const kept, unkept = "mailprobe_auth_holds_kept", "mailprobe_auth_holds_unkept_since_timestamp_seconds"
	if got, _ := value(t, m, kept); got != 1 {
		t.Errorf("%s: %v, want 1", kept, got)
	}
	if _, ok := value(t, m, unkept); ok {
		t.Errorf("%s is there although holds are kept", unkept)
	}
	since = noon
	if got, _ := value(t, m, kept); got != 0 {
		t.Errorf("%s: %v, want 0", kept, got)
	}
	if got, _ := value(t, m, unkept); got != seconds(noon) {
		t.Errorf("%s: %v, want %v", unkept, got, seconds(noon))
	}
}
