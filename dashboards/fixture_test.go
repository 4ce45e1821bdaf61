package dashboards

// This file holds an exporter whose series the demo does not have: routes of
// each kind and a mailbox with a quota, in the text format, with counters that
// grow at each scrape.

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// startFixture serves the fixture on loopback and returns its address.
func startFixture(t *testing.T) string {
	t.Helper()
	var scrapes atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		n := scrapes.Add(1)
		for _, line := range fixtureLines(n, time.Now().Unix()) {
			_, _ = fmt.Fprintln(w, line)
		}
	}))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

// fixtureLines are the samples of the nth scrape.
func fixtureLines(n, now int64) []string {
	lines := []string{
		fmt.Sprintf(`mailprobe_route_last_success_timestamp_seconds{route="works",team="mail"} %d`, now-60),
		`mailprobe_route_folder_info{route="works",team="mail",folder="inbox"} 1`,
		`mailprobe_route_folder_info{route="spam",team="mail",folder="junk"} 1`,
		`mailprobe_route_up{route="works",team="mail"} 1`,
		`mailprobe_route_up{route="spam",team="mail"} 0`,
		`mailprobe_route_up{route="lost",team="mail"} 0`,
		`mailprobe_route_failure_info{route="spam",team="mail",leg="transfer",reason="filed_as_spam"} 1`,
		`mailprobe_route_failure_info{route="lost",team="mail",leg="transfer",reason="lost_after_acceptance"} 1`,
		fmt.Sprintf(`mailprobe_route_failures_total{route="spam",team="mail",reason="late"} %d`, n),
		fmt.Sprintf(`mailprobe_route_failures_total{route="lost",team="mail",reason="lost_after_acceptance"} %d`, n),
	}
	for _, route := range []string{"works", "spam", "lost"} {
		labels := `{route="` + route + `",team="mail"`
		lines = append(lines,
			fmt.Sprintf("mailprobe_route_sent_total%s} %d", labels, n),
			fmt.Sprintf("mailprobe_route_delivered_total%s} %d", labels, n),
			fmt.Sprintf("mailprobe_route_lost_total%s} %d", labels, n),
			"mailprobe_route_in_flight"+labels+"} 1",
			"mailprobe_route_left_behind"+labels+"} 0",
			"mailprobe_route_interval_seconds"+labels+"} 300",
			"mailprobe_route_deadline_seconds"+labels+"} 600",
			"mailprobe_route_hops"+labels+"} 3",
			"mailprobe_route_leg_duration_seconds"+labels+`,leg="submit"} 0.2`,
			"mailprobe_route_leg_duration_seconds"+labels+`,leg="transfer"} 1.1`,
			"mailprobe_route_leg_duration_seconds"+labels+`,leg="total"} 1.3`)
	}
	return append(lines, watchedLines(n, now)...)
}

// watchedLines are those of a mailbox from which no mail is fetched.
func watchedLines(n, now int64) []string {
	const labels = `{connection="watched",protocol="imap",team="mail"`
	lines := []string{"mailprobe_connection_info" + labels +
		`,host="mail.example.org",encryption="tls",auth="plain",shared_mailbox_access="none",ip_protocol="any"} 1`}
	for name, value := range map[string]int64{
		"mailprobe_up": 1, "mailprobe_interval_seconds": 60, "mailprobe_timeout_seconds": 30, "mailprobe_effective_port": 993,
		"mailprobe_last_probe_timestamp_seconds": now, "mailprobe_last_success_timestamp_seconds": now,
		"mailprobe_mailbox_messages": 40, "mailprobe_mailbox_unread_messages": 12, "mailprobe_mailbox_waiting_messages": 12,
		"mailprobe_mailbox_oldest_waiting_timestamp_seconds": now - 11400, "mailprobe_mailbox_newest_message_timestamp_seconds": now - 120,
		"mailprobe_mailbox_size_bytes": 800_000, "mailprobe_mailbox_quota_used_bytes": 950_000, "mailprobe_mailbox_quota_limit_bytes": 1_000_000,
		"mailprobe_mailbox_watch_max_age_seconds": 900, "mailprobe_mailbox_arrivals_total": n,
	} {
		lines = append(lines, fmt.Sprintf("%s%s} %d", name, labels, value))
	}
	return lines
}
