package kerneltime

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Reader returns a read function that uses recvmsg(2), whose control message holds
// the time at which the kernel received the last byte (SO_TIMESTAMPNS, socket(7)).
// After each read it reports when the read began and when its bytes arrived; zero:
// unknown. Reader returns nil if the kernel has no such timestamps.
func Reader(conn *net.TCPConn, report func(began, arrival time.Time)) func(p []byte) (int, error) {
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
	r := &reader{report: report, conn: conn, raw: raw}
	r.call = r.receive
	return r.read
}

// Keep has the kernel stamp what arrives until release is called, even if no connection
// is open. Without it the kernel begins some time after the first socket asks for stamps
// and ends with the last one, and each time it changes its own code on all processors.
func Keep() (release func()) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return func() {} // the stamps are only late
	}
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS_NEW, 1)
	return func() { _ = unix.Close(fd) }
}

// reader does one read after another. There is one for each connection, so
// that reads do not allocate.
type reader struct {
	report func(began, arrival time.Time)
	conn   *net.TCPConn
	raw    syscall.RawConn
	call   func(fd uintptr) bool // receive

	into    []byte
	control [64]byte // room for the stamp's control message, of 32 bytes
	message unix.Msghdr
	vector  unix.Iovec // into
	n       int        // bytes read
	errno   unix.Errno // 0: none
}

func (r *reader) read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	r.into = p
	began := time.Now()
	err := r.raw.Read(r.call)
	if err != nil && !(errors.Is(err, os.ErrDeadlineExceeded) && r.hasArrived()) {
		return 0, asRead(err) // its deadline passed, or it was closed
	}
	r.into = nil
	switch {
	case r.errno != 0:
		return 0, &net.OpError{Op: "read", Net: "tcp", Source: r.conn.LocalAddr(), Addr: r.conn.RemoteAddr(),
			Err: os.NewSyscallError("recvmsg", r.errno)}
	case r.n == 0:
		return 0, io.EOF
	}
	r.report(began, Stamp(r.control[:r.message.Controllen]))
	return r.n, nil
}

// asRead names the operation of an error as net.Conn does: people read it.
func asRead(err error) error {
	if e, ok := errors.AsType[*net.OpError](err); ok {
		e.Op = "read"
	}
	return err
}

// hasArrived receives what came before the deadline passed and was not read until
// then: this process was stopped, or had no processor.
func (r *reader) hasArrived() (received bool) {
	err := r.raw.Control(func(fd uintptr) { received = r.receive(fd) })
	return err == nil && received && r.errno == 0
}

// receive is called when the socket may be readable; it returns false if it was not.
// It is unix.Recvmsg without the sender's address, which would be allocated each time.
func (r *reader) receive(fd uintptr) bool {
	for {
		r.vector.Base = &r.into[0]
		r.vector.SetLen(len(r.into))
		r.message = unix.Msghdr{Iov: &r.vector, Control: &r.control[0]}
		r.message.SetIovlen(1)
		r.message.SetControllen(len(r.control))
		n, _, errno := unix.Syscall(unix.SYS_RECVMSG, fd, uintptr(unsafe.Pointer(&r.message)), 0)
		r.n, r.errno = int(n), errno
		if errno != unix.EINTR {
			return errno != unix.EAGAIN
		}
	}
}

// Stamp returns the time in the control messages of a read: a cmsghdr, then seconds
// and nanoseconds. It returns zero if there is none.
func Stamp(control []byte) time.Time {
	const size = 16 // of the time
	if len(control) < unix.CmsgSpace(size) {
		return time.Time{} // received before timestamps were switched on
	}
	header, data, _, err := unix.ParseOneSocketControlMessage(control)
	if err != nil || header.Level != unix.SOL_SOCKET || header.Type != unix.SO_TIMESTAMPNS_NEW {
		return time.Time{}
	}
	return time.Unix(int64(binary.NativeEndian.Uint64(data)), int64(binary.NativeEndian.Uint64(data[8:])))
}

// FirstRoundTrip returns the kernel's round trip time of a connection that has just
// been established. ok is false if the SYN was sent again: then there is none.
func FirstRoundTrip(conn *net.TCPConn) (trip time.Duration, ok bool) {
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
