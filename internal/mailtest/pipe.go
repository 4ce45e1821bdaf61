package mailtest

import (
	"bytes"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Pipe returns both ends of a connection in memory. Unlike net.Pipe it has a buffer, so
// that a TLS alert or a QUIT does not block its sender; unlike a socket it can be used in
// a testing/synctest bubble.
//
// limit is the number of bytes in each direction that may wait to be read before a write
// blocks, like a TCP window; 0: no limit.
func Pipe(limit int) (client, server *PipeConn) {
	up, down := newHalf(limit), newHalf(limit)
	end := func(in, out *half, local, remote int) *PipeConn {
		return &PipeConn{in: in, out: out, local: pipeAddr(local), remote: pipeAddr(remote), gone: make(chan struct{})}
	}
	return end(down, up, 40000, 25), end(up, down, 25, 40000)
}

// PipeTo starts to play a script and returns the client's end of a Pipe to it. The channel
// returns the session when the script has ended; it need not be read.
func PipeTo(script *Script, o ScriptOptions) (*PipeConn, <-chan Session) {
	client, server := Pipe(0)
	session := make(chan Session, 1)
	go func() { session <- script.Play(server, o, client.gone) }()
	return client, session
}

// PipeConn is one end of a Pipe. Its methods may be called by several
// goroutines at once.
type PipeConn struct {
	in, out       *half
	local, remote net.Addr
	once          sync.Once
	abrupt        atomic.Bool   // Close resets
	gone          chan struct{} // closed by Close
}

// half is one direction.
type half struct {
	mu    sync.Mutex
	moved *sync.Cond // signals every change of what follows
	data  bytes.Buffer
	limit int

	end        error // returned to the reader after the data; nil while open
	readClosed bool  // the reader has closed

	readDeadline, writeDeadline deadline
}

func newHalf(limit int) *half {
	h := &half{limit: limit}
	h.moved = sync.NewCond(&h.mu)
	return h
}

// deadline ends the waiting of calls. It is guarded by half.mu.
type deadline struct {
	timer   *time.Timer
	expired bool
}

// setLocked replaces the deadline; a zero time means none. The timer takes the lock to
// wake the waiting calls; one that was replaced meanwhile does nothing.
func (d *deadline) setLocked(h *half, t time.Time) {
	if d.timer != nil {
		d.timer.Stop()
	}
	d.timer, d.expired = nil, false
	if t.IsZero() {
		return
	}
	left := time.Until(t)
	if left <= 0 {
		d.expired = true
		h.moved.Broadcast()
		return
	}
	var timer *time.Timer
	timer = time.AfterFunc(left, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		if d.timer == timer {
			d.expired = true
			h.moved.Broadcast()
		}
	})
	d.timer = timer
}

func (d *deadline) stopLocked() {
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
}

func (c *PipeConn) Read(p []byte) (int, error) {
	h := c.in
	h.mu.Lock()
	defer h.mu.Unlock()
	for {
		switch {
		case h.readClosed:
			return 0, opError(c, "read", net.ErrClosed)
		case h.readDeadline.expired:
			return 0, opError(c, "read", os.ErrDeadlineExceeded)
		case len(p) == 0:
			return 0, nil
		case h.data.Len() > 0:
			n, _ := h.data.Read(p)
			h.moved.Broadcast()
			return n, nil
		case h.end == io.EOF:
			return 0, io.EOF
		case h.end != nil:
			return 0, opError(c, "read", h.end)
		}
		h.moved.Wait()
	}
}

func (c *PipeConn) Write(p []byte) (int, error) {
	h := c.out
	h.mu.Lock()
	defer h.mu.Unlock()
	written := 0
	for {
		switch {
		case h.end == io.EOF:
			return written, opError(c, "write", net.ErrClosed)
		case h.end != nil || h.readClosed:
			return written, opError(c, "write", syscall.EPIPE)
		case h.writeDeadline.expired:
			return written, opError(c, "write", os.ErrDeadlineExceeded)
		}
		room := len(p) - written
		if h.limit > 0 {
			room = min(room, h.limit-h.data.Len())
		}
		if room > 0 {
			h.data.Write(p[written : written+room])
			written += room
			h.moved.Broadcast()
		}
		if written == len(p) {
			return written, nil
		}
		h.moved.Wait()
	}
}

// Close ends both directions. The peer reads what is buffered, then EOF, or ECONNRESET
// after SetLinger(0).
func (c *PipeConn) Close() error {
	c.once.Do(func() {
		end := io.EOF
		if c.abrupt.Load() {
			end = error(syscall.ECONNRESET)
		}
		c.out.finish(end)
		c.in.mu.Lock()
		defer c.in.mu.Unlock()
		c.in.readClosed = true
		c.in.readDeadline.stopLocked()
		c.in.moved.Broadcast()
		close(c.gone)
	})
	return nil
}

// CloseWrite ends the direction away from this end.
func (c *PipeConn) CloseWrite() error {
	c.out.finish(io.EOF)
	return nil
}

// SetLinger with 0 makes Close reset the connection, as on a TCP socket. It
// must be called before Close.
func (c *PipeConn) SetLinger(seconds int) error {
	c.abrupt.Store(seconds == 0)
	return nil
}

func (h *half) finish(end error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.end == nil {
		h.end = end
	}
	h.writeDeadline.stopLocked()
	h.moved.Broadcast()
}

func (c *PipeConn) LocalAddr() net.Addr  { return c.local }
func (c *PipeConn) RemoteAddr() net.Addr { return c.remote }

func (c *PipeConn) SetDeadline(t time.Time) error {
	_ = c.SetReadDeadline(t)
	return c.SetWriteDeadline(t)
}

func (c *PipeConn) SetReadDeadline(t time.Time) error {
	c.in.mu.Lock()
	defer c.in.mu.Unlock()
	c.in.readDeadline.setLocked(c.in, t)
	return nil
}

func (c *PipeConn) SetWriteDeadline(t time.Time) error {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	c.out.writeDeadline.setLocked(c.out, t)
	return nil
}

func pipeAddr(port int) net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port} }
