package cli

// This file asks questions on a terminal.

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"golang.org/x/term"
)

// errInterrupted ends a command that a person has left with Ctrl-C.
var errInterrupted = errors.New("interrupted")

// Terminal asks questions on a terminal. A nil Terminal means that there is none.
type Terminal struct {
	in    *os.File
	out   io.Writer
	lines *bufio.Reader

	reading sync.WaitGroup // a read goes on when its question was interrupted
}

// NewTerminal reads answers from in and writes questions to out; it returns nil
// if in is no terminal.
func NewTerminal(in *os.File, out io.Writer) *Terminal {
	if !term.IsTerminal(int(in.Fd())) {
		return nil
	}
	return &Terminal{in: in, out: out, lines: bufio.NewReader(in)}
}

// Line asks for one line, without the blanks around it.
func (t *Terminal) Line(ctx context.Context, prompt string) (string, error) {
	line, err := t.ask(ctx, prompt, func() (string, error) { return t.lines.ReadString('\n') })
	return strings.TrimSpace(line), err
}

// Secret asks for one line that is not shown as it is typed.
func (t *Terminal) Secret(ctx context.Context, prompt string) (string, error) {
	fd := int(t.in.Fd())
	secret, err := t.ask(ctx, prompt, func() (string, error) {
		raw, err := term.ReadPassword(fd)
		return string(raw), err
	})
	fmt.Fprintln(t.out) // the person's own line end was not shown either
	return secret, err
}

// ask waits for an answer or for the end of ctx, which Ctrl-C brings: the program
// catches that signal, so the read itself goes on.
func (t *Terminal) ask(ctx context.Context, prompt string, read func() (string, error)) (string, error) {
	fd := int(t.in.Fd())
	before, err := term.GetState(fd)
	if err != nil {
		return "", err
	}
	fmt.Fprint(t.out, prompt)
	type answer struct {
		text string
		err  error
	}
	answers := make(chan answer, 1)
	t.reading.Go(func() {
		text, err := read()
		answers <- answer{text, err}
	})
	select {
	case <-ctx.Done():
		_ = term.Restore(fd, before) // what is typed next is shown again
		fmt.Fprintln(t.out)
		return "", errInterrupted
	case a := <-answers:
		if errors.Is(a.err, io.EOF) {
			return "", errInterrupted // Ctrl-D
		}
		return a.text, a.err
	}
}
