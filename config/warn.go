package config

// This file warns about what is allowed but unwise.

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"mailprobe/mail"
)

// warningRule is a condition, the field that the warning names, and its text.
type warningRule struct {
	field string
	holds func(e *entry) bool
	text  string
}

var warningRules = []warningRule{
	{"encryption", func(e *entry) bool { return e.Encryption == mail.NoEncryption && e.usesPassword() },
		"the password may cross the network in clear text: use ssl/tls or starttls"},
	{"encryption", func(e *entry) bool {
		return e.Encryption == mail.NoEncryption && e.Auth.UsesToken() && e.Username != ""
	},
		"the token crosses the network in clear text: use ssl/tls or starttls"},
	{"port", func(e *entry) bool {
		return e.Encryption == mail.StartTLS && startsWithTLS(e.Port)
	},
		"servers usually speak TLS from the first byte on this port: use encryption ssl/tls, not starttls"},
	{"port", func(e *entry) bool {
		return e.Encryption == mail.NoEncryption && startsWithTLS(e.Port)
	},
		"servers usually speak TLS from the first byte on this port: use encryption ssl/tls, not none"},
	{"port", func(e *entry) bool {
		p, implicitTLS := mail.UsualService(e.Port)
		return e.Encryption == mail.ImplicitTLS && p != "" && !implicitTLS
	},
		"servers usually start in clear text on this port: use encryption starttls, not ssl/tls"},
	{"port", func(e *entry) bool { p, _ := mail.UsualService(e.Port); return p != "" && p != e.Protocol },
		"is usual for another protocol"},
	{"tls_config.insecure_skip_verify", func(e *entry) bool { return e.tls.insecureSkipVerify && e.Encryption != mail.NoEncryption },
		"any certificate is accepted: anyone in the path can read the password; to trust a private CA, use ca_file"},
	{"tls_config.ca_file", func(e *entry) bool {
		return e.tls.insecureSkipVerify && e.tls.caFile != "" && e.Encryption != mail.NoEncryption &&
			(e.own("tls_config.ca_file") || !e.own("tls_config.insecure_skip_verify")) // else the defaults are overruled on purpose
	},
		"is not used: insecure_skip_verify accepts any certificate"},
	{"tls_config.allow_obsolete_tls", func(e *entry) bool {
		return e.tls.allowObsolete && obsolete(e) && e.LogsIn() && e.Encryption != mail.NoEncryption
	},
		"the login may go over TLS 1.0 or 1.1, whose protection is weak (RFC 8996): better update the server"},
	{"tls_config.allow_obsolete_tls", func(e *entry) bool {
		return e.tls.allowObsolete && !obsolete(e) && e.own("tls_config.allow_obsolete_tls")
	},
		"is not used: min_version is not TLS10 or TLS11"},
	{"tls_config", func(e *entry) bool { return e.Encryption == mail.NoEncryption && e.own("tls_config") },
		"is not used: encryption is none"},
	{"timeout", func(e *entry) bool { return e.Timeout > e.Interval && !e.ProbeOnScrape },
		"is longer than the interval: probes of a slow server will be skipped"},
	{"interval", func(e *entry) bool {
		return e.Protocol == mail.POP3 && e.Username != "" && e.Interval < time.Minute && !e.ProbeOnScrape
	}, "a POP3 login locks the mailbox: below 1m, its user may be locked out of it"},
	{"auth", func(e *entry) bool {
		return e.access() == mail.SharedLoginName && !e.uses(mail.AuthAuto, mail.AuthLogin)
	},
		"Exchange accepts login_name names with auth login only"},
	{"shared_mailbox", func(e *entry) bool {
		return e.access() == mail.SharedSender && e.Protocol == mail.SMTP && isAlias(e.SharedMailbox)
	},
		"is tried as the sender, and many servers require a full mail address there"},
	{"lockout", func(e *entry) bool { return e.Lockout == mail.LockoutOff && e.Username != "" },
		"a wrong password is repeated at every interval, which can lock the account"},
	{"lockout", func(e *entry) bool { return e.own("lockout") && !e.LogsIn() && e.Lockout != mail.LockoutNormal },
		"is not used: there is no login"},
	{"held_probe", func(e *entry) bool { return e.own("held_probe") && !e.LogsIn() && !e.HeldProbe },
		"is not used: there is no login"},
	{"held_probe", func(e *entry) bool {
		return e.own("held_probe") && e.LogsIn() && e.Lockout == mail.LockoutOff && !e.HeldProbe
	},
		"is not used: with lockout off, no login is withheld"},
	{"realm", func(e *entry) bool { return e.own("realm") && !e.LogsIn() && e.Realm != "" },
		"is not used: there is no login"},
	{"username", func(e *entry) bool { return e.own("username") && e.Username != "" && e.uses(mail.AuthNone) },
		"is not used: auth none tries no login"},
	{"username", func(e *entry) bool { return mail.LooksLikeVariable(e.Username) },
		"looks like the name of a variable: none is replaced, this text itself is sent"},
	{"check_mailbox", func(e *entry) bool { return !e.CheckMailbox && e.Sender != "" },
		"is false, so the sender is not tried"},
	{"mailbox", func(e *entry) bool { return e.own("mailbox") && !e.CheckMailbox && e.Mailbox != freshEntry().Mailbox },
		"is not opened: check_mailbox is false"},
	{"check_mailbox", func(e *entry) bool {
		return e.wants("check_mailbox") && e.CheckMailbox && e.Protocol == mail.SMTP && e.Sender == "" && e.access() != mail.SharedSender
	},
		"has nothing to check: with smtp it needs a sender"},
}

