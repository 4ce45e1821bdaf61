package deploy

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mailprobe/internal/mailtest"
	"mailprobe/internal/promtest"
)

// fromDiscovery tests that Prometheus discovers the connections of a configuration file
// and probes them by its scrapes.
func fromDiscovery(t *testing.T, p *pager, binary, alertmanager string) {
	const job, toggled = "mail", "inbox"
	file, server, options := scrapedConnections(t)
	mailprobe := promtest.StartMailprobe(t, binary, "--config.file="+file)
	prometheus := promtest.StartPrometheus(t, hurried(t, "deploy/prometheus/prometheus-sd.yml", mailprobe.Address, alertmanager))
	// One target for each connection, named as the connection; and mailprobe's own.
	prometheus.Wait(t, `count(up{job="mail"} == 1 and on (job, instance)
		label_replace(mailprobe_up == 1, "instance", "$1", "connection", "(.+)")) == 3`)
	prometheus.Wait(t, `count by (job) (mailprobe_probes_total{job="mailprobe"}) == 3`)

	_ = server.Close()
	wantReport(t, p.wait(t, job, toggled, "MailprobeConnectionDown", "firing"), toggled)
	server, err := mailtest.Start(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	p.wait(t, job, toggled, "MailprobeConnectionDown", "resolved")

	for query, fault := range map[string]string{
		`mailprobe_up{job="mailprobe"}`:     "the job of mailprobe itself has the gauges of connections",
		`{job="mailprobe", __tmp_keep!=""}`: "a label of the relabelling stays",
		// One probe may be counted a moment before its scrape is.
		`mailprobe_probes_total - on (connection)
			label_replace(count_over_time(up{job="mail"}[1h]), "connection", "$1", "instance", "(.+)") > 1`: "probed more often than scraped",
	} {
		if result, err := prometheus.Query(query); err != nil || len(result) > 0 {
			t.Errorf("%s: %v, %v", fault, result, err)
		}
	}
}

// scrapedConnections writes a configuration of three connections that are probed by scrapes, and
// the server of the first, which its options start again.
func scrapedConnections(t *testing.T) (file string, first *mailtest.Server, options mailtest.Options) {
	t.Helper()
	ca := mailtest.MustCA(mailtest.CAOptions{})
	dir := t.TempDir()
	if err := ca.WriteCertificate(filepath.Join(dir, "ca.pem")); err != nil {
		t.Fatal(err)
	}
	secret := filepath.Join(dir, "secrets/alice")
	write(t, secret, "wonder land\n")
	if err := os.Chmod(secret, 0o600); err != nil {
		t.Fatal(err)
	}
	var yaml strings.Builder
	yaml.WriteString("defaults: {probe_on_scrape: true, interval: 5s, timeout: 3s, host: 127.0.0.1, username: alice,\n" +
		"  password_file: secrets/alice, tls_config: {ca_file: ca.pem}}\nconnections:\n")
	for _, c := range [][3]string{{"inbox", "imap", "tls"}, {"fetch", "pop3", "starttls"}, {"send", "smtp", "starttls"}} {
		o := mailtest.Options{Protocol: c[1], Encryption: c[2], Certificate: ca.MustIssue(mailtest.Loopback()),
			Users: map[string]string{"alice": "wonder land"}}
		server, err := mailtest.Start(o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = server.Close() })
		if first == nil {
			o.Address = server.Addr
			first, options = server, o
		}
		fmt.Fprintf(&yaml, "  - {name: %s, protocol: %s, encryption: %s, port: %d}\n", c[0], c[1], c[2], server.Port)
	}
	file = filepath.Join(dir, "config.yml")
	write(t, file, yaml.String())
	return file, first, options
}
