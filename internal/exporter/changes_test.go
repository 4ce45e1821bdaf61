package exporter

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mailprobe/mail"
)

// Fault 138: ten thousand connections fail at once, and go on failing.
func TestChangesAreLoggedOnceAndSlowly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		changes := newChanges(slog.New(slog.NewTextHandler(&log, nil)))
		connections := make([]*mail.Connection, 10_000)
		for i := range connections {
			connections[i] = &mail.Connection{Name: fmt.Sprintf("inbox-%d", i)}
		}
		failAll := func(reason mail.Reason) (lines int) {
			log.Reset()
			for _, c := range connections {
				changes.note(mail.Outcome{Connection: c, Failure: &mail.Failure{Phase: mail.PhaseConnect, Reason: reason}})
			}
			return strings.Count(log.String(), "\n")
		}
		if n := failAll(mail.ConnectTimeout); n != linesAtOnce {
			t.Errorf("%d lines for ten thousand at once, want %d", n, linesAtOnce)
		}
		time.Sleep(time.Minute)
		if n := failAll(mail.ConnectTimeout); n != 0 {
			t.Errorf("%d lines about connections that were down before", n)
		}
		time.Sleep(time.Minute)
		// Now each one is up again, in the course of a minute.
		log.Reset()
		for _, c := range connections {
			changes.note(mail.Outcome{Connection: c})
			time.Sleep(time.Minute / 10_000)
		}
		lines := strings.Count(log.String(), "\n")
		if limit := linesAtOnce + 60*linesPerSecond; lines < 60*linesPerSecond || lines > 2*limit {
			t.Errorf("%d lines in a minute, want about %d", lines, limit)
		}
		if !strings.Contains(log.String(), "count=9900") {
			t.Errorf("nothing says how many were not logged:\n%.500s", log.String())
		}
	})
}
