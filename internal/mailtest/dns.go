package mailtest

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// DNSFault says how the answer about a name is wrong; empty: it is right.
type DNSFault string

// The faults of names.
const (
	DNSNXDomain  DNSFault = "nxdomain"
	DNSNoData    DNSFault = "nodata" // NOERROR with a SOA record and no address
	DNSLame      DNSFault = "lame"   // NOERROR without any record, neither authoritative nor recursive
	DNSServFail  DNSFault = "servfail"
	DNSRefused   DNSFault = "refused"
	DNSSilence   DNSFault = "silence"
	DNSGarbage   DNSFault = "garbage"
	DNSWrongID   DNSFault = "wrong-id"
	DNSTruncated DNSFault = "truncated" // over UDP, and TCP is closed at once
)

// DNSName is what the server knows about a name.
type DNSName struct {
	Fault     DNSFault
	Addresses []netip.Addr // A and AAAA records
	CNAME     string       // another name, without the dot at its end; a loop is allowed
	SRV       []net.SRV    // targets with or without the dot at their end
}

// maxUDP is the size of an answer that is not truncated; Go asks for 1232.
const maxUDP = 1232

// DNS is a name server on loopback, UDP and TCP on the same port. Names it does
// not know are answered with NXDOMAIN. Close ends it.
type DNS struct {
	listener // TCP
	udp      net.PacketConn

	// guarded by listener.mu
	names   map[string]DNSName
	queries []string
}

// StartDNS runs a name server until Close. Names are without the dot at their
// end.
func StartDNS(names map[string]DNSName) (*DNS, error) {
	d, err := listenDNS()
	for tries := 0; err != nil && tries < 20; tries++ {
		d, err = listenDNS() // another program had the UDP port with that number
	}
	if err != nil {
		return nil, err
	}
	for name, known := range names {
		d.Set(name, known)
	}
	d.running.Go(d.serveUDP)
	d.run(d.stream)
	return d, nil
}

// listenDNS takes a port number that is free for TCP and for UDP.
func listenDNS() (*DNS, error) {
	d := &DNS{names: map[string]DNSName{}}
	if err := d.listen(""); err != nil {
		return nil, err
	}
	udp, err := net.ListenPacket("udp", d.Addr)
	if err != nil {
		_ = d.listener.Close()
		return nil, err
	}
	d.udp = udp
	return d, nil
}

// Resolver returns a resolver that asks this server only. Its connections end with the
// context of a lookup; those of Go's own resolver wait up to 5 s for a silent server.
func (d *DNS) Resolver() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		var dialer net.Dialer
		conn, err := dialer.DialContext(ctx, network, d.Addr)
		if err == nil {
			context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
		}
		return conn, err
	}}
}

// Set changes what is known about a name.
func (d *DNS) Set(name string, known DNSName) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.names[strings.ToLower(name)] = known
}

// Queries lists the questions so far, such as "mail.example. A".
func (d *DNS) Queries() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.queries)
}

// Close ends the server and waits for it.
func (d *DNS) Close() error {
	_ = d.udp.Close()
	return d.listener.Close()
}

func (d *DNS) serveUDP() {
	buffer := make([]byte, 64<<10)
	for {
		n, from, err := d.udp.ReadFrom(buffer)
		if err != nil {
			return
		}
		if answer := d.answer(buffer[:n], false); answer != nil {
			_, _ = d.udp.WriteTo(answer, from)
		}
	}
}

// stream answers the questions of a TCP connection, which have their length in
// front (RFC 1035 section 4.2.2).
func (d *DNS) stream(conn net.Conn) {
	for {
		var length uint16
		if err := binary.Read(conn, binary.BigEndian, &length); err != nil {
			return
		}
		question := make([]byte, length)
		if _, err := io.ReadFull(conn, question); err != nil {
			return
		}
		answer := d.answer(question, true)
		if answer == nil {
			continue
		}
		if len(answer) == 0 {
			return // DNSTruncated: close the connection
		}
		framed := binary.BigEndian.AppendUint16(nil, uint16(len(answer)))
		if _, err := conn.Write(append(framed, answer...)); err != nil {
			return
		}
	}
}

