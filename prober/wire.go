package prober

// This file is the one net.Conn under every library. It alone reads from and
// writes to the socket, and it knows no protocol: dialects hang in a lineFilter
// and an outgoing hook.

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"
	"time"

	"mailprobe/mail"
)

// maxLine bounds one line, in bytes without its line end.
const maxLine = 8 << 10

// bounds limit what a session reads. A bound that is passed is the reason
// protocol_oversize.
type bounds struct {
	replyLines int // lines between two of our commands
	replyBytes int // bytes between two of our commands
	session    int // bytes read below TLS
	literal    int // bytes of one IMAP literal
}

// probeBounds are those of a probe. A courier also reads headers of messages.
var (
	probeBounds   = bounds{replyLines: 100, replyBytes: 64 << 10, session: 256 << 10, literal: 16 << 10}
	courierBounds = bounds{replyLines: 3000, replyBytes: 256 << 10, session: 8 << 20, literal: 64 << 10}
)

// lineReaders are the buffers of wires that are closed, used again.
var lineReaders = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, maxLine+2) }}

// A lineFilter gets each line of the server, with its line end, before a library
// does. It returns the line to pass on, or nil to drop it, or an error that ends the
// session.
type lineFilter func(line []byte) ([]byte, error)

// An outgoing hook gets what a library writes and returns the bytes to send; if
// empty, nothing is sent.
type outgoing func(p []byte) ([]byte, error)

// wire makes a connection safe for the libraries: it hands out one whole line a
// Read, so that none of them can hold bytes back across a STARTTLS; it bounds
// lines, replies and the session; it takes its deadline from the probe alone;
// and it keeps the first transport error, because libraries lose it.
type wire struct {
	raw  *byteLimitedConn
	tls  *tls.Conn // nil until startTLS
	log  *transcript
	stop func() bool // ends the watch on the probe's context, for hangUp

	bounds bounds

	filter   lineFilter // nil: lines pass as they are
	outgoing outgoing   // nil: writes pass as they are
	lockstep bool       // an answer before its command is malformed (POP3, SMTP)

	readMu        sync.Mutex // held while reading; go-imap reads in a goroutine of its own
	in            *bufio.Reader
	pending       []byte // rest of the line being handed out
	firstByteSeen bool   // the server's first byte was looked at

	mu         sync.Mutex // guards the fields below
	replyLines int
	replyBytes int
	err        error // first transport error, or first bound passed
	closing    bool  // the goodbye has its own time
	loggingIn  bool  // an answer to a credential is due
	calledOff  bool  // meanwhile the probe was called off
	closed     bool  // by the library; only our own send still works
}

// newWire takes over a TCP connection. The context is the probe's: its deadline
// is the only one, and its end stops every call at once. delay adds up how much
// later than the kernel the bytes were read.
func newWire(ctx context.Context, conn net.Conn, log *transcript, delay *schedulingDelay, b bounds) *wire {
	w := &wire{raw: &byteLimitedConn{Conn: conn, read: delay.reader(conn), size: b.session, left: b.session}, log: log, bounds: b}
	w.in = lineReaders.Get().(*bufio.Reader)
	w.in.Reset(w.raw)
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline)
	}
	w.stop = context.AfterFunc(ctx, func() { w.interrupt(ctx) })
	return w
}

// verdictTime is what a server still gets to answer a credential when the probe is
// called off: the answer decides whether the login may be tried again.
const verdictTime = 2 * time.Second

// interrupt ends every call at once because the probe's context ended. A goodbye
// under way still gets a short time for its reply, and so does a login whose
// credential has left, unless its time is over.
func (w *wire) interrupt(ctx context.Context) {
	w.mu.Lock()
	defer w.mu.Unlock()
	calledOff := errors.Is(context.Cause(ctx), context.Canceled)
	switch {
	case w.closing:
		_ = w.raw.SetDeadline(time.Now().Add(interruptedGoodbyeTime))
	case calledOff && w.loggingIn && w.log.secretWasSent():
		w.calledOff = true
		end := time.Now().Add(verdictTime)
		if deadline, ok := ctx.Deadline(); ok && deadline.Before(end) {
			end = deadline
		}
		_ = w.raw.SetDeadline(end)
	default:
		_ = w.raw.SetDeadline(time.Unix(1, 0))
	}
}

// beginLogin says that a credential is about to be sent, and endLogin that its
// answer is here, or will not come. endLogin returns an error if the probe was
// called off meanwhile.
func (w *wire) beginLogin() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.loggingIn = true
}

func (w *wire) endLogin() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.loggingIn = false
	if !w.calledOff {
		return nil
	}
	_ = w.raw.SetDeadline(time.Unix(1, 0))
	return context.Canceled
}

