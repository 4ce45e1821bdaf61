// Package dashboards holds the Grafana boards and the Prometheus rules that
// come with mailprobe, and the tests that keep them true to its metrics.
//
// The boards, rules/mailprobe-reasons.yml and the copies for Kubernetes under
// deploy/ are generated: change package generate and run make generate. The other
// rules are written by hand.
package dashboards

//go:generate go run ./generate