// startsWithTLS reports whether TLS usually starts with the first byte on a port.
func startsWithTLS(port int) bool {
	_, implicitTLS := mail.UsualService(port)
	return implicitTLS
}

func (e *entry) warn(r *reader, where position) {
	for _, a := range warningRules {
		if a.holds(e) {
			r.warnf(e.at(a.field, where), "%s", a.text)
		}
	}
}

// portsPerDestination is the number of local ports that Linux has for one
// destination address and port. A closed connection may keep one for a minute
// (TIME_WAIT).
const portsPerDestination = 28232

// load is what a group of connections needs.
type load struct {
	connections int
	slots       float64 // probes at the same time, if each takes its whole timeout
	perMinute   float64
}

func (l *load) add(c *mail.Connection) {
	l.connections++
	l.slots += min(1, float64(c.Timeout)/float64(c.Interval))
	l.perMinute += float64(time.Minute) / float64(c.Interval)
}

// warnLoad warns if the intervals cannot be kept once every server stops
// answering, when each probe takes its whole timeout. Connections that are probed
// on scrapes count as if they were scraped at their intervals.
func (r *reader) warnLoad(pool Pool, connections []*mail.Connection) {
	var all load
	hosts, addresses := map[string]*load{}, map[string]*load{}
	for _, c := range connections {
		all.add(c)
		for key, group := range map[string]map[string]*load{c.Host: hosts, c.Address(): addresses} {
			if group[key] == nil {
				group[key] = &load{}
			}
			group[key].add(c)
		}
	}
	if need := int(math.Ceil(all.slots)); need > pool.MaxInFlight {
		r.warnf(r.atPool("max_in_flight"), "if every server stops answering, the %d connections need %d probes at once, but %d are allowed: intervals will not be kept",
			all.connections, need, pool.MaxInFlight)
	}
	for _, host := range slices.Sorted(maps.Keys(hosts)) {
		l := hosts[host]
		if l.slots > float64(pool.MaxInFlightPerHost) {
			factor := l.slots / float64(pool.MaxInFlightPerHost)
			r.warnf(r.atPool("max_in_flight_per_host"), "if %s stops answering, its %d connections need %d probes at once, but %d are allowed: each is probed about every %s intervals",
				host, l.connections, int(math.Ceil(l.slots)), pool.MaxInFlightPerHost, fmt.Sprintf("%.3g", factor))
		}
	}
	for _, address := range slices.Sorted(maps.Keys(addresses)) {
		if l := addresses[address]; l.perMinute > portsPerDestination {
			r.warnf(position{field: "connections"}, "%d probes a minute to %s: this machine has %d local ports for one destination, each busy for up to a minute",
				int(l.perMinute), address, portsPerDestination)
		}
	}
}

// warnRoutes warns if the routes together send more than is ever sent.
func (r *reader) warnRoutes(routes []*mail.Route) {
	perMinute := 0.0
	for _, route := range routes {
		perMinute += float64(time.Minute) / float64(route.Interval)
	}
	if perMinute > mail.MaxRouteMessages {
		r.warnf(position{field: "routes"}, "%d messages a minute are wanted, but at most %d are sent: each route sends about every %.3g intervals",
			int(math.Ceil(perMinute)), mail.MaxRouteMessages, perMinute/mail.MaxRouteMessages)
	}
}

// atPool returns the position of a field of `pool`; zero: it is not written.
func (r *reader) atPool(field string) position {
	given := r.top["pool."+field]
	return position{file: given.file, line: given.line, field: "pool." + field}
}
