package mailtest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"
)

func TestDNS(t *testing.T) {
	many := make([]netip.Addr, 2000)
	for i := range many {
		many[i] = netip.AddrFrom4([4]byte{127, 1, byte(i >> 8), byte(i)})
	}
	one := netip.MustParseAddr("127.0.0.1")
	dns, err := StartDNS(map[string]DNSName{
		"good.example":      {Addresses: []netip.Addr{one, netip.IPv6Loopback()}},
		"alias.example":     {CNAME: "good.example"},
		"loop.example":      {CNAME: "pool.example"},
		"pool.example":      {CNAME: "loop.example"},
		"many.example":      {Addresses: many},
		"nodata.example":    {Fault: DNSNoData},
		"lame.example":      {Fault: DNSLame},
		"servfail.example":  {Fault: DNSServFail},
		"refused.example":   {Fault: DNSRefused},
		"silent.example":    {Fault: DNSSilence},
		"garbage.example":   {Fault: DNSGarbage},
		"id.example":        {Fault: DNSWrongID},
		"truncated.example": {Fault: DNSTruncated},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer dns.Close()
	notFound := func(e *net.DNSError) bool { return e.IsNotFound }
	failed := func(e *net.DNSError) bool { return !e.IsNotFound && !e.IsTimeout }
	timeout := func(e *net.DNSError) bool { return e.IsTimeout }
	tests := []struct {
		name  string
		count int // of addresses
		want  func(*net.DNSError) bool
	}{
		{"good", 2, nil}, {"alias", 2, nil}, {"many", 2000, nil},
		{"stranger", 0, notFound}, {"nodata", 0, notFound},
		{"lame", 0, func(e *net.DNSError) bool { return e.Err == "lame referral" }},
		{"servfail", 0, func(e *net.DNSError) bool { return e.IsTemporary }},
		{"refused", 0, failed}, {"truncated", 0, failed},
		{"silent", 0, timeout}, {"garbage", 0, timeout}, {"id", 0, timeout},
		{"loop", 0, func(*net.DNSError) bool { return true }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			limit := 20 * time.Second
			if test.want != nil && test.want(&net.DNSError{IsTimeout: true}) {
				limit = 200 * time.Millisecond
			}
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			addrs, err := dns.Resolver().LookupNetIP(ctx, "ip", test.name+".example")
			var dnsErr *net.DNSError
			if test.want == nil && err != nil || test.want != nil && (!errors.As(err, &dnsErr) || !test.want(dnsErr)) {
				t.Errorf("error: got %#v", err)
			}
			if len(addrs) != test.count {
				t.Errorf("got %d addresses, want %d", len(addrs), test.count)
			}
		})
	}
}

func TestDNSAnswersAnew(t *testing.T) {
	dns, err := StartDNS(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer dns.Close()
	for i := range 2 {
		want := netip.MustParseAddr(fmt.Sprintf("127.0.0.%d", i+1))
		dns.Set("Mail.example", DNSName{Addresses: []netip.Addr{want}})
		addrs, err := dns.Resolver().LookupNetIP(t.Context(), "ip4", "mail.example")
		if err != nil || len(addrs) != 1 || addrs[0].Unmap() != want {
			t.Errorf("got %v, %v, want %v", addrs, err, want)
		}
	}
	if got := dns.Queries(); !slices.Contains(got, "mail.example. A") {
		t.Errorf("queries: got %q", got)
	}
}
