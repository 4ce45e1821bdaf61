//go:build !linux

package kerneltime

import (
	"net"
	"time"
)

// Reader returns nil: only Linux has receive timestamps for TCP.
func Reader(*net.TCPConn, func(began, arrival time.Time)) func(p []byte) (int, error) { return nil }

// Keep does nothing.
func Keep() (release func()) { return func() {} }

// FirstRoundTrip returns false: only Linux has this value.
func FirstRoundTrip(*net.TCPConn) (time.Duration, bool) { return 0, false }
