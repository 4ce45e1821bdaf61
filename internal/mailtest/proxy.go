package mailtest

import (
	"io"
	"net"
	"sync"
	"time"
)

// Stream says how a proxy forwards one direction. The zero value forwards everything
// at once, as it is.
type Stream struct {
	Slice int           // write in pieces of this many bytes; 0: as they come
	CutAt int           // the first bytes, this many, are forwarded separately from the rest; 0: they are not
	Delay time.Duration // before each piece

	// After this many bytes, if not 0, the stream ends: ResetAt resets both
	// sides, CloseAt sends FIN to both, StallAt swallows what follows.
	ResetAt, CloseAt, StallAt int

	Tee io.Writer // also receives what is forwarded, of every connection; nil: none
}

// cutPause is the time between the two pieces of CutAt, so that they are read separately.
const cutPause = 2 * time.Millisecond

// Proxy is a proxy on loopback that forwards bytes to a target and disturbs them as the
// streams say. Close ends it.
type Proxy struct {
	listener

	target   string
	up, down Stream // from client to target, and back
}

// StartProxy runs a proxy in front of target until Close. up is the stream from
// the client, down the one back to it.
func StartProxy(target string, up, down Stream) (*Proxy, error) {
	p := &Proxy{target: target, up: up, down: down}
	if err := p.listen(""); err != nil {
		return nil, err
	}
	p.run(p.carry)
	return p, nil
}

// carry copies both ways until both have ended.
func (p *Proxy) carry(from net.Conn) {
	dialled, err := net.Dial("tcp", p.target)
	if err != nil {
		return
	}
	if !p.enter(dialled) {
		return
	}
	defer p.leave(dialled)
	client, target := from.(*trackedConn).TCPConn, dialled.(*net.TCPConn)
	var both sync.WaitGroup
	both.Go(func() { p.stream(target, client, p.up) })
	both.Go(func() { p.stream(client, target, p.down) })
	both.Wait()
}

// stream copies one way. An end of the stream is passed on as FIN.
func (p *Proxy) stream(to, from *net.TCPConn, s Stream) {
	carried := 0
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		for data := buffer[:n]; len(data) > 0; {
			piece := data[:s.next(carried, len(data))]
			if !p.pass(to, piece, s, carried) {
				return
			}
			carried += len(piece)
			data = data[len(piece):]
			if s.over(to, from, carried) {
				return
			}
		}
		if err != nil {
			_ = to.CloseWrite()
			return
		}
	}
}

// next is the size of the piece to carry at an offset, so that no piece crosses
// a cut or an end.
func (s Stream) next(carried, have int) int {
	size := have
	if s.Slice > 0 {
		size = min(size, s.Slice)
	}
	for _, edge := range []int{s.CutAt, s.ResetAt, s.CloseAt, s.StallAt} {
		if edge > carried {
			size = min(size, edge-carried)
		}
	}
	return size
}

// pass writes a piece after its delay and reports whether to go on. Close ends
// the delay.
func (p *Proxy) pass(to net.Conn, piece []byte, s Stream, carried int) bool {
	if s.StallAt > 0 && carried >= s.StallAt {
		return true // swallowed
	}
	delay := s.Delay
	if s.CutAt > 0 && carried == s.CutAt {
		delay += cutPause
	}
	if !p.pause(delay) {
		return false
	}
	if s.Tee != nil {
		_, _ = s.Tee.Write(piece)
	}
	_, err := to.Write(piece)
	return err == nil
}

// over ends both sides where the stream is to end, and reports whether it did.
func (s Stream) over(to, from *net.TCPConn, carried int) bool {
	switch {
	case s.ResetAt > 0 && carried >= s.ResetAt:
		_, _ = to.SetLinger(0), from.SetLinger(0)
	case s.CloseAt > 0 && carried >= s.CloseAt:
	default:
		return false
	}
	_, _ = to.Close(), from.Close()
	return true
}