// answer returns the reply to a message; nil: no reply; empty: close the connection.
func (d *DNS) answer(message []byte, tcp bool) []byte {
	var parser dnsmessage.Parser
	header, err := parser.Start(message)
	if err != nil {
		return nil
	}
	question, err := parser.Question()
	if err != nil {
		return nil
	}
	known := d.ask(question)
	reply := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: header.ID, Response: true, Authoritative: true, RecursionAvailable: true},
		Questions: []dnsmessage.Question{question},
	}
	codes := map[DNSFault]dnsmessage.RCode{
		DNSNXDomain: dnsmessage.RCodeNameError, DNSServFail: dnsmessage.RCodeServerFailure, DNSRefused: dnsmessage.RCodeRefused,
	}
	reply.RCode = codes[known.Fault]
	switch known.Fault {
	case DNSSilence:
		return nil
	case DNSGarbage:
		return []byte("this is no DNS message at all")
	case DNSWrongID:
		reply.ID++
	case DNSTruncated:
		reply.Truncated = true
		if tcp {
			return []byte{}
		}
	case DNSLame:
		reply.Authoritative, reply.RecursionAvailable = false, false
	case DNSNoData, DNSNXDomain:
		reply.Authorities = []dnsmessage.Resource{soa(question.Name)}
	case "":
		reply.Answers = d.records(question)
	}
	return pack(reply, tcp)
}

// pack encodes a reply. If it is too large for UDP, the records are left out and the
// truncation bit is set.
func pack(reply dnsmessage.Message, tcp bool) []byte {
	packed, err := reply.Pack()
	if err == nil && (tcp || len(packed) <= maxUDP) {
		return packed
	}
	reply.Answers, reply.Truncated = nil, true
	packed, _ = reply.Pack()
	return packed
}

// ask records a question and returns the records of its name.
func (d *DNS) ask(question dnsmessage.Question) DNSName {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.queries = append(d.queries, question.Name.String()+" "+strings.TrimPrefix(question.Type.String(), "Type"))
	return d.lookLocked(question.Name)
}

func (d *DNS) lookLocked(name dnsmessage.Name) DNSName {
	known, found := d.names[strings.ToLower(strings.TrimSuffix(name.String(), "."))]
	if !found {
		return DNSName{Fault: DNSNXDomain}
	}
	return known
}

// records returns the records that answer a question. It follows CNAMEs, at most as many
// as there are names, so that a loop ends.
func (d *DNS) records(question dnsmessage.Question) []dnsmessage.Resource {
	d.mu.Lock()
	defer d.mu.Unlock()
	var records []dnsmessage.Resource
	name := question.Name
	for range len(d.names) {
		known := d.lookLocked(name)
		for _, address := range known.Addresses {
			if body := addressRecord(address, question.Type); body != nil {
				records = append(records, record(name, body))
			}
		}
		records = append(records, srvRecords(name, known.SRV, question.Type)...)
		target, err := dnsmessage.NewName(known.CNAME + ".")
		if known.CNAME == "" || err != nil {
			break
		}
		records = append(records, record(name, &dnsmessage.CNAMEResource{CNAME: target}))
		name = target
	}
	return records
}

// addressRecord is the record of an address, or nil where the question asks for
// the other family.
func addressRecord(address netip.Addr, want dnsmessage.Type) dnsmessage.ResourceBody {
	switch {
	case address.Is4() && want == dnsmessage.TypeA:
		return &dnsmessage.AResource{A: address.As4()}
	case address.Is6() && want == dnsmessage.TypeAAAA:
		return &dnsmessage.AAAAResource{AAAA: address.As16()}
	}
	return nil
}

// srvRecords are the records of a service, if the question asks for them.
func srvRecords(name dnsmessage.Name, services []net.SRV, want dnsmessage.Type) (records []dnsmessage.Resource) {
	for _, s := range services {
		target, err := dnsmessage.NewName(strings.TrimSuffix(s.Target, ".") + ".")
		if err == nil && want == dnsmessage.TypeSRV {
			records = append(records, record(name, &dnsmessage.SRVResource{Priority: s.Priority, Weight: s.Weight, Port: s.Port, Target: target}))
		}
	}
	return records
}

func record(name dnsmessage.Name, body dnsmessage.ResourceBody) dnsmessage.Resource {
	return dnsmessage.Resource{Header: dnsmessage.ResourceHeader{Name: name, Class: dnsmessage.ClassINET}, Body: body}
}

func soa(name dnsmessage.Name) dnsmessage.Resource {
	return record(name, &dnsmessage.SOAResource{NS: name, MBox: name, Serial: 1, MinTTL: 1})
}
