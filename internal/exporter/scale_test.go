package exporter_test

// The built program with ten thousand connections, one probed each 6 ms:
//
//	go test ./internal/exporter -run '^$' -bench TenThousand -benchtime 1x
//
// Each has an address of its own (Linux answers for all of 127.0.0.0/8). The
// servers run here, in the benchmark's process, so that the processor time of
// the program is its own.

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"mailprobe/internal/mailtest"
	"mailprobe/internal/subprocess"
)

const (
	thousands   = 10_000          // connections
	watched     = 2 * time.Minute // each is probed twice, the first round spread over a minute
	handshakes  = 200             // alone, to compare with
	watchedHTTP = "127.0.0.1:20925"
)

func BenchmarkTenThousand(b *testing.B) {
	if runtime.GOOS != "linux" {
		b.Skip("needs all addresses of 127.0.0.0/8")
	}
	program := filepath.Join(b.TempDir(), "mailprobe")
	if out, err := exec.Command("go", "build", "-o", program, "../..").CombinedOutput(); err != nil {
		b.Fatalf("%v: %s", err, out)
	}
	ca := mailtest.MustCA(mailtest.CAOptions{})
	listener, err := tls.Listen("tcp", "0.0.0.0:0",
		&tls.Config{Certificates: []tls.Certificate{ca.MustIssue(mailtest.Loopback())}})
	if err != nil {
		b.Fatal(err)
	}
	defer listener.Close()
	go serveThousands(listener)
	config := thousandsOf(b, ca, listener.Addr().(*net.TCPAddr).Port)
	for b.Loop() {
		watch(b, program, config)
	}
	reportAlone(b, &tls.Config{RootCAs: ca.Pool(), ServerName: "localhost"}, listener.Addr().(*net.TCPAddr).Port)
}

// thousandsOf writes the configuration.
func thousandsOf(b *testing.B, ca *mailtest.CA, port int) string {
	b.Helper()
	dir := b.TempDir()
	if err := ca.WriteCertificate(filepath.Join(dir, "ca.pem")); err != nil {
		b.Fatal(err)
	}
	var text strings.Builder
	fmt.Fprintf(&text, "defaults: {protocol: imap, port: %d, password: %s, tls_config: {ca_file: ca.pem, server_name: localhost}}\n",
		port, password)
	text.WriteString("connections:\n")
	for i := range thousands {
		fmt.Fprintf(&text, "  - {name: inbox-%05d, host: 127.1.%d.%d, username: user-%d}\n", i, i/250+1, i%250+1, i)
	}
	path := filepath.Join(dir, "mailprobe.yml")
	if err := os.WriteFile(path, []byte(text.String()), 0o600); err != nil {
		b.Fatal(err)
	}
	return path
}

// watch runs the program, asks for its metrics at the end, and reports.
func watch(b *testing.B, program, config string) {
	b.Helper()
	command := exec.Command(program, "--config.file="+config, "--web.listen-address="+watchedHTTP, "--log.level=error")
	command.Stderr = os.Stderr
	running := subprocess.StartFor(b, command)
	time.Sleep(watched)
	page := page(b, "http://"+watchedHTTP+"/metrics?probe=false")
	begin := time.Now()
	running.Signal(b, syscall.SIGTERM)
	if err := running.Wait(); err != nil {
		b.Fatal(err)
	}
	stopped := time.Since(begin)
	used := command.ProcessState
	cpu := used.UserTime() + used.SystemTime()
	probes := sum(values(page, `mailprobe_probes_total\{`))
	handshakes := values(page, `mailprobe_phase_duration_seconds\{.*phase="tls"`)
	slices.Sort(handshakes)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(sum(values(page, `mailprobe_up\{`)), "up")
	b.ReportMetric(probes, "probes")
	b.ReportMetric(sum(values(page, `mailprobe_pool_skipped_total`)), "skipped")
	b.ReportMetric(100*cpu.Seconds()/watched.Seconds(), "%cpu")
	b.ReportMetric(cpu.Seconds()*1000/max(1, probes), "cpu-ms/probe")
	b.ReportMetric(float64(used.SysUsage().(*syscall.Rusage).Maxrss)/1024, "peak-rss-MiB")
	b.ReportMetric(sum(values(page, `mailprobe_pool_start_delay_seconds_sum`))*1000/max(1, probes), "late-ms")
	b.ReportMetric(float64(stopped.Milliseconds()), "stop-ms")
	if len(handshakes) > 0 {
		b.ReportMetric(handshakes[len(handshakes)/2]*1000, "tls-p50-ms")
	}
}

// reportAlone tells what a handshake takes if nothing else happens.
func reportAlone(b *testing.B, config *tls.Config, port int) {
	b.Helper()
	var times []time.Duration
	for i := range handshakes {
		raw, err := net.Dial("tcp", fmt.Sprintf("127.1.1.%d:%d", i%250+1, port))
		if err != nil {
			b.Fatal(err)
		}
		begin := time.Now()
		err = tls.Client(raw, config).Handshake()
		times = append(times, time.Since(begin))
		_ = raw.Close()
		if err != nil {
			b.Fatal(err)
		}
		time.Sleep(6 * time.Millisecond) // the caches are as cold as in the program
	}
	slices.Sort(times)
	b.ReportMetric(float64(times[len(times)/2].Microseconds())/1000, "tls-alone-p50-ms")
}

// page is get for benchmarks.
func page(b *testing.B, url string) string {
	b.Helper()
	response, err := client.Get(url)
	if err != nil {
		b.Fatal(err)
	}
	defer response.Body.Close()
	var text strings.Builder
	if _, err := bufio.NewReader(response.Body).WriteTo(&text); err != nil {
		b.Fatal(err)
	}
	return text.String()
}

// values are those of the lines that begin with a pattern.
func values(page, pattern string) []float64 {
	var all []float64
	for _, found := range regexp.MustCompile(`(?m)^`+pattern+`.* (\S+)$|^`+pattern+` (\S+)$`).FindAllStringSubmatch(page, -1) {
		if v, err := strconv.ParseFloat(found[1]+found[2], 64); err == nil {
			all = append(all, v)
		}
	}
	return all
}

func sum(all []float64) (total float64) {
	for _, v := range all {
		total += v
	}
	return total
}

// serveThousands serves until its listener is closed.
func serveThousands(listener net.Listener) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		if !conn.RemoteAddr().(*net.TCPAddr).IP.IsLoopback() { // nobody else's business
			_ = conn.Close()
			continue
		}
		go serveCheaply(conn)
	}
}

// serveCheaply is an IMAP server that says yes.
func serveCheaply(conn net.Conn) {
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	_, _ = fmt.Fprint(conn, "* OK ready\r\n")
	untagged := map[string]string{
		"CAPABILITY": "* CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN\r\n",
		"EXAMINE":    "* 3 EXISTS\r\n",
		"LOGOUT":     "* BYE\r\n",
	}
	in := bufio.NewScanner(conn)
	for in.Scan() {
		words := strings.Fields(in.Text())
		if len(words) < 2 {
			return
		}
		_, _ = fmt.Fprintf(conn, "%s%s OK done\r\n", untagged[words[1]], words[0])
		if words[1] == "LOGOUT" {
			return
		}
	}
}
