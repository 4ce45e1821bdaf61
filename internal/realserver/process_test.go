package realserver

import (
	"testing"
	"time"
)

func TestLeashEndsTheServerOfADeadTest(t *testing.T) {
	p, err := run("/bin/sleep", "600")
	if err != nil {
		t.Fatal(err)
	}
	defer p.stop()
	// What the kernel does when a test binary dies: the pipe closes unsaid.
	_ = p.leash.input.Close()
	select {
	case <-p.exited:
	case <-time.After(patience):
		t.Error("the server outlives its test")
	}
}

func TestReadyTellsOfAServerThatEnded(t *testing.T) {
	p, err := run("/bin/false")
	if err != nil {
		t.Fatal(err)
	}
	defer p.stop()
	if err := p.ready([]int{freePort(t)}); err == nil {
		t.Error("a server that ended counts as ready")
	}
}

func TestNeedNamesWhatIsMissing(t *testing.T) {
	if why := missing("exim"); why == "" {
		t.Error("an unknown server counts as installed")
	}
}
