//go:build !linux

package prober

import (
	"net"
	"time"
)

// timestampedReader returns nil: only Linux has receive timestamps for TCP.
func (*schedulingDelay) timestampedReader(*net.TCPConn) func(p []byte) (int, error) { return nil }

func firstRoundTrip(*net.TCPConn) (time.Duration, bool) { return 0, false }
