package exporter

// This file opens the store of when POP3 messages were first seen.

import (
	"mailprobe/guard"
	"mailprobe/internal/firstseen"
	"mailprobe/mail"
)

// openSightings opens the file beside the state file. Without a state file, the store
// is in memory only. Its hashes use the guard's key.
func openSightings(o Options, g *guard.Guard) (*firstseen.Store, error) {
	path := ""
	if o.StateFile != "" {
		path = firstseen.Path(o.StateFile)
	}
	return firstseen.Open(path, g.KeyedHash, o.Log)
}

// warnForgetful says which watched connections begin anew at each start, because POP3
// does not tell when messages arrived and there is no state file.
func (e *Exporter) warnForgetful(connections []*mail.Connection) {
	if e.options.StateFile != "" {
		return
	}
	for _, c := range connections {
		if c.Watches() && c.Protocol == mail.POP3 {
			e.log.Warn("watch of a POP3 mailbox without --state.file: after a restart the ages of its messages begin anew", "connection", c.Name)
		}
	}
}
