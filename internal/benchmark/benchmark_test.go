//go:build linux

package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// play runs a role in this process; ask sends it a line and returns its answer.
func play(t *testing.T, role func([]string, io.Reader, io.Writer) error, args ...string) (ready string, ask func(string) string) {
	t.Helper()
	stdin, in := io.Pipe()
	out, stdout := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := role(args, stdin, stdout)
		_ = stdout.CloseWithError(err)
		ended <- err
	}()
	t.Cleanup(func() {
		_ = in.Close()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	lines := bufio.NewScanner(out)
	answer := func() string {
		if !lines.Scan() {
			t.Fatal(lines.Err())
		}
		return lines.Text()
	}
	return answer(), func(line string) string {
		fmt.Fprintln(in, line)
		return answer()
	}
}

// The hand-written client speaks with the server, which counts its dialogues.
func TestBareDialogueIsCounted(t *testing.T) {
	dir := t.TempDir()
	ready, sessions := play(t, runServer, "-dir", dir, "-targets", "3", "-clients", "1")
	words := strings.Fields(ready)
	if len(words) != 3 || words[0] != readyLine {
		t.Fatalf("%q, want %q and the ports of two clients", ready, readyLine)
	}
	_, bare := play(t, runBare, "-ports", words[1], "-ca", filepath.Join(dir, caName), "-targets", "3")
	for _, command := range []string{"pace 50 100ms", "saturate 2 20ms"} {
		before := sessions("")
		if ns, err := strconv.Atoi(bare(command)); err != nil || ns <= 0 || time.Duration(ns) > time.Minute {
			t.Errorf("%s: a handshake took %d ns, %v", command, ns, err)
		}
		if after := sessions(""); after == before {
			t.Errorf("%s: still %q sessions", command, after)
		}
	}
	if got := strings.Fields(sessions("")); got[1] != "0" {
		t.Errorf("%s sessions at the slow ports, want none", got[1])
	}
}

func TestTableComparesWithTheBareDialogue(t *testing.T) {
	var found table
	found.ratios("CPU", []round{
		{bareName: {probes: 10, cpu: 10 * time.Millisecond}, "mailprobe": {probes: 10, cpu: 12 * time.Millisecond}},
		{bareName: {probes: 10, cpu: 30 * time.Millisecond}, "mailprobe": {probes: 10, cpu: 33 * time.Millisecond}},
		{bareName: {probes: 5, cpu: 5 * time.Millisecond}, "mailprobe": {probes: 2, cpu: 8 * time.Millisecond}},
	})
	var text strings.Builder
	if err := found.print(&text); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"| CPU | bare | 1.00 | 1000 µs; rounds 1.00 to 1.00 |", "| CPU | mailprobe | 1.20 | 3300 µs; rounds 1.10 to 4.00 |"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("%s\nwant the line %s", text.String(), want)
		}
	}
}

func TestFlagsNameWhatIsWrong(t *testing.T) {
	for args, want := range map[string]string{
		"-only everything":           `-only: there is no part "everything"`,
		"-mailprobe x=/no/binary":    "/no/binary",
		"more":                       `unexpected argument "more"`,
		"server -clients 1 -dir /no": "/no",
	} {
		err := run(context.Background(), strings.Fields(args), strings.NewReader(""), io.Discard, io.Discard)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want an error with %s", args, err, want)
		}
	}
}

// Outside of the source tree it says at once what it cannot do there.
func TestElsewhereItSaysThatItNeedsTheSourceTree(t *testing.T) {
	t.Chdir(t.TempDir())
	binary := "-mailprobe /proc/self/exe "
	for _, args := range []string{"", "-only scale", binary, binary + "-only scale,schedule"} {
		err := run(t.Context(), strings.Fields(args), strings.NewReader(""), io.Discard, io.Discard)
		if err == nil || !strings.Contains(err.Error(), "source tree") {
			t.Errorf("%s: %v, want an error that names the source tree", args, err)
		}
	}
	s := settings{mailprobes: []build{{}}, only: "steady"}
	wanted, err := s.wanted()
	if err != nil || len(wanted) != 1 || s.checkTree(t.Context(), wanted) != nil {
		t.Errorf("parts %v, %v, want steady, which needs binaries alone", wanted, err)
	}
}
