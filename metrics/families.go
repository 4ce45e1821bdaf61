// Package metrics turns outcomes into Prometheus metrics. It is the only package
// that knows their names.
//
// Collector holds the state of all connections and is a prometheus.Gatherer;
// One shows a single outcome, for /probe; Handler serves either.
package metrics

// This file is the only one that holds names, types, labels and help texts.

import (
	"slices"
	"strings"

	dto "github.com/prometheus/client_model/go"
)

// familyID is the index of a metric in families.
type familyID uint8

const (
	up familyID = iota
	authSuccess
	mailboxSuccess
	effectivePort
	phaseDuration
	lastProbeDuration
	probeDuration
	handshakeDuration
	failureInfo
	probesTotal
	probesWithheld
	probeFailures
	quitFailures
	lastProbe
	lastSuccess
	tlsInfo
	certificateVerified
	certificateNotAfter
	certificateNotBefore
	certificateInfo
	mailboxMessages
	mailboxUnread
	mailboxWaiting
	mailboxOldestWaiting
	mailboxNewest
	mailboxSize
	mailboxQuotaUsed
	mailboxQuotaLimit
	mailboxArrivals
	watchMaxAge
	watchExpectEvery
	authHeld
	authNextAttempt
	authAttempts
	authRejections
	interval
	timeout
	connectionInfo
	poolInFlight
	poolLimit
	poolStartDelay
	poolSkipped
	reloadSuccessful
	reloadSuccess
	holdsKept
	holdsUnkeptSince
	buildInfo
	familyCount
)

// family describes one metric. labels are its labels beside those that every
// metric of a connection has.
type family struct {
	name   string
	kind   dto.MetricType
	global bool // about the exporter itself, without the labels of a connection
	labels []string
	help   string
}

const (
	gauge     = dto.MetricType_GAUGE
	counter   = dto.MetricType_COUNTER
	histogram = dto.MetricType_HISTOGRAM
)