// startTLS does the handshake in place, for implicit TLS and for STARTTLS alike.
// Bytes that came before it are an injection (CVE-2021-22947, rule R04): no
// library may see them, before or after. The caller makes sure that no read runs.
func (w *wire) startTLS(config *tls.Config) (tls.ConnectionState, error) {
	w.readMu.Lock()
	defer w.readMu.Unlock()
	if n := w.in.Buffered() + len(w.pending); n > 0 {
		return tls.ConnectionState{}, w.fail(&fault{reason: mail.StartTLSInjected,
			err: fmt.Errorf("%d bytes of clear text before the handshake", n)})
	}
	conn := tls.Client(w.raw, config)
	// Without a context: the wire's deadline and interrupt end it.
	if err := conn.Handshake(); err != nil {
		return conn.ConnectionState(), w.fail(err)
	}
	w.tls = conn
	// A fresh reader: nothing read in clear text survives the handshake.
	w.in.Reset(conn)
	return conn.ConnectionState(), nil
}

// encrypted reports whether TLS is up.
func (w *wire) encrypted() bool { return w.tls != nil }

// conn returns the TLS connection if TLS is up, else the TCP connection.
func (w *wire) conn() net.Conn {
	if w.tls != nil {
		return w.tls
	}
	return w.raw
}

// Read hands a library at most one line.
func (w *wire) Read(p []byte) (int, error) {
	w.readMu.Lock()
	defer w.readMu.Unlock()
	for len(w.pending) == 0 {
		// go-imap reads on after a refused line.
		if err := w.failed(); err != nil {
			return 0, err
		}
		line, err := w.nextLine()
		if err != nil {
			return 0, err
		}
		w.pending = line
	}
	n := copy(p, w.pending)
	w.pending = w.pending[n:]
	return n, nil
}

// readLine returns one line to our own dialogues, unfiltered and without line end.
func (w *wire) readLine() (string, error) {
	w.readMu.Lock()
	defer w.readMu.Unlock()
	line, err := w.rawLine()
	return string(trimEOL(line)), err
}

// skipLine reads one line for the filter alone.
func (w *wire) skipLine() error {
	w.readMu.Lock()
	defer w.readMu.Unlock()
	line, err := w.rawLine()
	if err != nil {
		return err
	}
	if _, err := w.filter(line); err != nil {
		return w.fail(err)
	}
	return nil
}

// replay makes a library read line first, as if the server had sent it.
func (w *wire) replay(line string) {
	w.readMu.Lock()
	defer w.readMu.Unlock()
	w.pending = append(w.pending, line...)
}

// nextLine reads one line and passes it through the filter; nil if dropped. A
// reader buffer's slice does not survive the next read, so the line is copied.
func (w *wire) nextLine() ([]byte, error) {
	line, err := w.rawLine()
	if err != nil {
		return nil, err
	}
	if w.filter == nil {
		return bytes.Clone(line), nil
	}
	passed, err := w.filter(line)
	if err != nil {
		return nil, w.fail(err)
	}
	return bytes.Clone(passed), nil
}

// rawLine reads one line with its line end, checks it and counts it. The slice
// is good until the next read.
func (w *wire) rawLine() ([]byte, error) {
	if err := w.expectClear(); err != nil {
		return nil, w.fail(err)
	}
	line, err := w.in.ReadSlice('\n')
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		return nil, w.fail(oversizef("a line is longer than %d bytes", maxLine))
	case errors.Is(err, io.EOF) && len(line) > 0:
		return nil, w.fail(io.ErrUnexpectedEOF) // half a line is not parsed
	case err != nil:
		return nil, w.fail(err)
	}
	text := trimEOL(line)
	w.log.server(text)
	switch {
	case bytes.IndexByte(text, 0) >= 0:
		return nil, w.fail(malformedf("a line contains NUL"))
	case bytes.IndexByte(text, '\r') >= 0:
		return nil, w.fail(malformedf("a line contains a bare CR"))
	}
	return line, w.count(len(line))
}

// expectClear checks the first byte in clear. A TLS record has no line end and its
// sender waits for our handshake, so that waiting for a line would end in a timeout.
func (w *wire) expectClear() error {
	if w.firstByteSeen || w.tls != nil {
		return nil
	}
	w.firstByteSeen = true
	first, err := w.in.Peek(1)
	if err == nil && isTLSRecord(first) {
		return &fault{reason: mail.ProtocolMalformed, hint: tlsFirstHint, err: errors.New("a TLS record instead of a greeting")}
	}
	return err // Peek returns an error of the system once only
}

// count adds a line to the reply under way.
func (w *wire) count(n int) error {
	w.mu.Lock()
	w.replyLines++
	w.replyBytes += n
	lines, size := w.replyLines, w.replyBytes
	w.mu.Unlock()
	switch {
	case lines > w.bounds.replyLines:
		return w.fail(oversizef("a reply has more than %d lines", w.bounds.replyLines))
	case size > w.bounds.replyBytes:
		return w.fail(oversizef("a reply is larger than %d bytes", w.bounds.replyBytes))
	}
	return nil
}

