package human

import (
	"testing"
	"time"
)

func TestWords(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	for _, test := range []struct{ got, want string }{
		{Duration(-time.Second), "0 µs"},
		{Duration(410 * time.Microsecond), "410 µs"},
		{Duration(8300 * time.Microsecond), "8.3 ms"},
		{Duration(24 * time.Millisecond), "24 ms"},
		{Duration(1250 * time.Millisecond), "1.25 s"},
		{Elapsed(-time.Second), "0 s"},
		{Elapsed(59 * time.Second), "59 s"},
		{Elapsed(12 * time.Minute), "12 min"},
		{Elapsed(200 * time.Minute), "3 h 20 min"},
		{Elapsed(52 * time.Hour), "2 d 4 h"},
		{Expiry(now.Add(12*day+time.Hour), now), "12 d left"},
		{Expiry(now.Add(time.Hour), now), "0 d left"},
		{Expiry(now.Add(-time.Hour), now), "expired today"},
		{Expiry(now.Add(-3*day), now), "expired 3 d ago"},
		{Waiting(nil, 0, time.Hour, false), ""},
		{Waiting(new(uint64(0)), 0, time.Hour, false), "none waiting"},
		{Waiting(new(uint64(12)), 190*time.Minute, 15*time.Minute, false), "12 waiting, oldest 3 h 10 min (limit 15 min)"},
		{Waiting(new(uint64(12)), 190*time.Minute, time.Hour, true), "12 waiting, oldest at least 3 h 10 min (limit 1 h)"},
		{Waiting(new(uint64(12)), 0, 0, false), "12 waiting"},
		{Waiting(nil, time.Minute, 0, false), "some waiting, oldest 1 min"},
	} {
		if test.got != test.want {
			t.Errorf("%q, want %q", test.got, test.want)
		}
	}
}
