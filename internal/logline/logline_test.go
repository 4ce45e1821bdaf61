package logline

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Fault 137: a pipe that is not read.
func TestWriterNeverWaitsForItsReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		read, pipe := io.Pipe()
		w := New(pipe, func(n uint64) []byte { return fmt.Appendf(nil, "%d dropped\n", n) })
		log := slog.New(slog.NewTextHandler(w, nil))
		start := time.Now()
		for i := range waiting + 100 {
			log.Info("a line", "number", i)
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("writing waited %v for nobody", took)
		}
		if n := w.Dropped(); n < 99 || n > 100 { // one line may be on its way
			t.Errorf("%d lines dropped, want about 100", n)
		}
		var got bytes.Buffer
		done := make(chan struct{})
		go func() { _, _ = io.Copy(&got, read); close(done) }()
		w.Close(time.Second)
		_ = pipe.Close()
		<-done
		lines := strings.Split(strings.TrimSpace(got.String()), "\n")
		if !strings.HasSuffix(lines[0], "number=0") || !strings.HasSuffix(lines[1], " dropped") {
			t.Errorf("the log begins %q", lines[:2])
		}
		if want := waiting + 100 - int(w.Dropped()) + 1; len(lines) != want {
			t.Errorf("%d lines came through, want %d", len(lines), want)
		}
	})
}

func TestWriterGivesUpAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		read, pipe := io.Pipe()
		w := New(pipe, nil)
		_, _ = io.WriteString(w, "a line that is never read\n")
		start := time.Now()
		w.Close(time.Second)
		if took := time.Since(start); took != time.Second {
			t.Errorf("closing took %v, want its patience", took)
		}
		_ = read.Close() // lets the goroutine go
		if n, err := io.WriteString(w, "late\n"); n != 5 || err != nil {
			t.Errorf("a late line: %d, %v", n, err)
		}
		w.Close(time.Second)
	})
}
