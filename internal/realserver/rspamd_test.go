package realserver

import (
	"strings"
	"testing"
	"time"
)

func TestRspamdStartsWithoutError(t *testing.T) {
	r := StartRspamd(t, StartDnsmasq(t))
	for deadline := time.Now().Add(patience); !strings.Contains(r.Log(), "rspamd_proxy"); time.Sleep(20 * time.Millisecond) { // a log of another process
		if time.Now().After(deadline) {
			t.Fatalf("no worker: %s", r.Log())
		}
	}
}
