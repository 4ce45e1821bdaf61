package mailtest

import (
	"crypto/rand"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
)

// Call is a kind of call on a connection.
type Call string

// The calls that can fail; AnyCall counts all of them together.
const (
	AnyCall   Call = ""
	ReadCall  Call = "read"
	WriteCall Call = "write"
	CloseCall Call = "close"
)

// Fault is what happens at the chosen call.
type Fault string

// The faults. After TimeoutFault, ResetFault and EOFFault later calls fail in the same
// way, as on a socket. ShortFault and GarbageFault concern one call only.
const (
	TimeoutFault Fault = "timeout" // the deadline has passed
	ResetFault   Fault = "reset"   // RST
	EOFFault     Fault = "eof"     // FIN; a write fails with EPIPE
	ShortFault   Fault = "short"   // one byte is read; half is written, with io.ErrShortWrite
	GarbageFault Fault = "garbage" // random bytes are read or written instead
)

// Faults lists every fault.
func Faults() []Fault {
	return []Fault{TimeoutFault, ResetFault, EOFFault, ShortFault, GarbageFault}
}

// FaultyConn is a connection whose n-th call of a kind fails. Its methods may be
// called by several goroutines at once.
type FaultyConn struct {
	net.Conn
	call  Call
	n     int
	fault Fault

	mu    sync.Mutex
	count int
	hit   bool
	stuck map[Call]bool
}

// FailNth wraps conn so that its n-th call of a kind, counted from 1, has a fault. With
// n = 0 no call has one.
func FailNth(conn net.Conn, call Call, n int, fault Fault) *FaultyConn {
	return &FaultyConn{Conn: conn, call: call, n: n, fault: fault, stuck: map[Call]bool{}}
}

// Hit reports whether the call was reached.
func (c *FaultyConn) Hit() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.hit
}

// Calls is the number of calls of the chosen kind so far.
func (c *FaultyConn) Calls() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.count
}

// now counts a call, and reports whether it has the fault: it is the n-th one, or an
// earlier fault continues.
func (c *FaultyConn) now(call Call) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.call == AnyCall || c.call == call {
		c.count++
		if c.count == c.n {
			c.hit = true
			c.stickLocked(call)
			return true
		}
	}
	return c.stuck[call]
}

func (c *FaultyConn) stickLocked(call Call) {
	switch c.fault {
	case ResetFault:
		c.stuck[ReadCall], c.stuck[WriteCall] = true, true
	case TimeoutFault, EOFFault:
		c.stuck[call] = true
	}
}

func (c *FaultyConn) Read(p []byte) (int, error) {
	if !c.now(ReadCall) {
		return c.Conn.Read(p)
	}
	switch c.fault {
	case TimeoutFault:
		return 0, opError(c, "read", os.ErrDeadlineExceeded)
	case ResetFault:
		return 0, opError(c, "read", syscall.ECONNRESET)
	case EOFFault:
		return 0, io.EOF
	case ShortFault:
		return c.Conn.Read(p[:min(1, len(p))])
	}
	n, err := c.Conn.Read(p)
	_, _ = rand.Read(p[:n])
	return n, err
}

func (c *FaultyConn) Write(p []byte) (int, error) {
	if !c.now(WriteCall) {
		return c.Conn.Write(p)
	}
	switch c.fault {
	case TimeoutFault:
		return 0, opError(c, "write", os.ErrDeadlineExceeded)
	case ResetFault:
		return 0, opError(c, "write", syscall.ECONNRESET)
	case EOFFault:
		return 0, opError(c, "write", syscall.EPIPE)
	case ShortFault:
		n, err := c.Conn.Write(p[:len(p)/2])
		if err == nil {
			err = io.ErrShortWrite
		}
		return n, err
	}
	noise := make([]byte, len(p))
	_, _ = rand.Read(noise)
	return c.Conn.Write(noise)
}

// Close always closes the connection. A fault changes only the error that it returns.
func (c *FaultyConn) Close() error {
	faulty := c.now(CloseCall)
	err := c.Conn.Close()
	if !faulty {
		return err
	}
	return map[Fault]error{
		TimeoutFault: opError(c, "close", os.ErrDeadlineExceeded),
		ResetFault:   opError(c, "close", syscall.ECONNRESET),
		EOFFault:     io.EOF,
		ShortFault:   io.ErrShortWrite,
		GarbageFault: opError(c, "close", syscall.EIO),
	}[c.fault]
}

// SetLinger calls the method of the wrapped connection, if it has one.
func (c *FaultyConn) SetLinger(seconds int) error {
	if lingerer, ok := c.Conn.(interface{ SetLinger(int) error }); ok {
		return lingerer.SetLinger(seconds)
	}
	return nil
}

// CloseWrite calls the method of the wrapped connection, if it has one.
func (c *FaultyConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// opError wraps an error of a connection as package net does.
func opError(c net.Conn, op string, err error) error {
	return &net.OpError{Op: op, Net: "tcp", Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: err}
}
