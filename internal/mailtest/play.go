package mailtest

// This file plays scripts. Every wait of a player ends when the client closes the
// connection or the server is closed.

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"strings"
	"time"
)

// maxLine bounds a line of the client, and block a single write, in bytes.
const (
	maxLine = 1 << 20
	block   = 64 << 10
)

// errDone ends a script early, without a fault of the client.
var errDone = errors.New("mailtest: script is done")

// pace says how writes are cut; a size of 0 cuts nothing.
type pace struct {
	size  int
	pause time.Duration
}

// player plays one script on one connection.
type player struct {
	options *ScriptOptions
	closed  <-chan struct{}
	session *Session
	wire    *wire         // the connection as it came
	conn    net.Conn      // wire, or TLS over it
	secured *tls.Conn     // the same TLS; nil while there is none
	reader  *bufio.Reader // over conn
	vars    map[string]string
	pace    pace
	cut     int // where the next sending is cut once; 0: nowhere
}

// Play plays a script on a connection and closes the connection. It returns what happened
// when the script has ended or closed is closed.
func (s *Script) Play(conn net.Conn, o ScriptOptions, closed <-chan struct{}) Session {
	session := &Session{}
	s.play(conn, &o, closed, session)
	return session.copy()
}

func (s *Script) play(conn net.Conn, o *ScriptOptions, closed <-chan struct{}, session *Session) {
	p := &player{options: o, closed: closed, session: session, vars: map[string]string{}}
	p.wire = &wire{Conn: conn, player: p}
	p.use(p.wire)
	defer conn.Close()
	err := p.steps(s.steps)
	if err == nil {
		session.set(func(t *Session) { t.Complete = true })
		_ = p.finish()
		return
	}
	var fault *scriptFault
	if errors.As(err, &fault) {
		session.set(func(t *Session) { t.Problem = fmt.Errorf("%s:%w", s.Name, fault) })
	}
}

// scriptFault is a client that did not do what the script wanted.
type scriptFault struct {
	line int
	err  error
}

func (f *scriptFault) Error() string { return fmt.Sprintf("%d: %v", f.line, f.err) }
func (f *scriptFault) Unwrap() error { return f.err }

