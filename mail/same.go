package mail

// This file is the only definition of "the same connection": what a reload may
// keep of a connection whose entry was edited.

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"slices"
)

// Difference says how far two definitions of a connection differ. The values
// are ordered: each includes the consequences of those before it.
type Difference int

// What a change of a definition ends.
const (
	// NoDifference: the definitions are equal.
	NoDifference Difference = iota
	// OtherDescription: only what is shown with the results differs. The schedule
	// and a running probe go on.
	OtherDescription
	// OtherProbe: the same question is asked at other times, with other patience,
	// or another secret. A running probe counts no longer, but past outcomes still
	// do.
	OtherProbe
	// OtherSettings: the same question may be answered in another way, because it is
	// put in other words or the answer is trusted by other rules. That it was
	// answered well before says nothing about the settings of today.
	OtherSettings
	// OtherTarget: another question or another server. Past outcomes say nothing
	// about it.
	OtherTarget
)

// comparedField is one field of Connection: how to compare it, and what a
// change of it means.
type comparedField struct {
	name   string
	change Difference
	equal  func(a, b *Connection) bool
	text   func(*Connection) string // the value, for Settings
}

// compared makes a comparedField of a field whose values compare with ==.
func compared[V comparable](name string, change Difference, of func(*Connection) V) comparedField {
	return comparedField{name, change,
		func(a, b *Connection) bool { return of(a) == of(b) },
		func(c *Connection) string { return fmt.Sprint(of(c)) }}
}

// comparedFields has a line for every field of Connection, the gravest changes
// first; a test finds the ones that are missing. Read only.
var comparedFields = []comparedField{
	compared("Name", OtherTarget, func(c *Connection) string { return c.Name }),
	compared("Protocol", OtherTarget, func(c *Connection) Protocol { return c.Protocol }),
	compared("Encryption", OtherTarget, func(c *Connection) Encryption { return c.Encryption }),
	compared("Host", OtherTarget, func(c *Connection) string { return c.Host }),
	compared("Port", OtherTarget, (*Connection).EffectivePort), // writing the default port down changes nothing
	compared("IPProtocol", OtherTarget, func(c *Connection) IPProtocol { return c.IPProtocol }),
	compared("Username", OtherTarget, func(c *Connection) string { return c.Username }),
	compared("Auth", OtherTarget, func(c *Connection) AuthMethod { return c.Auth }),
	compared("SharedMailbox", OtherTarget, func(c *Connection) string { return c.SharedMailbox }),
	compared("SharedMailboxAccess", OtherTarget, func(c *Connection) SharedAccess { return c.SharedMailboxAccess }),
	compared("LoginNameFormat", OtherTarget, func(c *Connection) string { return c.LoginNameFormat }),
	compared("CheckMailbox", OtherTarget, func(c *Connection) bool { return c.CheckMailbox }),
	compared("Mailbox", OtherTarget, func(c *Connection) string { return c.Mailbox }),
	compared("Sender", OtherTarget, func(c *Connection) string { return c.Sender }),
	compared("Recipient", OtherTarget, func(c *Connection) string { return c.Recipient }),

	compared("EHLO", OtherSettings, func(c *Connection) string { return c.EHLO }),
	{"TLS", OtherSettings, sameTLS, tlsText},

	compared("Password", OtherProbe, func(c *Connection) SecretSource { return c.Password }),
	// Two token sources cannot be compared: the new one is taken over.
	compared("Token", OtherProbe, func(c *Connection) bool { return c.Token != nil }),
	compared("TokenCredential", OtherProbe, func(c *Connection) SecretSource { return c.TokenCredential }),
	compared("Realm", OtherProbe, func(c *Connection) string { return c.Realm }),
	compared("Watch", OtherProbe, func(c *Connection) WatchMode { return c.Watch }),
	compared("Interval", OtherProbe, func(c *Connection) int64 { return int64(c.Interval) }),
	compared("Timeout", OtherProbe, func(c *Connection) int64 { return int64(c.Timeout) }),
	compared("ProbeOnScrape", OtherProbe, func(c *Connection) bool { return c.ProbeOnScrape }),
	compared("Lockout", OtherProbe, func(c *Connection) Lockout { return c.Lockout }),
	compared("HeldProbe", OtherProbe, func(c *Connection) bool { return c.HeldProbe }),
	compared("HideServerText", OtherProbe, func(c *Connection) bool { return c.HideServerText }),

	compared("WatchMaxAge", OtherDescription, func(c *Connection) int64 { return int64(c.WatchMaxAge) }),
	compared("WatchExpectEvery", OtherDescription, func(c *Connection) int64 { return int64(c.WatchExpectEvery) }),
	{"Labels", OtherDescription, func(a, b *Connection) bool { return slices.Equal(a.Labels, b.Labels) }, nil},
}

// Compare returns the gravest difference between two definitions. nil differs
// from everything but nil.
func (c *Connection) Compare(d *Connection) Difference {
	if c == d {
		return NoDifference
	}
	if c == nil || d == nil {
		return OtherTarget
	}
	gravest := NoDifference
	for _, f := range comparedFields {
		if f.change > gravest && !f.equal(c, d) {
			gravest = f.change
		}
	}
	return gravest
}

// SameTarget reports whether two definitions ask the same question of the same
// server: an outcome of one is an outcome of the other.
func (c *Connection) SameTarget(d *Connection) bool { return c.Compare(d) < OtherTarget }

// SameSettings reports whether two definitions ask the same question in the same
// way: where one worked, the settings of the other are right too. Secrets are not
// compared.
func (c *Connection) SameSettings(d *Connection) bool { return c.Compare(d) < OtherSettings }

// Settings is a hash of all that SameSettings compares, for what is kept across
// restarts. Of CA certificates it only tells whether there are any of its own.
func (c *Connection) Settings() string {
	h := sha256.New()
	for _, f := range comparedFields {
		if f.change >= OtherSettings {
			fmt.Fprintf(h, "%s=%q\n", f.name, f.text(c))
		}
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// SameProbe reports whether two definitions are probed in the same way at the
// same times: the schedule and a running probe of one serve the other.
func (c *Connection) SameProbe(d *Connection) bool { return c.Compare(d) < OtherProbe }

// sameTLS compares the settings that the configuration can express; each load
// builds a new tls.Config.
func sameTLS(c, d *Connection) bool {
	a, b := c.TLS, d.TLS
	if a == nil || b == nil {
		return a == b
	}
	return c.ServerName() == d.ServerName() && a.InsecureSkipVerify == b.InsecureSkipVerify &&
		a.MinVersion == b.MinVersion && a.MaxVersion == b.MaxVersion &&
		(a.RootCAs == b.RootCAs || a.RootCAs != nil && b.RootCAs != nil && a.RootCAs.Equal(b.RootCAs)) &&
		slices.EqualFunc(a.Certificates, b.Certificates, sameCertificate)
}

// tlsText is what Settings takes of the TLS settings.
func tlsText(c *Connection) string {
	t := c.TLS
	if t == nil {
		return ""
	}
	text := fmt.Sprint(c.ServerName(), " ", t.InsecureSkipVerify, t.MinVersion, t.MaxVersion, t.RootCAs != nil)
	for _, certificate := range t.Certificates {
		for _, raw := range certificate.Certificate {
			text += fmt.Sprintf(" %x", sha256.Sum256(raw))
		}
	}
	return text
}

// sameCertificate compares two client certificates by their chains.
func sameCertificate(a, b tls.Certificate) bool {
	return slices.EqualFunc(a.Certificate, b.Certificate, bytes.Equal)
}