// families is the table of all metrics, in the order of the documentation. Read
// only.
var families = [familyCount]family{
	up: {name: "mailprobe_up", kind: gauge,
		help: "Whether the last probe reached the end of its plan (1) or not (0)."},
	authSuccess: {name: "mailprobe_auth_success", kind: gauge,
		help: "Whether the last probe's login was accepted (1) or not (0: refused, broken off before a verdict, or withheld because it was refused before); absent if none was tried."},
	mailboxSuccess: {name: "mailprobe_mailbox_success", kind: gauge,
		help: "Whether the last probe opened the mailbox or had its sender accepted (1) or not (0); absent if it did not try."},
	effectivePort: {name: "mailprobe_effective_port", kind: gauge,
		help: "TCP port dialled by the last probe; absent if it did not get that far."},
	phaseDuration: {name: "mailprobe_phase_duration_seconds", kind: gauge, labels: []string{"phase"},
		help: "Time the last probe spent in each phase it entered, in seconds."},
	lastProbeDuration: {name: "mailprobe_last_probe_duration_seconds", kind: gauge,
		help: "Duration of the whole last probe, in seconds."},
	probeDuration: {name: "mailprobe_probe_duration_seconds", kind: histogram,
		help: "Duration of whole probes, successful or failed, in seconds; without those that ended before their first phase."},
	handshakeDuration: {name: "mailprobe_tls_handshake_duration_seconds", kind: histogram,
		help: "Duration of completed TLS handshakes, implicit TLS and STARTTLS, in seconds."},
	failureInfo: {name: "mailprobe_failure_info", kind: gauge, labels: []string{"phase", "reason"},
		help: "Constant 1 while the last probe failed: the phase it failed in and why."},
	probesTotal: {name: "mailprobe_probes_total", kind: counter,
		help: "Probes made; without the withheld ones."},
	probesWithheld: {name: "mailprobe_probes_withheld_total", kind: counter,
		help: "Probes that contacted no server, because the login was withheld: they are neither probes made nor failures; appears once it has occurred."},
	probeFailures: {name: "mailprobe_probe_failures_total", kind: counter, labels: []string{"reason"},
		help: "Failed probes, by reason; a reason appears once it has occurred."},
	quitFailures: {name: "mailprobe_quit_failures_total", kind: counter, labels: []string{"reason"},
		help: "Failed goodbyes, by reason; they do not make a probe fail. A reason appears once it has occurred."},
	lastProbe: {name: "mailprobe_last_probe_timestamp_seconds", kind: gauge,
		help: "When the last probe ended, in seconds since the Unix epoch."},
	lastSuccess: {name: "mailprobe_last_success_timestamp_seconds", kind: gauge,
		help: "When the last successful probe ended, in seconds since the Unix epoch; absent before the first."},
	tlsInfo: {name: "mailprobe_tls_info", kind: gauge, labels: []string{"version", "cipher"},
		help: "Constant 1: TLS version and cipher suite of the last probe; absent without a completed handshake."},
	certificateVerified: {name: "mailprobe_tls_certificate_verified", kind: gauge,
		help: "Whether the certificate presented to the last probe passed verification (1) or not (0: it failed, or was not checked)."},
	certificateNotAfter: {name: "mailprobe_tls_certificate_not_after_timestamp_seconds", kind: gauge,
		help: "Earliest expiry in the certificate chain of the last probe, in seconds since the Unix epoch: verified, of the verified chain that lasts longest, else of the presented one."},
	certificateNotBefore: {name: "mailprobe_tls_certificate_not_before_timestamp_seconds", kind: gauge,
		help: "Start of the validity of the certificate that not_after is about, in seconds since the Unix epoch; with it rules know the lifetime."},
	certificateInfo: {name: "mailprobe_tls_certificate_info", kind: gauge, labels: []string{"fingerprint_sha256"},
		help: "Constant 1: SHA-256 fingerprint of the server's own certificate, in lower-case hexadecimal."},
	mailboxMessages: {name: "mailprobe_mailbox_messages", kind: gauge,
		help: "Messages in the mailbox as the last probe saw it (IMAP EXISTS, POP3 STAT)."},
	mailboxUnread: {name: "mailprobe_mailbox_unread_messages", kind: gauge,
		help: "Messages not marked as read, in a watched IMAP mailbox."},
	mailboxWaiting: {name: "mailprobe_mailbox_waiting_messages", kind: gauge,
		help: "Messages that wait to be fetched: those not read with watch unread, all with watch all."},
	mailboxOldestWaiting: {name: "mailprobe_mailbox_oldest_waiting_timestamp_seconds", kind: gauge,
		help: "When the oldest waiting message arrived, in seconds since the Unix epoch; absent if none waits. POP3: when mailprobe first saw it, so that its age is at least that."},
	mailboxNewest: {name: "mailprobe_mailbox_newest_message_timestamp_seconds", kind: gauge,
		help: "When the newest message of a watched mailbox arrived, in seconds since the Unix epoch; still that of the last arrival when the message was fetched and deleted. POP3: when mailprobe first saw it. With watch_expect_every, an empty mailbox has the time of the first look until a message arrives."},
	mailboxSize: {name: "mailprobe_mailbox_size_bytes", kind: gauge,
		help: "Size of all messages of a watched mailbox, in bytes (POP3, and IMAP with STATUS=SIZE)."},
	mailboxQuotaUsed: {name: "mailprobe_mailbox_quota_used_bytes", kind: gauge,
		help: "Storage used of the quota of a watched mailbox, in bytes (IMAP with QUOTA); of several quotas the one closest to its limit."},
	mailboxQuotaLimit: {name: "mailprobe_mailbox_quota_limit_bytes", kind: gauge,
		help: "Storage limit of the same quota, in bytes."},
	mailboxArrivals: {name: "mailprobe_mailbox_arrivals_total", kind: counter,
		help: "Messages that arrived in a watched IMAP mailbox, by the steps of UIDNEXT within one UIDVALIDITY."},
	watchMaxAge: {name: "mailprobe_mailbox_watch_max_age_seconds", kind: gauge,
		help: "Configured time that a message may wait (watch_max_age), in seconds; only with watch."},
	watchExpectEvery: {name: "mailprobe_mailbox_watch_expect_every_seconds", kind: gauge,
		help: "Configured time within which a message must arrive (watch_expect_every), in seconds; only if set."},
	authHeld: {name: "mailprobe_auth_held", kind: gauge,
		help: "Whether logins are withheld (1) because one was refused, so that the account is not locked; only with a login configured."},
	authNextAttempt: {name: "mailprobe_auth_next_attempt_timestamp_seconds", kind: gauge,
		help: "When the next login is allowed, in seconds since the Unix epoch; only while logins are withheld."},
	authAttempts: {name: "mailprobe_auth_attempts_total", kind: counter,
		help: "Login attempts sent to the server."},
	authRejections: {name: "mailprobe_auth_rejections_total", kind: counter,
		help: "Logins definitively refused by the server."},
	interval: {name: "mailprobe_interval_seconds", kind: gauge,
		help: "Time from the start of one probe to the start of the next, in seconds: as configured, or longer while the server asks for fewer probes."},
	timeout: {name: "mailprobe_timeout_seconds", kind: gauge,
		help: "Longest time a whole probe may take, as configured, in seconds."},
	connectionInfo: {name: "mailprobe_connection_info", kind: gauge,
		labels: []string{"host", "encryption", "auth", "shared_mailbox_access", "ip_protocol"},
		help:   "Constant 1: configuration of the connection."},
	poolInFlight: {name: "mailprobe_pool_in_flight", kind: gauge, global: true,
		help: "Probes in flight now."},
	poolLimit: {name: "mailprobe_pool_limit", kind: gauge, global: true,
		help: "Maximum number of probes in flight."},
	poolStartDelay: {name: "mailprobe_pool_start_delay_seconds", kind: histogram, global: true,
		help: "Delay of probe starts behind their schedule, in seconds."},
	poolSkipped: {name: "mailprobe_pool_skipped_total", kind: counter, global: true,
		help: "Probe starts, scheduled or asked for, that did not happen in time because the previous probe or the queue took too long."},
	reloadSuccessful: {name: "mailprobe_config_last_reload_successful", kind: gauge, global: true,
		help: "Whether the last attempt to load the configuration succeeded (1) or not (0)."},
	reloadSuccess: {name: "mailprobe_config_last_reload_success_timestamp_seconds", kind: gauge, global: true,
		help: "When the configuration was last loaded successfully, in seconds since the Unix epoch."},
	holdsKept: {name: "mailprobe_auth_holds_kept", kind: gauge, global: true,
		help: "Whether account holds can be written to the state file (1) or not (0): a restart would then forget the newest, so logins that are not known to work are withheld. Absent without a state file."},
	holdsUnkeptSince: {name: "mailprobe_auth_holds_unkept_since_timestamp_seconds", kind: gauge, global: true,
		help: "Since when account holds cannot be written to the state file, in seconds since the Unix epoch; absent while they can."},
	buildInfo: {name: "mailprobe_build_info", kind: gauge, global: true,
		labels: []string{"version", "revision", "branch", "goversion", "goos", "goarch", "tags"},
		help:   "Constant 1: version and build of this mailprobe."},
}

