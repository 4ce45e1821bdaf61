package importer

// This file reads the configurations of other monitors.

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"slices"
	"sort"
	"strings"

	"mailprobe/mail"
)

// readUptimeKuma reads a backup: the monitors of TCP ports on which mail is
// usual.
func readUptimeKuma(text string) ([]Entry, error) {
	var backup struct {
		MonitorList []struct {
			Name, Type, Hostname string
			Port, Interval       json.Number
			Active               any // a boolean or a number; nil: it is
			SMTPSecurity         string
		}
	}
	if err := json.Unmarshal([]byte(text), &backup); err != nil {
		return nil, errors.New("is not a JSON backup of Uptime Kuma")
	}
	var entries []Entry
	for _, m := range backup.MonitorList {
		port := portOf(m.Port.String())
		if m.Type == "smtp" && port == 0 {
			port = 25
		}
		if m.Type != "smtp" && (m.Type != "port" || usualProtocol(port) == "") {
			continue // no mail port
		}
		e := Entry{Name: m.Name, Protocol: usualProtocol(port), Host: strings.Trim(m.Hostname, "[]"), Port: port, Encryption: usualEncryption(port)}
		if seconds := m.Interval.String(); seconds != "" {
			e.Interval = seconds + "s"
		}
		if m.Type == "smtp" {
			e.Protocol, e.Encryption = mail.SMTP, kumaEncryption(m.SMTPSecurity)
		} else {
			e.lose("Uptime Kuma looked at the port alone; encryption %s is what is usual on port %d", e.Encryption.Word(), port)
		}
		e.Paused = m.Active == false || m.Active == 0.0
		entries = append(entries, e)
	}
	return entries, nil
}

// kumaEncryption is the encryption of a monitor of the kind smtp.
func kumaEncryption(security string) mail.Encryption {
	switch security {
	case "secure":
		return mail.ImplicitTLS
	case "nostarttls":
		return mail.NoEncryption
	}
	return mail.StartTLS
}

// usualEncryption is what servers speak on a port. Port 25 takes STARTTLS nearly
// everywhere.
func usualEncryption(port int) mail.Encryption {
	if _, implicitTLS := mail.UsualService(port); implicitTLS {
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
		entries = append(entries, blackboxJob(job, known)...)
	}
	return named(entries), nil
}

// blackboxJob are the targets of one job of Prometheus. A group of targets may
// name its module as a label, too.
func blackboxJob(job, modules any) []Entry {
	var entries []Entry
	probes := false
	for _, group := range append(list(at(job, "static_configs")), nil) {
		names := list(at(job, "params", "module"))
		if name := at(group, "labels", "__param_module"); name != nil {
			names = []any{name}
		}
		for _, name := range names {
			module := at(modules, fmt.Sprint(name))
			if fmt.Sprint(at(module, "prober")) != "tcp" {
				continue // of another kind, or not in this file
			}
			probes = true
			for _, target := range list(at(group, "targets")) {
				if e, ok := blackboxEntry(fmt.Sprint(target), module); ok {
					e.Labels = plainLabels(at(group, "labels"))
					entries = append(entries, e)
				}
			}
		}
	}
	for _, key := range sortedKeys(mapping(job)) {
		if probes && strings.HasSuffix(key, "_sd_configs") {
			e := Entry{Name: "job " + fmt.Sprint(at(job, "job_name")), Protocol: mail.SMTP}
			e.lose("its targets come from %s, which is not read", key)
			entries = append(entries, e)
		}
	}
	return entries
}

// plainLabels are the labels of targets without those that only Prometheus reads.
func plainLabels(labels any) map[string]string {
	plain := map[string]string{}
	for name, value := range mapping(labels) {
		if !strings.HasPrefix(name, "__") {
			plain[name] = fmt.Sprint(value)
		}
	}
	return plain
}

// blackboxEntry is a target on a mail port.
func blackboxEntry(target string, module any) (Entry, bool) {
	host, text, err := net.SplitHostPort(target)
	port := portOf(text)
	if err != nil || usualProtocol(port) == "" {
		return Entry{}, false
	}
	e := Entry{Protocol: usualProtocol(port), Host: host, Port: port, Encryption: mail.NoEncryption}
	dialogue := list(at(module, "tcp", "query_response"))
	startTLS := slices.ContainsFunc(dialogue, func(step any) bool { return at(step, "starttls") == true })
	switch {
	case at(module, "tcp", "tls") == true:
		e.Encryption = mail.ImplicitTLS
	case startTLS:
		e.Encryption = mail.StartTLS
	case len(dialogue) == 0:
		e.Encryption = usualEncryption(port)
		e.lose("the module looked at the port alone; encryption %s is what is usual on port %d", e.Encryption.Word(), port)
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
