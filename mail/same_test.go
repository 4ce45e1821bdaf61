package mail

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"reflect"
	"testing"
	"time"
)

// connectionChanges changes each field of Connection once, and says what that
// change ends.
var connectionChanges = map[string]struct {
	change func(*Connection)
	want   Difference
}{
	"Name":                {func(c *Connection) { c.Name = "other" }, OtherTarget},
	"Protocol":            {func(c *Connection) { c.Protocol = POP3 }, OtherTarget},
	"Encryption":          {func(c *Connection) { c.Encryption = StartTLS }, OtherTarget},
	"Host":                {func(c *Connection) { c.Host = "other.example.org" }, OtherTarget},
	"Port":                {func(c *Connection) { c.Port = 1993 }, OtherTarget},
	"IPProtocol":          {func(c *Connection) { c.IPProtocol = IP6 }, OtherTarget},
	"Username":            {func(c *Connection) { c.Username = "bob" }, OtherTarget},
	"Realm":               {func(c *Connection) { c.Realm = "other" }, OtherProbe},
	"Auth":                {func(c *Connection) { c.Auth = AuthPlain }, OtherTarget},
	"SharedMailbox":       {func(c *Connection) { c.SharedMailbox = "helpdesk" }, OtherTarget},
	"SharedMailboxAccess": {func(c *Connection) { c.SharedMailboxAccess = SharedFolder }, OtherTarget},
	"LoginNameFormat":     {func(c *Connection) { c.LoginNameFormat = "x" }, OtherTarget},
	"CheckMailbox":        {func(c *Connection) { c.CheckMailbox = true }, OtherTarget},
	"Mailbox":             {func(c *Connection) { c.Mailbox = "Archive" }, OtherTarget},
	"Sender":              {func(c *Connection) { c.Sender = "a@example.org" }, OtherTarget},
	"Recipient":           {func(c *Connection) { c.Recipient = "b@example.org" }, OtherTarget},
	"Password":            {func(c *Connection) { c.Password = InlineSecret(NewSecret("new")) }, OtherProbe},
	"Token": {func(c *Connection) {
		c.Token = func(context.Context, bool) (Secret, error) { return Secret{}, nil }
	}, OtherProbe},
	"TokenCredential":  {func(c *Connection) { c.TokenCredential = FileSecret("token") }, OtherProbe},
	"Interval":         {func(c *Connection) { c.Interval = time.Hour }, OtherProbe},
	"Timeout":          {func(c *Connection) { c.Timeout = time.Second }, OtherProbe},
	"ProbeOnScrape":    {func(c *Connection) { c.ProbeOnScrape = true }, OtherProbe},
	"EHLO":             {func(c *Connection) { c.EHLO = "probe.example.org" }, OtherSettings},
	"TLS":              {func(c *Connection) { c.TLS = &tls.Config{ServerName: "other.example.org"} }, OtherSettings},
	"Lockout":          {func(c *Connection) { c.Lockout = LockoutStrict }, OtherProbe},
	"HeldProbe":        {func(c *Connection) { c.HeldProbe = true }, OtherProbe},
	"HideServerText":   {func(c *Connection) { c.HideServerText = true }, OtherProbe},
	"Watch":            {func(c *Connection) { c.Watch = WatchAll }, OtherProbe},
	"WatchMaxAge":      {func(c *Connection) { c.WatchMaxAge = time.Hour }, OtherDescription},
	"WatchExpectEvery": {func(c *Connection) { c.WatchExpectEvery = time.Hour }, OtherDescription},
	"Labels":           {func(c *Connection) { c.Labels = []Label{{"team", "b"}} }, OtherDescription},
}

func sample() *Connection {
	return &Connection{Name: "inbox", Protocol: IMAP, Encryption: ImplicitTLS, Host: "mail.example.org",
		Username: "anna", Password: InlineSecret(NewSecret("old")), Auth: AuthAuto, Mailbox: "INBOX",
		Interval: time.Minute, Timeout: 30 * time.Second, IPProtocol: AnyIP, Lockout: LockoutNormal,
		TLS: &tls.Config{ServerName: "mail.example.org"}, Labels: []Label{{"team", "a"}}}
}

