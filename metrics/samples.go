package metrics

// This file turns outcomes into samples. A value that is not known has no sample:
// it is absent, not 0.

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"time"

	"mailprobe/mail"
)

// sample is one gauge or counter.
type sample struct {
	family  familyID
	created uint32 // counters: when it was 0, in seconds since the Unix epoch
	value   float64
	extra   *labelSet // the labels beyond the connection's own; nil: none
}

// boolSample returns a sample of value 1 or 0.
func boolSample(family familyID, yes bool) sample {
	if yes {
		return sample{family: family, value: 1}
	}
	return sample{family: family}
}

// infoSample returns a sample of value 1 whose labels are the information.
func infoSample(family familyID, labels *labelSet) sample {
	return sample{family: family, value: 1, extra: labels}
}

// noSharedMailbox is the shared_mailbox_access of a connection without one.
const noSharedMailbox = "none"

// configLabels returns the labels of connection_info.
func configLabels(c *mail.Connection) *labelSet {
	access := noSharedMailbox
	if c.SharedMailbox != "" {
		access = string(c.SharedMailboxAccess)
	}
	return newLabelSet(
		mail.Label{Name: "host", Value: c.Host},
		mail.Label{Name: "encryption", Value: string(c.Encryption)},
		mail.Label{Name: "auth", Value: string(c.Auth)},
		mail.Label{Name: "shared_mailbox_access", Value: access},
		mail.Label{Name: "ip_protocol", Value: c.IPProtocol.String()})
}

// configSamples appends the samples that are known before the first probe. spacing
// is the time between probes: the interval, or longer if the server asked for it.
func configSamples(samples []sample, c *mail.Connection, spacing time.Duration) []sample {
	samples = watchConfigSamples(samples, c)
	return append(samples,
		sample{family: interval, value: spacing.Seconds()},
		sample{family: timeout, value: c.Timeout.Seconds()},
		infoSample(connectionInfo, ofConfig))
}

// outcomeSamples appends the samples of one outcome. before are the earlier
// samples, whose labels are reused where they are equal; it may be nil.
func outcomeSamples(samples []sample, o *mail.Outcome, before *preparedMetrics, pool *labelPool) []sample {
	samples = append(samples,
		boolSample(up, o.Up()),
		sample{family: lastProbe, value: seconds(o.End)})
	if f := o.Failure; f != nil {
		samples = append(samples, infoSample(failureInfo, pool.two("phase", string(f.Phase), "reason", string(f.Reason))))
	}
	samples = loginSamples(samples, o)
	if o.Auth.Held {
		samples = keptSamples(samples, before, watchedFamilies)
	} else {
		samples = watchSamples(samples, o, before)
	}
	if o.Withheld() {
		return keptSamples(samples, before, keptFamilies)
	}
	samples = append(samples, sample{family: lastProbeDuration, value: nonNegative(o.Duration())})
	if o.Port != 0 {
		samples = append(samples, sample{family: effectivePort, value: float64(o.Port)})
	}
	for _, p := range o.Phases {
		samples = append(samples, sample{family: phaseDuration,
			value: nonNegative(p.Duration), extra: pool.one("phase", string(p.Phase))})
	}
	if o.TLS != nil {
		samples = tlsSamples(samples, o.TLS, pool)
	}
	return samples
}

// keptFamilies describe the server. They stay when a probe contacts no server.
// Read only.
var keptFamilies = []familyID{effectivePort, phaseDuration, lastProbeDuration,
	tlsInfo, certificateVerified, certificateNotAfter, certificateNotBefore, certificateInfo}

// keptSamples appends the earlier samples of these families. It is used for a
// withheld probe, which contacts no server: a certificate does not become unknown
// because a password is wrong.
func keptSamples(samples []sample, before *preparedMetrics, families []familyID) []sample {
	if before == nil {
		return samples
	}
	for s := range before.all {
		if slices.Contains(families, s.family) {
			samples = append(samples, s)
		}
	}
	return samples
}

// loginSamples appends the samples about login and mailbox. A credential that was
// sent and got no reply, because the connection broke or the time was up, counts as
// not accepted: a mail client could not have logged in either.
func loginSamples(samples []sample, o *mail.Outcome) []sample {
	if o.Auth.Known() {
		samples = append(samples, boolSample(authSuccess, o.Auth.Accepted))
	}
	if logsIn(o.Connection) || o.Auth.Known() || o.Auth.Held {
		samples = append(samples, boolSample(authHeld, o.Auth.Withheld()))
	}
	if o.Auth.Withheld() && !o.Auth.NextAttempt.IsZero() {
		samples = append(samples, sample{family: authNextAttempt, value: seconds(o.Auth.NextAttempt)})
	}
	if o.Mailbox.Tried {
		samples = append(samples, boolSample(mailboxSuccess, o.Mailbox.OK))
	}
	if o.Mailbox.Counted {
		samples = append(samples, sample{family: mailboxMessages, value: float64(o.Mailbox.Messages)})
	}
	return samples
}

// tlsSamples appends the samples about a handshake, also if its certificate was
// not accepted.
func tlsSamples(samples []sample, facts *mail.TLSFacts, pool *labelPool) []sample {
	if facts.Version != "" {
		samples = append(samples, infoSample(tlsInfo, pool.two("version", facts.Version, "cipher", facts.Cipher)))
	}
	if facts.FingerprintSHA256 != "" {
		extra := ofFingerprint
		if _, ok := rawFingerprint(facts); !ok {
			extra = fingerprintLabels(facts.FingerprintSHA256)
		}
		samples = append(samples,
			boolSample(certificateVerified, facts.Verified),
			infoSample(certificateInfo, extra))
	}
	if !facts.NotAfter.IsZero() {
		samples = append(samples, sample{family: certificateNotAfter, value: seconds(facts.NotAfter)})
	}
	if !facts.NotBefore.IsZero() {
		samples = append(samples, sample{family: certificateNotBefore, value: seconds(facts.NotBefore)})
	}
	return samples
}

// rawFingerprint returns the fingerprint of a certificate; false: there is none.
func rawFingerprint(facts *mail.TLSFacts) (raw [sha256.Size]byte, ok bool) {
	if facts == nil || len(facts.FingerprintSHA256) != hex.EncodedLen(len(raw)) {
		return raw, false
	}
	_, err := hex.Decode(raw[:], []byte(facts.FingerprintSHA256))
	return raw, err == nil && hex.EncodeToString(raw[:]) == facts.FingerprintSHA256
}

func fingerprintLabels(fingerprint string) *labelSet {
	return newLabelSet(mail.Label{Name: "fingerprint_sha256", Value: fingerprint})
}

// logsIn reports whether a connection is configured to log in.
func logsIn(c *mail.Connection) bool {
	return c.Username != "" && c.Auth != mail.AuthNone
}

// seconds returns a time in seconds since the Unix epoch, exact to the microsecond.
func seconds(t time.Time) float64 { return float64(t.UnixMicro()) / 1e6 }

// nonNegative returns a duration in seconds; 0 if it is negative, as after the
// clock was set back.
func nonNegative(d time.Duration) float64 { return max(d, 0).Seconds() }
