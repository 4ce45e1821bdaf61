package exporter_test

import (
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"

	"mailprobe/internal/promtest"
	"mailprobe/internal/subprocess"
)

// With a limit of 256 descriptors and three hundred clients that only connect, probes and
// scrapes still get the descriptors that they need.
func TestIdleClientsLeaveProbesTheirDescriptors(t *testing.T) {
	t.Parallel()
	address := subprocess.FreeAddress(t)
	config := configure(t, connection(t, "inbox", honest(t).Addr, "interval", "1s", "timeout", "1s"))
	program := subprocess.StartFor(t, exec.Command("sh", "-c", `ulimit -n 256; exec "$@"`, "sh",
		binary(t), "--config.file="+config, "--web.listen-address="+address))
	url := "http://" + address
	promtest.Eventually(t, "an answer", func() bool {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
	for range 300 {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	success := `mailprobe_last_success_timestamp_seconds{connection="inbox",protocol="imap"}`
	before := float64(time.Now().Unix())
	promtest.Eventually(t, "successes beside the idle clients", func() bool { return value(t, url, success) > before+2 })
	if limit := value(t, url, "mailprobe_pool_limit"); limit != 42 {
		t.Errorf("%v probes at once with 256 descriptors, want 42", limit)
	}
	if _, body := get(t, url+"/metrics"); strings.Contains(body, `reason="local_resources"`) {
		t.Error("a probe ran out of descriptors")
	}
	program.Stop(10 * time.Second)
}
