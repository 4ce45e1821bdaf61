package importer

// This file reads the configurations of other monitors.

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"sort"

	"mailprobe/mail"
)

// readUptimeKuma reads a backup: the monitors of TCP ports on which mail is
// usual.
func readUptimeKuma(text string) ([]Entry, error) {
	var backup struct {
		MonitorList []struct {
			Name, Type, Hostname string
			Port, Interval       json.Number
		}
	}
	if err := json.Unmarshal([]byte(text), &backup); err != nil {
		return nil, errors.New("is not a JSON backup of Uptime Kuma")
	}
	var entries []Entry
	for _, m := range backup.MonitorList {
		port := portOf(m.Port.String())
		if m.Type != "port" || mailPorts[port] == "" {
			continue // no mail port
		}
		e := Entry{Name: m.Name, Protocol: mailPorts[port], Host: m.Hostname, Port: port, Encryption: usualEncryption(port)}
		if seconds := m.Interval.String(); seconds != "" {
			e.Interval = seconds + "s"
		}
		e.lose("Uptime Kuma looked at the port alone; encryption %s is what is usual on port %d", e.Encryption.Word(), port)
		entries = append(entries, e)
	}
	return entries, nil
}

// usualEncryption is what servers speak on a port. Port 25 takes STARTTLS nearly
// everywhere.
func usualEncryption(port int) mail.Encryption {
	if implicitTLS(port) {
		return mail.ImplicitTLS
	}
	return mail.StartTLS
}

// ReadBlackbox reads modules of blackbox_exporter and the Prometheus
// configuration with their targets, both as decoded YAML.
func ReadBlackbox(modules, prometheus any) ([]Entry, error) {
	known := at(modules, "modules")
	if known == nil {
		return nil, errors.New("has no modules of blackbox_exporter")
	}
	var entries []Entry
	for _, job := range list(at(prometheus, "scrape_configs")) {
		for _, name := range list(at(job, "params", "module")) {
			module := at(known, fmt.Sprint(name))
			if fmt.Sprint(at(module, "prober")) != "tcp" {
				continue // of another kind, or not in this file
			}
			for _, group := range list(at(job, "static_configs")) {
				for _, target := range list(at(group, "targets")) {
					if e, ok := blackboxEntry(fmt.Sprint(target), module); ok {
						for label := range mapping(at(group, "labels")) {
							e.lose("the label %s of the target was not carried over", label)
						}
						entries = append(entries, e)
					}
				}
			}
		}
	}
	return named(entries), nil
}

// blackboxEntry is a target on a mail port.
func blackboxEntry(target string, module any) (Entry, bool) {
	host, text, err := net.SplitHostPort(target)
	port := portOf(text)
	if err != nil || mailPorts[port] == "" {
		return Entry{}, false
	}
	e := Entry{Protocol: mailPorts[port], Host: host, Port: port, Encryption: mail.NoEncryption}
	for _, step := range list(at(module, "tcp", "query_response")) {
		if at(step, "starttls") == true {
			e.Encryption = mail.StartTLS
		}
	}
	if at(module, "tcp", "tls") == true {
		e.Encryption = mail.ImplicitTLS
	}
	if file, is := at(module, "tcp", "tls_config", "ca_file").(string); is {
		e.CAFile = file
	}
	if at(module, "tcp", "tls_config", "insecure_skip_verify") == true {
		e.lose("insecure_skip_verify was not carried over: certificates are verified now")
	}
	return e, true
}

// at follows keys through decoded YAML; nil where one is missing.
func at(value any, keys ...string) any {
	for _, key := range keys {
		value = mapping(value)[key]
	}
	return value
}

func mapping(value any) map[string]any {
	m, _ := value.(map[string]any)
	return m
}

// list is a list of decoded YAML; nil for anything else.
func list(value any) []any {
	l, _ := value.([]any)
	return l
}

// sortedKeys are the keys of a mapping, sorted.
func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	return keys
}