// MetricDoc is one metric as the documentation shows it.
type MetricDoc struct {
	Name   string
	Type   string   // gauge, counter or histogram
	Labels []string // without those of the field `labels`
	Help   string   // one or two sentences, with the unit
}

// connectionLabels are on every metric of a connection.
var connectionLabels = []string{"connection", "protocol"}

// Table returns all metrics whose names begin with mailprobe_, in the order of the
// documentation. The standard go_ and process_ metrics are not in it.
func Table() []MetricDoc {
	docs := make([]MetricDoc, 0, len(families))
	for _, f := range families {
		doc := MetricDoc{Name: f.name, Type: strings.ToLower(f.kind.String()), Help: f.help}
		if !f.global {
			doc.Labels = slices.Clone(connectionLabels)
		}
		doc.Labels = append(doc.Labels, f.labels...)
		docs = append(docs, doc)
	}
	return append(docs, routeTable()...)
}

// Markdown returns docs as a table for README.md and docs/metrics.md. The labels
// that every metric of a connection has are left out.
func Markdown(docs []MetricDoc) string {
	var b strings.Builder
	b.WriteString("| metric | type | further labels | meaning |\n|---|---|---|---|\n")
	for _, doc := range docs {
		further := slices.DeleteFunc(slices.Clone(doc.Labels), func(label string) bool {
			return slices.Contains(connectionLabels, label) || slices.Contains(routeLabels, label)
		})
		for i := range further {
			further[i] = "`" + further[i] + "`"
		}
		help := strings.ReplaceAll(doc.Help, "|", `\|`)
		b.WriteString("| `" + doc.Name + "` | " + doc.Type + " | " + strings.Join(further, ", ") + " | " + help + " |\n")
	}
	return b.String()
}

// familyOrder lists the metrics about connections sorted by name, as a Gatherer
// must return them; familyRank is the index of each in it. Read only.
var familyOrder, familyRank = sortFamilies()

func sortFamilies() (order []familyID, rank [familyCount]int) {
	for i := range families {
		if !families[i].global {
			order = append(order, familyID(i))
		}
	}
	slices.SortFunc(order, func(a, b familyID) int { return strings.Compare(families[a].name, families[b].name) })
	for i, id := range order {
		rank[id] = i
	}
	return order, rank
}
