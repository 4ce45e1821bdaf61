package mail

// This file knows the names of labels that a connection's own labels must not
// have. It is the only list: config refuses them, metrics is tested against it.

import (
	"slices"
	"strings"
)

// Each list below is read only.
var (
	// ownLabels are set by mailprobe on one metric or another.
	ownLabels = []string{
		"connection", "protocol", "phase", "reason", "version", "cipher", "host", "encryption", "auth",
		"shared_mailbox_access", "ip_protocol", "fingerprint_sha256",
	}
	// routeOwnLabels are set by mailprobe on metrics of routes; connections may use
	// them.
	routeOwnLabels = []string{"route", "leg", "folder", "method", "result"}
	// formatLabels are set on each target by Prometheus or /sd, or belong to
	// histograms and summaries.
	formatLabels = []string{"instance", "job", "mailprobe", "le", "quantile"}
	// alertLabels are set by our rules on alerts, or by Prometheus on the ALERTS
	// metric: a label of the series would be overwritten, and routes would miss it.
	alertLabels = []string{"alertname", "alertstate", "severity", "window", "scope"}
	// targetLabels are set on targets by the Prometheus operator's monitors and by
	// usual relabelling.
	targetLabels = []string{"namespace", "pod", "container", "service", "endpoint", "node", "prometheus"}
)

// ReservedLabels lists the names that a connection's labels cannot have, apart
// from those that begin with two underscores.
func ReservedLabels() []string { return slices.Concat(ownLabels, formatLabels, alertLabels) }

// ReservedLabel says why a name cannot be a connection's label; empty: it can.
func ReservedLabel(name string) string {
	switch {
	case strings.HasPrefix(name, "__"), slices.Contains(ownLabels, name), slices.Contains(formatLabels, name):
		return "is a label that mailprobe or Prometheus sets itself"
	case slices.Contains(alertLabels, name):
		return "is a label that alerts set themselves"
	}
	return ""
}

// ReservedRouteLabel says why a name cannot be a route's label; empty: it can.
func ReservedRouteLabel(name string) string {
	if slices.Contains(routeOwnLabels, name) {
		return "is a label that mailprobe sets itself"
	}
	return ReservedLabel(name)
}

// TargetLabel reports whether Prometheus in Kubernetes sets a label of this name
// on the target. Without honor_labels it renames ours to exported_….
func TargetLabel(name string) bool { return slices.Contains(targetLabels, name) }
