package cli

import (
	"context"
	"errors"
	"os"
	"strconv"
	"testing"
)

// Ctrl-C at any question of discover and import leaves nothing behind, and the
// terminal as it was.
func TestDiscoverAndImportInterruptedAtEachQuestion(t *testing.T) {
	type step struct{ question, answer string }
	discover := []step{{"there? [y/N] ", "y"},
		{"Password of anna@example.org (blank: no login): ", password}, {"Add 3 connections to mailprobe.yml? [Y/n] ", ""}}
	imports := []step{{"Add 1 connection to mailprobe.yml? [Y/n] ", ""}}
	for name, steps := range map[string][]step{"discover": discover, "import": imports} {
		for stop := range len(steps) + 1 { // the last time there is no interruption
			t.Run(name+" "+strconv.Itoa(stop), func(t *testing.T) {
				d, p := newDomain(t, password), newPerson(t)
				t.Chdir(t.TempDir())
				if err := errors.Join(d.ca.WriteCertificate("ca.pem"), os.WriteFile("mbsyncrc", []byte("IMAPAccount a\nHost h.example.org\nUser u\nPass x\n"), 0o600)); err != nil {
					t.Fatal(err)
				}
				ctx, interrupt := context.WithCancel(t.Context())
				defer interrupt()
				asks := NewTerminal(p.terminal, p.terminal)
				setup := SetupOptions{ConfigFile: "mailprobe.yml", Output: "table", Ask: asks, Stdout: p.terminal, Stderr: p.terminal, Resolver: d.dns.Resolver()}
				done := make(chan error, 1)
				go func() {
					if name == "import" {
						done <- Import(ctx, ImportOptions{SetupOptions: setup, Path: "mbsyncrc"})
						return
					}
					done <- Discover(ctx, DiscoverOptions{SetupOptions: setup, Address: "anna@example.org", CAFile: "ca.pem"})
				}()
				for _, s := range steps[:stop] {
					p.answer(s.question, s.answer)
				}
				if stop == len(steps) {
					if err := <-done; err != nil || len(left(t, ".")) < 4 {
						t.Errorf("%v, wrote %v\n%s", err, left(t, "."), p.screen())
					}
					return
				}
				p.wait(steps[stop].question)
				if steps[stop].answer == password {
					p.waitForNoEcho()
				}
				interrupt()
				if err := <-done; !errors.Is(err, errInterrupted) || len(left(t, ".")) != 1 {
					t.Errorf("%v, left behind %v\n%s", err, left(t, "."), p.screen())
				}
				if !p.echoes() {
					t.Error("the terminal still hides what is typed")
				}
				_, _ = p.keyboard.WriteString("\n")
				asks.reading.Wait() // the read of the terminal goes on until there is a line
			})
		}
	}
}