// Write sends a library's bytes after the outgoing hook has seen them.
func (w *wire) Write(p []byte) (int, error) {
	if w.closedByLibrary() {
		return 0, net.ErrClosed
	}
	if w.lockstep && w.hasUnread() {
		return 0, w.fail(unsolicitedReply())
	}
	out := p
	if w.outgoing != nil {
		var err error
		if out, err = w.outgoing(p); err != nil {
			return 0, w.fail(err)
		}
	}
	if len(out) == 0 {
		return len(p), nil
	}
	return len(p), w.send(out)
}

// closedByLibrary reports whether the library has called Close.
func (w *wire) closedByLibrary() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.closed
}

// hasUnread reports whether server bytes are buffered although no command is under
// way. In the lockstep protocols no read runs while we write.
func (w *wire) hasUnread() bool {
	w.readMu.Lock()
	defer w.readMu.Unlock()
	return w.in.Buffered()+len(w.pending) > 0
}

// unread returns the buffered server bytes, valid until the next read. Only a
// filter may call it, or a dialect while no library reads.
func (w *wire) unread() []byte {
	lying, _ := w.in.Peek(w.in.Buffered())
	return lying
}

// send writes bytes as they are and begins a new reply.
func (w *wire) send(p []byte) error {
	w.mu.Lock()
	w.replyLines, w.replyBytes = 0, 0
	w.mu.Unlock()
	w.log.client(p)
	if _, err := w.conn().Write(p); err != nil {
		_ = w.fail(err)
		if w.lockstep { // else a library's read runs, and the dialect calls readAlert after it
			w.readAlert()
		}
		return w.failed()
	}
	return nil
}

// readAlert reads the TLS alert of a peer that has closed. A TLS 1.3 server refuses
// our certificate when the handshake is over on our side, so that our first write
// can fail before the alert was read. It must not run while a library reads.
func (w *wire) readAlert() {
	if w.tls == nil || !isPeerGone(w.failed()) {
		return
	}
	_ = w.raw.SetReadDeadline(time.Now().Add(interruptedGoodbyeTime))
	w.readMu.Lock()
	defer w.readMu.Unlock()
	if _, err := w.in.Peek(1); err != nil {
		_ = w.fail(err)
	}
}

// fail keeps the first error and returns err. An alert replaces the error of a
// write to a closed peer, because it says why the peer closed.
func (w *wire) fail(err error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil {
		w.err = err
	} else if _, isAlert := alertWords(err); isAlert && isPeerGone(w.err) {
		w.err = err
	}
	return err
}

// isPeerGone reports whether err is that of a write to a peer that has closed.
func isPeerGone(err error) bool {
	return errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET)
}

// failed returns the first transport error; nil: none yet.
func (w *wire) failed() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// extend sets the goodbye's own deadline, also after the probe's context ended.
func (w *wire) extend(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closing = true
	_ = w.raw.SetDeadline(time.Now().Add(d))
}

// drain reads until the server closes or the deadline passes. If the server closes
// first, TIME_WAIT and the port that it occupies are on its side.
func (w *wire) drain() error {
	for range w.bounds.replyLines {
		if _, err := w.readLine(); err != nil {
			return err
		}
	}
	return nil
}

// hangUp closes the TCP connection itself, because closing TLS can wait 5 s for a
// peer that stopped reading. abrupt sends a reset, for a peer that does not answer,
// so that the socket does not stay in FIN_WAIT.
func (w *wire) hangUp(abrupt bool) {
	w.stop()
	switch lingerer, ok := w.raw.Conn.(interface{ SetLinger(int) error }); {
	case abrupt && ok:
		_ = lingerer.SetLinger(0)
	case !abrupt && w.tls != nil && w.failed() == nil:
		_ = w.raw.SetDeadline(time.Now().Add(50 * time.Millisecond))
		_ = w.tls.CloseWrite() // close_notify, so that the server's log stays clean
	}
	_ = w.raw.Close()
}

// release gives the buffer back. No library may read any more.
func (w *wire) release() {
	_ = w.fail(net.ErrClosed)
	w.readMu.Lock()
	defer w.readMu.Unlock()
	w.in.Reset(nil)
	lineReaders.Put(w.in)
	w.in = nil
}

// Close is called by libraries at any time and keeps the connection open; only
// hangUp closes it. Library writes fail from then on: go-imap begins a command
// after its reader has stopped, and would wait for the reply forever.
func (w *wire) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	return nil
}

// LocalAddr and RemoteAddr are those of the TCP connection.
func (w *wire) LocalAddr() net.Addr  { return w.raw.LocalAddr() }
func (w *wire) RemoteAddr() net.Addr { return w.raw.RemoteAddr() }

// The SetDeadline methods do nothing: libraries set deadlines of their own and
// clear them afterwards, which would remove the probe's.
func (w *wire) SetDeadline(time.Time) error      { return nil }
func (w *wire) SetReadDeadline(time.Time) error  { return nil }
func (w *wire) SetWriteDeadline(time.Time) error { return nil }

var _ net.Conn = (*wire)(nil)