// steps plays lines until one fails. Only hear, skip, eof, startTLS, call and bye return
// faults; every other error means that the client has closed the connection.
func (p *player) steps(steps []step) error {
	for _, step := range steps {
		err := step.do(p)
		var fault *scriptFault
		if errors.As(err, &fault) && fault.line == 0 {
			fault.line = step.line
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (p *player) use(conn net.Conn) {
	p.conn = conn
	p.reader = bufio.NewReader(conn)
}

func (p *player) expand(text string) string {
	for name, value := range p.vars {
		text = strings.ReplaceAll(text, "{"+name+"}", value)
	}
	return text
}

// send writes, through TLS once it has begun, in the pieces that the script asks for.
func (p *player) send(text string) error {
	if cut := p.cut; cut > 0 && cut < len(text) {
		p.cut = 0
		if err := p.write(p.conn, []byte(text[:cut]), p.pace); err != nil {
			return err
		}
		text = text[cut:]
		if err := p.wait(time.Millisecond); err != nil { // so that the client reads the parts separately
			return err
		}
	}
	return p.write(p.conn, []byte(text), p.pace)
}

func (p *player) sendRaw(text string) error {
	return p.write(p.wire.Conn, []byte(text), p.wire.pace)
}

func (p *player) repeat(text string, count int) error {
	whole := 1
	if p.pace.size == 0 {
		whole = max(1, block/len(text))
	}
	joined := strings.Repeat(text, min(whole, count))
	for count > 0 {
		if count < whole {
			joined = strings.Repeat(text, count)
		}
		if err := p.write(p.conn, []byte(joined), p.pace); err != nil {
			return err
		}
		if count != forever {
			count -= min(whole, count)
		}
	}
	return nil
}

// write cuts data into pieces of the pace.
func (p *player) write(conn io.Writer, data []byte, pace pace) error {
	size := pace.size
	if size == 0 {
		size = len(data)
	}
	for len(data) > 0 {
		piece := data[:min(size, len(data))]
		if _, err := conn.Write(piece); err != nil {
			return err
		}
		data = data[len(piece):]
		if len(data) > 0 {
			if err := p.wait(pace.pause); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *player) wait(d time.Duration) error {
	if d <= 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-p.closed:
		return errDone
	}
}

// line reads one line of the client, without its end.
func (p *player) line() (string, error) {
	var line []byte
	for {
		part, err := p.reader.ReadSlice('\n')
		line = append(line, part...)
		if err != nil && (!errors.Is(err, bufio.ErrBufferFull) || len(line) > maxLine) {
			return string(line), err
		}
		if err == nil {
			text := strings.TrimSuffix(strings.TrimSuffix(string(line), "\n"), "\r")
			p.session.set(func(t *Session) { t.Lines = append(t.Lines, text) })
			return text, nil
		}
	}
}

// hear reads a line that must match, and keeps the texts of its named groups.
func (p *player) hear(pattern *regexp.Regexp, want string, optional bool) error {
	line, err := p.line()
	switch {
	case err != nil && optional && line == "":
		return errDone
	case err != nil:
		return &scriptFault{err: fmt.Errorf("want %q, got %q and %w", want, line, err)}
	}
	groups := pattern.FindStringSubmatch(line)
	if groups == nil {
		return &scriptFault{err: fmt.Errorf("want %q, got %q", want, line)}
	}
	for i, name := range pattern.SubexpNames() {
		if name != "" {
			p.vars[name] = groups[i]
		}
	}
	return nil
}

func (p *player) skip(count int) error {
	if _, err := io.CopyN(io.Discard, p.reader, int64(count)); err != nil {
		return &scriptFault{err: fmt.Errorf("want %d bytes: %w", count, err)}
	}
	return nil
}

func (p *player) eof() error {
	if _, err := p.reader.Peek(1); err == nil {
		rest, _ := p.reader.Peek(p.reader.Buffered())
		return &scriptFault{err: fmt.Errorf("want the end, got %q", rest)}
	}
	return nil
}

// startTLS does a handshake. A handshake that fails is no fault of the client: it ends the
// script and is recorded in Session.Handshake.
func (p *player) startTLS(name string) error {
	config := p.options.TLS
	if name != "" {
		config = p.options.Configs[name]
	}
	if config == nil {
		return &scriptFault{err: fmt.Errorf("no TLS configuration %q", name)}
	}
	secured := tls.Server(&buffered{Conn: p.conn, reader: p.reader}, config)
	err := secured.HandshakeContext(context.Background())
	p.session.set(func(t *Session) { t.Handshake, t.Handshakes = err, t.Handshakes+1 })
	if err != nil {
		return errDone
	}
	p.secured = secured
	p.use(&inner{Conn: secured, session: p.session})
	return nil
}

func (p *player) call(name string) error {
	do := p.options.Do[name]
	if do == nil {
		return &scriptFault{err: fmt.Errorf("no function %q", name)}
	}
	if err := do(p.conn); err != nil {
		return &scriptFault{err: err}
	}
	return nil
}

// bye answers LOGOUT or QUIT. A client that closes without it is correct too.
func (p *player) bye(protocol string) error {
	line, err := p.line()
	if err != nil {
		return errDone
	}
	goodbyes := map[string][2]string{ // the command, and what it is answered with
		IMAP: {"LOGOUT", "* BYE see you\r\n{tag} OK done\r\n"},
		POP3: {"QUIT", "+OK goodbye\r\n"},
		SMTP: {"QUIT", "221 2.0.0 goodbye\r\n"},
	}
	goodbye := goodbyes[protocol]
	if verb(protocol, line) != goodbye[0] {
		return &scriptFault{err: fmt.Errorf("want %s or the end, got %q", goodbye[0], line)}
	}
	tag, _, _ := strings.Cut(line, " ")
	return p.send(strings.ReplaceAll(goodbye[1], "{tag}", tag))
}

// stall reads until the client closes.
func (p *player) stall() error {
	for {
		if _, err := p.line(); err != nil {
			_, _ = io.Copy(io.Discard, p.reader) // the rest of a line that is too long
			return errDone
		}
	}
}

func (p *player) deaf() error {
	<-p.closed
	return errDone
}

func (p *player) shut() error {
	if half, ok := p.wire.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.New("mailtest: connection cannot be shut in one direction")
}

// finish ends the connection in order: close_notify if TLS is up, then FIN.
func (p *player) finish() error {
	if p.secured != nil {
		_ = p.secured.CloseWrite()
	}
	return p.fin()
}

// fin sends FIN and reads what is left: closing with unread bytes would send
// RST.
func (p *player) fin() error {
	if err := p.shut(); err == nil {
		_, _ = io.Copy(io.Discard, p.wire)
	}
	_ = p.wire.Close()
	return errDone
}

func (p *player) reset() error {
	if tcp, ok := p.wire.Conn.(interface{ SetLinger(int) error }); ok {
		_ = tcp.SetLinger(0) // 0 makes close send RST
	}
	_ = p.wire.Close()
	return errDone
}

// wire records what it reads below TLS, and splits what it writes.
type wire struct {
	net.Conn
	player *player
	pace   pace
}

func (w *wire) Read(b []byte) (int, error) {
	n, err := w.Conn.Read(b)
	w.player.session.set(func(t *Session) { t.Wire = append(t.Wire, b[:n]...) })
	return n, err
}

func (w *wire) Write(b []byte) (int, error) {
	if err := w.player.write(w.Conn, b, w.pace); err != nil {
		return 0, err
	}
	return len(b), nil
}

// inner records what was received through TLS, decrypted.
type inner struct {
	net.Conn
	session *Session
}

func (i *inner) Read(b []byte) (int, error) {
	n, err := i.Conn.Read(b)
	i.session.set(func(t *Session) { t.Inner = append(t.Inner, b[:n]...) })
	return n, err
}

// buffered reads through a reader that may have read bytes already.
type buffered struct {
	net.Conn
	reader *bufio.Reader
}

func (b *buffered) Read(p []byte) (int, error) { return b.reader.Read(p) }