// If a new field of Connection were forgotten here, a reload that changes it would keep
// the old outcome, or a running probe with the old value.
func TestCompareNoticesEveryField(t *testing.T) {
	fields := reflect.VisibleFields(reflect.TypeFor[Connection]())
	if len(comparedFields) != len(fields) {
		t.Errorf("%d fields are compared, Connection has %d", len(comparedFields), len(fields))
	}
	for _, field := range fields {
		change, known := connectionChanges[field.Name]
		if !known {
			t.Errorf("%s: no change of it is tested", field.Name)
			continue
		}
		old, changed := sample(), sample()
		change.change(changed)
		if got := old.Compare(changed); got != change.want {
			t.Errorf("%s changes: difference %d, want %d", field.Name, got, change.want)
		}
		if got := changed.Compare(old); got != change.want {
			t.Errorf("%s changes back: difference %d, want %d", field.Name, got, change.want)
		}
		if same := old.Settings() == changed.Settings(); same != old.SameSettings(changed) {
			t.Errorf("%s changes: the hashes are equal: %t", field.Name, same)
		}
	}
}

// The consequences are ordered: what is not the same target is not the same probe.
func TestSameProbeAndSameTargetFollowCompare(t *testing.T) {
	for name, change := range connectionChanges {
		old, changed := sample(), sample()
		change.change(changed)
		if got, want := old.SameTarget(changed), change.want != OtherTarget; got != want {
			t.Errorf("%s changes: same target %t, want %t", name, got, want)
		}
		if got, want := old.SameProbe(changed), change.want < OtherProbe; got != want {
			t.Errorf("%s changes: same probe %t, want %t", name, got, want)
		}
	}
	if got := sample().Compare(sample()); got != NoDifference {
		t.Errorf("two equal definitions: difference %d", got)
	}
	if got := sample().Compare(nil); got != OtherTarget {
		t.Errorf("compared with nothing: difference %d", got)
	}
}

func TestCompareTakesTheDefaultPortForBlank(t *testing.T) {
	written := sample()
	written.Port = 993
	if got := sample().Compare(written); got != NoDifference {
		t.Errorf("the default port written down: difference %d", got)
	}
}

// Each load builds new TLS configurations: equal settings are no change.
func TestCompareLooksIntoTLSSettings(t *testing.T) {
	pool := func(subject string) *x509.CertPool {
		p := x509.NewCertPool()
		p.AddCert(&x509.Certificate{Raw: []byte(subject), RawSubject: []byte(subject)})
		return p
	}
	base := func() *tls.Config {
		return &tls.Config{ServerName: "a", RootCAs: pool("ca"), MinVersion: tls.VersionTLS12,
			Certificates: []tls.Certificate{{Certificate: [][]byte{{1}}}}}
	}
	for name, test := range map[string]struct {
		change func(*tls.Config)
		want   Difference
	}{
		"nothing":              {func(*tls.Config) {}, NoDifference},
		"server_name":          {func(c *tls.Config) { c.ServerName = "b" }, OtherSettings},
		"insecure_skip_verify": {func(c *tls.Config) { c.InsecureSkipVerify = true }, OtherSettings},
		"min_version":          {func(c *tls.Config) { c.MinVersion = tls.VersionTLS13 }, OtherSettings},
		"max_version":          {func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }, OtherSettings},
		"ca_file":              {func(c *tls.Config) { c.RootCAs = pool("other") }, OtherSettings},
		"no ca_file":           {func(c *tls.Config) { c.RootCAs = nil }, OtherSettings},
		"cert_file":            {func(c *tls.Config) { c.Certificates[0].Certificate = [][]byte{{2}} }, OtherSettings},
		"no cert_file":         {func(c *tls.Config) { c.Certificates = nil }, OtherSettings},
	} {
		old, changed := sample(), sample()
		old.TLS, changed.TLS = base(), base()
		test.change(changed.TLS)
		if got := old.Compare(changed); got != test.want {
			t.Errorf("%s: difference %d, want %d", name, got, test.want)
		}
	}
}
