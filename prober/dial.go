package prober

// This file finds and reaches a server: the phases resolve and connect.

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"time"

	"mailprobe/mail"
)

const (
	maxAddresses   = 8                      // tried of one host
	attemptTimeout = 5 * time.Second        // of one address, if others are left
	fallbackDelay  = 300 * time.Millisecond // head start of the first family (RFC 8305 section 5 allows 100 ms to 2 s)
)

// networks are the words of net.Resolver for each ip_protocol.
var networks = map[mail.IPProtocol]string{mail.AnyIP: "ip", mail.IP4: "ip4", mail.IP6: "ip6"}

// resolverBy returns Go's resolver over dial; nil: the name servers of the system.
// Go's resolver reads on for up to 5 s after its lookup was cancelled; here a
// deadline on its sockets ends the read.
func resolverBy(dial func(ctx context.Context, network, address string) (net.Conn, error)) *net.Resolver {
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err == nil {
			// Go's resolver cancels ctx after each exchange: nothing is left.
			context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
		}
		return conn, err
	}}
}

// resolve returns the addresses of a host, at most maxAddresses, families
// interleaved so that the bound cannot cut one of them off.
func resolve(ctx context.Context, r *net.Resolver, c *mail.Connection) ([]netip.Addr, error) {
	found, err := r.LookupNetIP(ctx, networks[c.IPProtocol], c.Host)
	var otherFamily *net.AddrError
	if errors.As(err, &otherFamily) || err == nil && len(found) == 0 {
		return nil, &fault{reason: mail.DNSNotFound, err: fmt.Errorf("resolve %s: no address of ip_protocol %s", c.Host, c.IPProtocol)}
	}
	if err != nil {
		return nil, fmt.Errorf("resolve %s: %w", c.Host, err)
	}
	first, second := families(found)
	var addrs []netip.Addr
	for i := range max(len(first), len(second)) {
		if i < len(first) {
			addrs = append(addrs, first[i])
		}
		if i < len(second) {
			addrs = append(addrs, second[i])
		}
	}
	return addrs[:min(len(addrs), maxAddresses)], nil
}

// families splits addresses into those of the first one's family and the rest.
func families(addrs []netip.Addr) (first, second []netip.Addr) {
	for _, a := range addrs {
		a = a.Unmap()
		if len(first) == 0 || a.Is4() == first[0].Is4() {
			first = append(first, a)
		} else {
			second = append(second, a)
		}
	}
	return first, second
}

// attempt is the result of dialling one family.
type attempt struct {
	conn  net.Conn
	delay time.Duration // see connectDelay
	err   error
}

// connect dials the addresses as in RFC 8305: one family first, the other 300 ms
// later or when the first has failed, and the first connection wins. Its error
// joins those of all attempts, the last one last.
func (l *schedulingDelay) connect(ctx context.Context, addrs []netip.Addr, port int) (net.Conn, error) {
	first, second := families(addrs)
	if len(second) == 0 { // the usual case needs no goroutine
		only := dialEach(ctx, first, port)
		l.add(only.delay)
		return only.conn, only.err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	results := make(chan attempt, 2)
	start := func(family []netip.Addr) {
		go func() { results <- dialEach(ctx, family, port) }()
	}
	running := 1
	start(first)
	timer := time.NewTimer(fallbackDelay)
	defer timer.Stop()
	delay := timer.C
	startSecond := func() {
		delay, running = nil, running+1
		start(second)
	}
	var errs []error
	for running > 0 {
		select {
		case <-delay:
			startSecond()
		case r := <-results:
			running--
			if r.err == nil {
				cancel()
				closeLate(results, running)
				l.add(r.delay)
				return r.conn, nil
			}
			errs = append(errs, r.err)
			if delay != nil {
				startSecond()
			}
		}
	}
	return nil, errors.Join(errs...)
}

// closeLate waits for the cancelled attempts, which end at once, so that none
// outlives the probe.
func closeLate(results <-chan attempt, running int) {
	for range running {
		if r := <-results; r.conn != nil {
			_ = r.conn.Close()
		}
	}
}

// dialEach tries addresses one after another, each with its share of the time
// left.
func dialEach(ctx context.Context, addrs []netip.Addr, port int) attempt {
	var errs []error
	for i, addr := range addrs {
		one, cancel := ctx, func() {}
		if left := len(addrs) - i; left > 1 {
			one, cancel = context.WithTimeout(ctx, share(ctx, left))
		}
		a := dialOne(one, addr, port)
		cancel()
		if a.err == nil {
			return a
		}
		errs = append(errs, a.err)
		if ctx.Err() != nil {
			break
		}
	}
	return attempt{err: errors.Join(errs...)}
}

// dialOne tries one address until ctx ends.
func dialOne(ctx context.Context, addr netip.Addr, port int) attempt {
	// A probe needs no keep-alive: this saves four system calls.
	dialer := net.Dialer{KeepAlive: -1}
	began := time.Now()
	conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(addr.String(), strconv.Itoa(port)))
	if err != nil {
		return attempt{err: err}
	}
	return attempt{conn: conn, delay: connectDelay(conn, time.Since(began))}
}

// share is the time one of n addresses may take if others are left: a fair part and
// at most attemptTimeout.
func share(ctx context.Context, n int) time.Duration {
	deadline, ok := ctx.Deadline()
	if !ok {
		return attemptTimeout
	}
	return min(attemptTimeout, time.Until(deadline)/time.Duration(n))
}

// literal is the address written as host, if it is one: then nothing is resolved.
func literal(host string) (netip.Addr, bool) {
	addr, err := netip.ParseAddr(host)
	return addr, err == nil
}

// byteLimitedConn limits the bytes read from TCP, below TLS, so that handshake
// records count too.
type byteLimitedConn struct {
	net.Conn
	read func(p []byte) (int, error)
	size int // bytes that may be read
	left int // of them
}

func (c *byteLimitedConn) Read(p []byte) (int, error) {
	if c.left <= 0 {
		return 0, oversizef("the session is larger than %d bytes", c.size)
	}
	n, err := c.read(p[:min(len(p), c.left)])
	c.left -= n
	return n, err
}
