package mail

// This file is the one definition of "the certificate ends soon". The page, the
// command line and the Nagios output read it; the alerting rules and the boards
// state the same thresholds in PromQL.

import "time"

// The time left before a certificate ends at which people are warned: the
// smaller of a fixed time and a share of the lifetime, since a certificate of
// six days cannot have 21 left.
const (
	warningTime, warningShare   = 21 * 24 * time.Hour, 3
	criticalTime, criticalShare = 7 * 24 * time.Hour, 10
)

// Validity says how near its end a certificate is.
type Validity string

// The values of Validity, which are words for people too.
const (
	ValidityUnknown  Validity = "unknown" // its dates are not known
	ValidityOK       Validity = "ok"
	ValidityWarning  Validity = "warning"
	ValidityCritical Validity = "critical"
	ValidityOver     Validity = "over" // it has expired, or is not valid yet
)

// ExpiryThresholds returns how much time is left when a certificate is in state
// warning and when it is in state critical. notBefore zero: the lifetime is not
// known, and only the fixed times count.
func ExpiryThresholds(notBefore, notAfter time.Time) (warning, critical time.Duration) {
	warning, critical = warningTime, criticalTime
	if lifetime := notAfter.Sub(notBefore); !notBefore.IsZero() && lifetime > 0 {
		warning, critical = min(warning, lifetime/warningShare), min(critical, lifetime/criticalShare)
	}
	return warning, critical
}

// ValidityAt returns how near its end a certificate with these dates is at the
// time now. A zero notAfter is ValidityUnknown; a zero notBefore is ignored.
func ValidityAt(notBefore, notAfter, now time.Time) Validity {
	warning, critical := ExpiryThresholds(notBefore, notAfter)
	switch left := notAfter.Sub(now); {
	case notAfter.IsZero():
		return ValidityUnknown
	case left <= 0, now.Before(notBefore):
		return ValidityOver
	case left < critical:
		return ValidityCritical
	case left < warning:
		return ValidityWarning
	}
	return ValidityOK
}

// ValidityAt is the function ValidityAt for NotBefore and NotAfter of t. nil is
// ValidityUnknown.
func (t *TLSFacts) ValidityAt(now time.Time) Validity {
	if t == nil {
		return ValidityUnknown
	}
	return ValidityAt(t.NotBefore, t.NotAfter, now)
}
