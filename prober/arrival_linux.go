package prober

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// stampedReader reads with recvmsg(2), whose control message says when the
// kernel had the last of the bytes (SO_TIMESTAMPNS, socket(7)). It is nil where
// the kernel does not do that.
func (l *lateness) stampedReader(conn *net.TCPConn) func(p []byte) (int, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil
	}
	var refused error
	err = raw.Control(func(fd uintptr) {
		// The form with 64 bits, which is the same on every architecture.
		refused = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_TIMESTAMPNS_NEW, 1)
	})
	if err != nil || refused != nil {
		return nil
	}
	r := &stampedRead{late: l, conn: conn, raw: raw}
	r.call = r.receive
	return r.read
}

// stampedRead is one read after another. It is made once a connection, so that
// reads allocate nothing.
type stampedRead struct {
	late *lateness
	conn *net.TCPConn
	raw  syscall.RawConn
	call func(fd uintptr) bool // receive

	into    []byte
	control [64]byte // room for the stamp's control message, of 32 bytes
	n, size int      // of into, of control
	err     error
}

func (r *stampedRead) read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	r.into = p
	began := time.Now()
	if err := r.raw.Read(r.call); err != nil {
		return 0, err // its deadline passed, or it was closed
	}
	r.into = nil
	switch {
	case r.err != nil:
		return 0, &net.OpError{Op: "read", Net: "tcp", Source: r.conn.LocalAddr(), Addr: r.conn.RemoteAddr(),
			Err: os.NewSyscallError("recvmsg", r.err)}
	case r.n == 0:
		return 0, io.EOF
	}
	r.late.read(began, stamp(r.control[:r.size]))
	return r.n, nil
}

// receive is called when there may be something to read, and is false if there
// was nothing.
func (r *stampedRead) receive(fd uintptr) bool {
	for {
		r.n, r.size, _, _, r.err = unix.Recvmsg(int(fd), r.into, r.control[:], 0)
		if !errors.Is(r.err, unix.EINTR) {
			return !errors.Is(r.err, unix.EAGAIN)
		}
	}
}

// stamp is the time in the control messages of a read, a cmsghdr and then
// seconds and nanoseconds; zero: there is none.
func stamp(control []byte) time.Time {
	const size = 16 // of the time
	if len(control) < unix.CmsgSpace(size) {
		return time.Time{} // it was there before the kernel was asked to stamp
	}
	header, data, _, err := unix.ParseOneSocketControlMessage(control)
	if err != nil || header.Level != unix.SOL_SOCKET || header.Type != unix.SO_TIMESTAMPNS_NEW {
		return time.Time{}
	}
	return time.Unix(int64(binary.NativeEndian.Uint64(data)), int64(binary.NativeEndian.Uint64(data[8:])))
}

// firstRoundTrip is the round trip time of a connection that has only just been
// made. The kernel has none if the SYN had to be sent again, and false is given.
func firstRoundTrip(conn *net.TCPConn) (trip time.Duration, ok bool) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, false
	}
	_ = raw.Control(func(fd uintptr) {
		info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		if ok = err == nil && info.Rtt > 0 && info.Total_retrans == 0; ok {
			trip = time.Duration(info.Rtt) * time.Microsecond
		}
	})
	return trip, ok
}
