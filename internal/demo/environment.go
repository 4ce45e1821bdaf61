package demo

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"net"
	"net/netip"
	"slices"
	"time"

	"mailprobe/internal/mailtest"
	"mailprobe/mail"
)

const (
	interval = 5 * time.Second
	timeout  = 3 * time.Second
	messages = 3 // in each mailbox
	domain   = "demo.example"
	sender   = "probe@" + domain
)

// FirstRound is how long after the start every connection has been probed once.
const FirstRound = interval + timeout + time.Second

// environment is what all servers of the demo share.
type environment struct {
	host     string // name or address of loopback
	password string // of every user, new in each run
	ca       *mailtest.CA
	good     tls.Certificate
	trust    *tls.Config
}

// start runs a server at an address, or on a free port where that is empty.
type start func(address string) (running, error)

// running is a server that runs.
type running struct {
	address string
	port    int
	close   func() error // nil: nothing runs
}

func newEnvironment(ctx context.Context) (*environment, error) {
	ca, err := mailtest.NewCA(mailtest.CAOptions{Name: "mailprobe demo CA"})
	if err != nil {
		return nil, err
	}
	env := &environment{host: loopback(ctx), password: rand.Text(), ca: ca}
	env.good, err = ca.Issue(env.certificate())
	if err != nil {
		return nil, err
	}
	env.trust = &tls.Config{RootCAs: ca.Pool(), ServerName: env.host, MinVersion: tls.VersionTLS12}
	return env, nil
}

// loopback is localhost where that name is known, so that the demo has names to
// resolve, and 127.0.0.1 elsewhere.
func loopback(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	address := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	found, err := (&net.Resolver{PreferGo: true}).LookupNetIP(ctx, "ip4", "localhost")
	if err == nil && slices.ContainsFunc(found, func(a netip.Addr) bool { return a.Unmap() == address }) {
		return "localhost"
	}
	return address.String()
}

// certificate is a good one; its life is long enough to raise no alert.
func (env *environment) certificate() mailtest.CertOptions {
	o := mailtest.Loopback()
	o.NotAfter = time.Now().Add(300 * day)
	return o
}

// connection is what a configuration with this entry would have loaded.
func (env *environment) connection(r recipe) *mail.Connection {
	c := &mail.Connection{
		Name:         r.name,
		Protocol:     r.protocol,
		Encryption:   r.encryption,
		Host:         env.host,
		Username:     r.user(),
		Password:     mail.InlineSecret(mail.NewSecret(env.password)),
		Auth:         mail.AuthAuto,
		CheckMailbox: true,
		Mailbox:      "INBOX",
		Interval:     interval,
		Timeout:      timeout,
		IPProtocol:   mail.IP4,
		EHLO:         "mailprobe." + domain,
		Lockout:      mail.LockoutNormal,
		HeldProbe:    true,
		Labels:       []mail.Label{{Name: "demo", Value: "good"}},
	}
	if r.want != "" {
		c.Labels[0].Value = "broken"
	}
	if r.encryption != mail.NoEncryption {
		c.TLS = env.trust
	}
	if r.protocol == mail.SMTP {
		c.Sender = sender
	}
	return c
}

// user is the recipe's own login name, because the guard counts refused logins
// by the account.
func (r recipe) user() string { return r.name + "@" + domain }

// honest runs the server that a recipe's connection expects, except where o says
// otherwise.
func honest(o mailtest.Options) func(*environment, recipe) start {
	return func(env *environment, r recipe) start {
		o := o
		if o.Protocol == "" {
			o.Protocol = string(r.protocol)
		}
		if o.Encryption == "" {
			o.Encryption = string(r.encryption)
		}
		if o.Certificate.Certificate == nil {
			o.Certificate = env.good
		}
		o.Users = map[string]string{r.user(): env.password}
		o.Messages = messages
		return func(address string) (running, error) {
			o.Address = address
			server, err := mailtest.Start(o)
			if err != nil {
				return running{}, err
			}
			return running{address: server.Addr, port: server.Port, close: server.Close}, nil
		}
	}
}

// certified runs an honest server with its own certificate.
func certified(change func(*mailtest.CertOptions)) func(*environment, recipe) start {
	return func(env *environment, r recipe) start {
		options := env.certificate()
		change(&options)
		return func(address string) (running, error) {
			cert, err := env.ca.Issue(options)
			if err != nil {
				return running{}, err
			}
			return honest(mailtest.Options{Certificate: cert})(env, r)(address)
		}
	}
}

// scripted runs a server that plays a script. Clients that do not follow the script
// are ignored.
func scripted(text string) func(*environment, recipe) start {
	return func(*environment, recipe) start {
		return func(address string) (running, error) {
			script, err := mailtest.ParseScript("demo", text)
			if err != nil {
				return running{}, err
			}
			server, err := mailtest.StartScript(script, mailtest.ScriptOptions{Address: address})
			if err != nil {
				return running{}, err
			}
			stop := func() error { _ = server.Close(); return nil }
			return running{address: server.Addr, port: server.Port, close: stop}, nil
		}
	}
}
