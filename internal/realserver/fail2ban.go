package realserver

import (
	"regexp"
	"strconv"
	"testing"
	"time"
)

// failureRow is one failure as fail2ban-regex prints it with -o row: address,
// seconds since 1970, and more.
var failureRow = regexp.MustCompile(`(?m)^\['[^']*',\s*([0-9.]+),`)

// Failures lets Debian's fail2ban read a log with one of its filters, such as
// "dovecot[mode=aggressive]", and returns the time of each line that it counts.
func Failures(t testing.TB, log, filter string) []time.Time {
	t.Helper()
	Need(t, "fail2ban-regex")
	file := write(t, t.TempDir(), "log", log, 0o644)
	printed := output(t, "/usr/bin/fail2ban-regex", "-o", "row", file, filter)
	var times []time.Time
	for _, row := range failureRow.FindAllStringSubmatch(printed, -1) {
		seconds, err := strconv.ParseFloat(row[1], 64)
		if err != nil {
			t.Fatal(err)
		}
		times = append(times, time.Unix(int64(seconds), 0).UTC())
	}
	return times
}
