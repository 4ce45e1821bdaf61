package prober

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"

	"mailprobe/internal/mailtest"

	"mailprobe/mail"
)

// TestFaultRenegotiation is fault 50: a server of TLS 1.2 that asks for a second
// handshake in place of its first words. crypto/tls cannot be made to, so its
// record is written here.
func TestFaultRenegotiation(t *testing.T) {
	fix := newFaultFixture(t)
	pairs(t, func(t *testing.T, p mail.Protocol, e mail.Encryption) {
		if e == mail.NoEncryption {
			return
		}
		synctest.Test(t, func(t *testing.T) {
			fault := faultCase{numbers: []int{50}, story: "a_second_handshake_is_asked_for", after: secured,
				script: every("SEND \"never sent\"\nSTALL"), phase: mail.PhaseGreeting, reason: mail.TLSHandshake}
			if e == mail.StartTLS {
				fault.phase = mail.PhaseHello
			}
			ours, theirs := mailtest.Pipe(window)
			asking := &renegotiator{PipeConn: theirs}
			fault.server = func(o *mailtest.ScriptOptions) {
				o.TLS = &tls.Config{Certificates: o.TLS.Certificates, MaxVersion: tls.VersionTLS12, KeyLogWriter: &asking.keys,
					CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}}
			}
			run, script, options := fix.prepare(&fault, p, e)
			closed, session := make(chan struct{}), make(chan mailtest.Session, 1)
			go func() { session <- script.Play(asking, options, closed) }()
			run.probe(t.Context(), func(context.Context, []netip.Addr, int) (net.Conn, error) { return ours, nil })
			close(closed)
			_ = ours.Close()
			run.session = <-session
			run.judge(t)
			if !asking.asked || !strings.Contains(run.outcome.Failure.Text, "renegotiation") {
				t.Errorf("no second handshake was asked for\n%s", explain(run.outcome))
			}
		})
	})
}

// renegotiator is the server's end of a connection. In place of the first record
// of data it sends a HelloRequest, and nothing after it.
type renegotiator struct {
	*mailtest.PipeConn
	keys      bytes.Buffer // of crypto/tls
	random    []byte       // the server's
	encrypted bool         // ChangeCipherSpec was sent
	sequence  uint64       // of the next encrypted record
	asked     bool
}

func (r *renegotiator) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 5 && rest[1] == 3 && rest[0] >= 20 && rest[0] <= 23; {
		size := 5 + int(binary.BigEndian.Uint16(rest[3:5]))
		if r.record(rest[:size]) {
			if !r.asked {
				r.asked = true
				_, err := r.PipeConn.Write(r.helloRequest())
				return len(p), err
			}
			return len(p), nil
		}
		rest = rest[size:]
	}
	return r.PipeConn.Write(p)
}

// record takes note of a record, and reports whether it is one of data.
func (r *renegotiator) record(record []byte) bool {
	const changeCipherSpec, handshake, data, serverHello = 20, 22, 23, 2
	switch {
	case record[0] == data:
		return true
	case r.encrypted:
		r.sequence++
	case record[0] == changeCipherSpec:
		r.encrypted = true
	case record[0] == handshake && record[5] == serverHello:
		r.random = bytes.Clone(record[11:43]) // behind type, length and version
	}
	return false
}

// helloRequest is an encrypted record (RFC 5246 sections 6.3 and 7.4.1.1, RFC
// 5288 section 3).
func (r *renegotiator) helloRequest() []byte {
	// CLIENT_RANDOM, the client's random, the master secret; both in hex.
	logged := strings.Fields(r.keys.String())
	random, _ := hex.DecodeString(logged[1])
	master, _ := hex.DecodeString(logged[2])
	seed := append([]byte("key expansion"), append(bytes.Clone(r.random), random...)...)
	keys := expand(master, seed, 2*16+2*4)
	key, salt := keys[16:32], keys[36:40]

	number := binary.BigEndian.AppendUint64(nil, r.sequence)
	message := []byte{0, 0, 0, 0}
	block, _ := aes.NewCipher(key)
	seal, _ := cipher.NewGCM(block)
	extra := append(bytes.Clone(number), 22, 3, 3, 0, byte(len(message)))
	sealed := seal.Seal(nil, append(bytes.Clone(salt), number...), message, extra)
	record := append([]byte{22, 3, 3, 0, byte(len(number) + len(sealed))}, number...)
	return append(record, sealed...)
}

// expand is P_SHA256 (RFC 5246 section 5).
func expand(secret, seed []byte, size int) []byte {
	sum := func(parts ...[]byte) []byte {
		h := hmac.New(sha256.New, secret)
		for _, part := range parts {
			_, _ = h.Write(part)
		}
		return h.Sum(nil)
	}
	var out []byte
	for a := sum(seed); len(out) < size; a = sum(a) {
		out = append(out, sum(a, seed)...)
	}
	return out[:size]
}
