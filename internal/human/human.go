// Package human has the one way in which times and durations are written for
// people: on the pages, in the tables of the command line and in messages.
package human

import (
	"fmt"
	"strings"
	"time"
)

const day = 24 * time.Hour

// Duration returns a measured time with about three digits: 410 µs, 8.3 ms,
// 24 ms, 1.25 s. A negative one is 0.
func Duration(d time.Duration) string {
	d = max(d, 0)
	switch {
	case d < time.Millisecond:
		return fmt.Sprintf("%d µs", d.Microseconds())
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.1f ms", d.Seconds()*1e3)
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	}
	return fmt.Sprintf("%.2f s", d.Seconds())
}

// Elapsed returns a time that has passed in one or two units: 5 s, 12 min,
// 3 h 20 min, 2 d 4 h. A negative one is 0.
func Elapsed(d time.Duration) string {
	d = max(d, 0)
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%d min", d/time.Minute)
	case d < day:
		return fmt.Sprintf("%d h %d min", d/time.Hour, d%time.Hour/time.Minute)
	}
	return fmt.Sprintf("%d d %d h", d/day, d%day/time.Hour)
}

// DaysLeft returns the whole days from now to end; negative: that many have
// passed since.
func DaysLeft(end, now time.Time) int { return int(end.Sub(now) / day) }

// Expiry returns in words how long a certificate that ends at end still holds:
// 12 d left, expired today, expired 3 d ago.
func Expiry(end, now time.Time) string {
	left := DaysLeft(end, now)
	switch {
	case end.After(now):
		return fmt.Sprintf("%d d left", left)
	case left == 0:
		return "expired today"
	}
	return fmt.Sprintf("expired %d d ago", -left)
}

// Waiting says what waits in a mailbox: 12 waiting, oldest 3 h 10 min (limit 15 min).
// count is nil if it is not known; age is 0 if it is not known, or nothing waits.
// atLeast: the age is a lower bound. Without anything known it returns nothing.
func Waiting(count *uint64, age, limit time.Duration, atLeast bool) string {
	text := "some waiting"
	switch {
	case count != nil && *count == 0:
		return "none waiting"
	case count != nil:
		text = fmt.Sprintf("%d waiting", *count)
	case age == 0:
		return ""
	}
	if age > 0 {
		text += ", oldest "
		if atLeast {
			text += "at least "
		}
		text += Elapsed(age)
	}
	if limit > 0 {
		text += " (limit " + strings.TrimSuffix(Elapsed(limit), " 0 min") + ")"
	}
	return text
}
