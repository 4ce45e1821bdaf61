package cli

import (
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// person sits at a pseudo-terminal: reads what is shown, and types.
type person struct {
	t        *testing.T
	keyboard *os.File // and screen
	terminal *os.File // of the program

	mu    sync.Mutex
	shown strings.Builder
	read  int // of shown, by wait
}

func newPerson(t *testing.T) *person {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skip("no pseudo-terminals here: ", err)
	}
	number, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	terminal, err := os.OpenFile("/dev/pts/"+strconv.Itoa(number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	p := &person{t: t, keyboard: master, terminal: terminal}
	var reading sync.WaitGroup
	reading.Go(func() {
		buffer := make([]byte, 4096)
		for {
			n, err := master.Read(buffer)
			p.mu.Lock()
			p.shown.Write(buffer[:n])
			p.mu.Unlock()
			if err != nil {
				return
			}
		}
	})
	t.Cleanup(func() {
		_ = terminal.Close()
		reading.Wait() // the master's read fails when no terminal is open any more
		_ = master.Close()
	})
	return p
}

// screen is everything that was shown.
func (p *person) screen() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.shown.String()
}

// wait waits until a text is shown, behind the last one that was waited for.
func (p *person) wait(text string) {
	p.t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) { // another process's time
		screen := p.screen()
		if at := strings.Index(screen[p.read:], text); at >= 0 {
			p.read += at + len(text)
			return
		}
	}
	p.t.Fatalf("waited for %q in\n%s", text, p.screen())
}

// answer waits for a question and types a line.
func (p *person) answer(question, line string) {
	p.t.Helper()
	p.wait(question)
	if strings.Contains(strings.ToLower(question), "password") {
		p.waitForNoEcho()
	}
	if _, err := p.keyboard.WriteString(line + "\n"); err != nil {
		p.t.Fatal(err)
	}
}

// waitForNoEcho waits until the terminal does not show what is typed.
func (p *person) waitForNoEcho() {
	p.t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) { // a terminal has no event for it
		state, err := unix.IoctlGetTermios(int(p.terminal.Fd()), unix.TCGETS)
		if err != nil {
			p.t.Fatal(err)
		}
		if state.Lflag&unix.ECHO == 0 {
			return
		}
	}
	p.t.Fatal("the password would be shown")
}

// echoes reports whether what is typed is shown.
func (p *person) echoes() bool {
	state, err := unix.IoctlGetTermios(int(p.terminal.Fd()), unix.TCGETS)
	return err == nil && state.Lflag&unix.ECHO != 0
}
