package mail

import (
	"testing"
	"time"
)

func TestValidity(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	const day = 24 * time.Hour
	for _, test := range []struct {
		story    string
		lifetime time.Duration // 0: not known
		left     time.Duration
		want     Validity
	}{
		{"three months, renewed lately", 90 * day, 80 * day, ValidityOK},
		{"three months, exactly 21 days left", 90 * day, 21 * day, ValidityOK},
		{"three months, less than 21 days left", 90 * day, 21*day - 1, ValidityWarning},
		{"three months, less than 7 days left", 90 * day, 7*day - 1, ValidityCritical},
		{"six days, renewed lately", 6 * day, 5 * day, ValidityOK},
		{"six days, less than a third left", 6 * day, 2*day - 1, ValidityWarning},
		{"six days, less than a tenth left", 6 * day, 14 * time.Hour, ValidityCritical},
		{"the lifetime is not known", 0, 20 * day, ValidityWarning},
		{"it ends now", 90 * day, 0, ValidityOver},
		{"it has ended", 90 * day, -day, ValidityOver},
		{"it is not valid yet", 90 * day, 91 * day, ValidityOver},
	} {
		facts := &TLSFacts{NotAfter: now.Add(test.left)}
		if test.lifetime > 0 {
			facts.NotBefore = facts.NotAfter.Add(-test.lifetime)
		}
		if got := facts.ValidityAt(now); got != test.want {
			t.Errorf("%s: %s, want %s", test.story, got, test.want)
		}
	}
	if got := (*TLSFacts)(nil).ValidityAt(now); got != ValidityUnknown {
		t.Errorf("without TLS: %s", got)
	}
	if got := (&TLSFacts{}).ValidityAt(now); got != ValidityUnknown {
		t.Errorf("no certificate was presented: %s", got)
	}
}
