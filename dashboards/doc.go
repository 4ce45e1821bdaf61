// Package dashboards holds the Grafana boards and the Prometheus rules that
// come with mailprobe, and the tests that compare them with its metrics.
//
// The boards, rules/mailprobe-reasons.yml, rules/mailprobe-alerts.yml and the copies under
// deploy/ are generated: change package generate and run make generate. The recording
// rules are written by hand.
package dashboards

//go:generate go run ./generate
