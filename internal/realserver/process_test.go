package realserver

import (
	"testing"

	"mailprobe/internal/subprocess"
)

func TestReadyReportsAServerThatEnded(t *testing.T) {
	p, err := run("/bin/false")
	if err != nil {
		t.Fatal(err)
	}
	defer p.Stop(patience)
	if err := ready(p, []int{subprocess.FreePort(t, Host)}); err == nil {
		t.Error("a server that ended counts as ready")
	}
}

func TestNeedNamesWhatIsMissing(t *testing.T) {
	if why := missing("exim"); why == "" {
		t.Error("an unknown server counts as installed")
	}
}
