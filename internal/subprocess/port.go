package subprocess

import (
	"math/rand/v2"
	"net"
	"strconv"
	"testing"
	"time"
)

// The ports that FreePort takes: below Linux's ephemeral range (32768 and up),
// so that no outgoing connection gets one.
const lowestPort, highestPort = 20000, 32000

// FreePort returns a TCP port of host that is free and that no other test gets, in any
// process, until this one has ended: the UDP port of the same number is the reservation.
// Programs other than our tests do not know of it.
func FreePort(t testing.TB, host string) int {
	t.Helper()
	for range 1000 {
		port := lowestPort + rand.IntN(highestPort-lowestPort)
		address := net.JoinHostPort(host, strconv.Itoa(port))
		reservation, err := net.ListenPacket("udp", address)
		if err != nil {
			continue
		}
		// If a connection is refused, the port is free. To listen on it would not do: a
		// program that another test starts holds the listener for a moment after it was closed.
		call, err := net.DialTimeout("tcp", address, time.Second)
		if err != nil {
			t.Cleanup(func() { _ = reservation.Close() })
			return port
		}
		_ = call.Close()
		_ = reservation.Close()
	}
	t.Fatal("no free port on " + host)
	return 0
}

// FreeAddress is FreePort on 127.0.0.1, as host:port.
func FreeAddress(t testing.TB) string {
	t.Helper()
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(FreePort(t, "127.0.0.1")))
}
