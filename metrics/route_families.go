package metrics

// This file holds the names, types, labels and help texts of the metrics of routes,
// as families.go does for connections.

import (
	"slices"

	"github.com/prometheus/client_golang/prometheus"
)

// routeFamilyID is the index of a metric in routeFamilies.
type routeFamilyID uint8

const (
	routeUp routeFamilyID = iota
	routeLegDuration
	routeTransferUncertainty
	routeDeliveryDuration
	routeSent
	routeDelivered
	routeLost
	routeFailures
	routeFailureInfo
	routeInFlight
	routeOldestInFlight
	routeFolderInfo
	routeAuthenticationResult
	routeHops
	routeLastSuccess
	routeDeleted
	routeLeftBehind
	routeInterval
	routeDeadline
	routeFamilyCount
)

// routeFamilies is the table of the metrics of routes, in the order of the
// documentation. Read only.
var routeFamilies = [routeFamilyCount]family{
	routeUp: {name: "mailprobe_route_up", kind: gauge,
		help: "Whether the last message of the route arrived as configured (1) or not (0); absent before the first."},
	routeLegDuration: {name: "mailprobe_route_leg_duration_seconds", kind: gauge, labels: []string{"leg"},
		help: "Time the last message spent on each leg that it finished, in seconds: submit, transfer, total."},
	routeTransferUncertainty: {name: "mailprobe_route_transfer_uncertainty_seconds", kind: gauge,
		help: "Time between the look that saw the last message and the one before it, in seconds: the transfer may have been shorter by up to this much."},
	routeDeliveryDuration: {name: "mailprobe_route_delivery_duration_seconds", kind: histogram,
		help: "Time from the start of the submission until a delivered message was seen, in seconds."},
	routeSent: {name: "mailprobe_route_sent_total", kind: counter,
		help: "Messages that the sending server accepted."},
	routeDelivered: {name: "mailprobe_route_delivered_total", kind: counter,
		help: "Messages that were found, wherever they were filed."},
	routeLost: {name: "mailprobe_route_lost_total", kind: counter,
		help: "Messages that were accepted for sending and not found before the deadline."},
	routeFailures: {name: "mailprobe_route_failures_total", kind: counter, labels: []string{"reason"},
		help: "Messages that did not arrive as configured, by reason; a reason appears once it has occurred."},
	routeFailureInfo: {name: "mailprobe_route_failure_info", kind: gauge, labels: []string{"leg", "reason"},
		help: "Constant 1 while the last message did not arrive as configured: the leg it failed on and why."},
	routeInFlight: {name: "mailprobe_route_in_flight", kind: gauge,
		help: "Messages of the route that are sent and have no result yet."},
	routeOldestInFlight: {name: "mailprobe_route_oldest_in_flight_timestamp_seconds", kind: gauge,
		help: "When the oldest message in flight was sent, in seconds since the Unix epoch; absent if none is."},
	routeFolderInfo: {name: "mailprobe_route_folder_info", kind: gauge, labels: []string{"folder"},
		help: "Constant 1: where the last message was filed (inbox, junk, other); absent if it was not found."},
	routeAuthenticationResult: {name: "mailprobe_route_authentication_result", kind: gauge, labels: []string{"method", "result"},
		help: "Constant 1: results in the Authentication-Results of the configured host (spf, dkim, dmarc, arc) for the last message; absent if that host wrote none."},
	routeHops: {name: "mailprobe_route_hops", kind: gauge,
		help: "Received fields of the last message; absent if it was not found."},
	routeLastSuccess: {name: "mailprobe_route_last_success_timestamp_seconds", kind: gauge,
		help: "When the last message arrived as configured, in seconds since the Unix epoch; absent before the first."},
	routeDeleted: {name: "mailprobe_route_deleted_total", kind: counter,
		help: "Messages of the route that were deleted again."},
	routeLeftBehind: {name: "mailprobe_route_left_behind", kind: gauge,
		help: "Messages of the route that were found and could not be deleted, although they should be."},
	routeInterval: {name: "mailprobe_route_interval_seconds", kind: gauge,
		help: "Time between two messages, as configured, in seconds."},
	routeDeadline: {name: "mailprobe_route_deadline_seconds", kind: gauge,
		help: "Time after which a message counts as lost, as configured, in seconds."},
}

// routeLabels are on every metric of a route.
var routeLabels = []string{"route"}

// routeDesc returns the description of a metric of a route with the route's labels.
func routeDesc(id routeFamilyID, own prometheus.Labels) *prometheus.Desc {
	f := &routeFamilies[id]
	return prometheus.NewDesc(f.name, f.help, slices.Clone(f.labels), own)
}
