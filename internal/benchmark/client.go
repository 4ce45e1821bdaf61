//go:build linux

package main

// This file starts the clients, and measures what they use.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"mailprobe/internal/subprocess"
)

// atOnce is how many dialogues the hand-written client runs at once, and
// how many probes blackbox_exporter is asked for at once.
const atOnce = 8

// bareName is the hand-written client's name in the table.
const bareName = "bare"

// client is one process that probes targets.
type client struct {
	name    string
	process *subprocess.Process
	ports   []string // of the server
	web     string   // address and port that it serves; empty: it does not
	pprof   string   // likewise, of its profiles
	config  string   // path
	// probesByItself: it probes as its configuration says, unless it is stopped. Other
	// clients probe on request, as fast as they can until a context ends (saturate).
	probesByItself bool
	saturate       func(context.Context) error
	// pace probes rate times a second for the duration d. It returns the median time of
	// a TLS handshake; 0: not known.
	pace func(rate int, d time.Duration) (time.Duration, error)
}

// use is what one client did in one round.
type use struct {
	probes int
	cpu    time.Duration
}

// perProbe is the processor time of a probe.
func (u use) perProbe() time.Duration { return u.cpu / time.Duration(max(1, u.probes)) }

// soFar is what a client has used since its start.
func (b *bench) soFar(c *client) (u use, err error) {
	if u.cpu, err = cpu(c.process); err != nil {
		return u, err
	}
	u.probes, err = b.server.sessions(c.ports)
	return u, err
}

// measured runs do, and returns what a client used meanwhile.
func (b *bench) measured(c *client, do func() error) (use, error) {
	before, err := b.soFar(c)
	if err != nil {
		return use{}, err
	}
	if err := do(); err != nil {
		return use{}, err
	}
	u, err := b.soFar(c)
	if err != nil {
		return use{}, err
	}
	u.cpu -= before.cpu
	u.probes -= before.probes
	if u.probes == 0 {
		return use{}, fmt.Errorf("%s: no probe ended in a round", c.name)
	}
	return u, nil
}

// whileRunning lets a client run while do runs: an exporter that probes by itself is
// stopped (SIGSTOP) before and after.
func (b *bench) whileRunning(c *client, do func() error) error {
	if !c.probesByItself {
		return do()
	}
	if err := send(c.process, unix.SIGCONT); err != nil {
		return err
	}
	return errors.Join(do(), send(c.process, unix.SIGSTOP))
}

// startBare starts the hand-written client.
func (b *bench) startBare() (*client, error) {
	_, core, err := cores()
	if err != nil {
		return nil, err
	}
	ports := b.server.ports[0]
	r, _, err := startRole(core, bareRole, "-ports", strings.Join(ports, ","), "-ca", b.server.ca)
	if err != nil {
		return nil, err
	}
	ask := func(format string, args ...any) (time.Duration, error) {
		words, err := r.ask(fmt.Sprintf(format, args...))
		if err != nil {
			return 0, err
		}
		ns, err := strconv.Atoi(words[0])
		return time.Duration(ns), err
	}
	return &client{name: bareName, process: r.process, ports: ports,
		saturate: func(ctx context.Context) error {
			for ctx.Err() == nil {
				if _, err := ask("saturate %d 100ms", atOnce); err != nil {
					return err
				}
			}
			return nil
		},
		pace: func(rate int, d time.Duration) (time.Duration, error) {
			if rate == 0 { // as fast as it can, but one at a time
				return ask("saturate 1 %s", d)
			}
			return ask("pace %d %s", rate, d)
		}}, nil
}

// load says what an exporter has to do.
type load struct {
	connections int
	interval    time.Duration
	oneHost     bool   // all connections are at one server, the slow one
	pool        string // the section `pool` of the configuration
	onScrape    bool   // the schedule probes nothing, only scrapes do
}

// startMailprobe starts the i-th binary with a configuration of its own.
func (b *bench) startMailprobe(i int, l load) (*client, error) {
	_, core, err := cores()
	if err != nil {
		return nil, err
	}
	c := &client{name: b.mailprobes[i].name, ports: b.server.ports[1+i]}
	if l.oneHost {
		c.ports = b.server.slow()
	}
	if c.web, err = freeAddress(); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(b.dir, "")
	if err != nil {
		return nil, err
	}
	c.config = filepath.Join(dir, "mailprobe.yml")
	if err := b.writeConfig(c, l); err != nil {
		return nil, err
	}
	if c.pprof, err = freeAddress(); err != nil {
		return nil, err
	}
	args := []string{"--config.file=" + c.config, "--web.listen-address=" + c.web, "--web.pprof-address=" + c.pprof, "--log.level=error"}
	if b.stateFile {
		args = append(args, "--state.file="+filepath.Join(dir, "state.json"))
	}
	if c.process, err = startOn(core, exec.Command(b.mailprobes[i].path, args...)); err != nil {
		return nil, err
	}
	c.probesByItself = true
	c.pace = func(_ int, d time.Duration) (time.Duration, error) { return 0, b.pause(d) }
	return c, await(b.ctx, "http://"+c.web+"/-/healthy")
}

// writeConfig writes a configuration of mailprobe. The password is in a file, as
// the docs advise.
func (b *bench) writeConfig(c *client, l load) error {
	secret := filepath.Join(filepath.Dir(c.config), "secret")
	if err := os.WriteFile(secret, []byte("wonder land\n"), 0o600); err != nil {
		return err
	}
	var text strings.Builder
	fmt.Fprintf(&text, "pool: {%s}\nmetrics: {histograms: both}\n", l.pool)
	fmt.Fprintf(&text, "defaults: {protocol: imap, interval: %s, timeout: 30s, password_file: secret, probe_on_scrape: %t, tls_config: {ca_file: %s}}\n",
		l.interval, l.onScrape, b.server.ca)
	text.WriteString("connections:\n")
	for i := range l.connections {
		host := target(i)
		if l.oneHost {
			host = target(0)
		}
		fmt.Fprintf(&text, "  - {name: inbox-%05d, host: %s, port: %s, username: user-%d@example.org}\n", i, host, portOf(c.ports, i), i)
	}
	return os.WriteFile(c.config, []byte(text.String()), 0o600)
}

// blackboxModule is the same dialogue for blackbox_exporter.
const blackboxModule = `modules:
  imap:
    prober: tcp
    timeout: 30s
    tcp:
      preferred_ip_protocol: ip4
      tls: true
      tls_config: {ca_file: %q}
      query_response:
        - expect: "^\\* OK"
        - {send: "A0 CAPABILITY"}
        - expect: "^A0 OK"
        - {send: "A1 AUTHENTICATE PLAIN AGFsaWNlAHdvbmRlciBsYW5k"}
        - expect: "^A1 OK"
        - {send: "A2 EXAMINE INBOX"}
        - expect: "^A2 OK"
        - {send: "A3 LOGOUT"}
        - expect: "^A3 OK"
`

// startBlackbox starts blackbox_exporter, which probes when it is asked.
func (b *bench) startBlackbox() (*client, error) {
	_, core, err := cores()
	if err != nil {
		return nil, err
	}
	web, err := freeAddress()
	if err != nil {
		return nil, err
	}
	config := filepath.Join(b.dir, "blackbox.yml")
	if err := os.WriteFile(config, fmt.Appendf(nil, blackboxModule, b.server.ca), 0o600); err != nil {
		return nil, err
	}
	process, err := startOn(core, exec.Command(b.blackbox, "--config.file="+config, "--web.listen-address="+web, "--log.level=error"))
	if err != nil {
		return nil, err
	}
	c := &client{name: "blackbox_exporter", process: process, ports: b.server.ports[1+len(b.mailprobes)], web: web}
	driver := &driver{client: c}
	c.saturate = driver.saturate
	c.pace = func(rate int, d time.Duration) (time.Duration, error) { return 0, driver.pace(rate, d) }
	return c, await(b.ctx, "http://"+web+"/-/healthy")
}

// driver asks blackbox_exporter for probes.
type driver struct {
	client *client
	next   atomic.Int64
}

func (d *driver) probe() error {
	next := int(d.next.Add(1) % targets)
	address := net.JoinHostPort(target(next).String(), portOf(d.client.ports, next))
	query := url.Values{"module": {"imap"}, "target": {address}}
	text, err := get("http://"+d.client.web+"/probe?"+query.Encode(), nil)
	if err == nil && !strings.Contains(string(text), "\nprobe_success 1\n") {
		err = fmt.Errorf("a probe failed: %s", text)
	}
	return err
}

// saturate asks for atOnce probes at a time until ctx ends.
func (d *driver) saturate(ctx context.Context) error {
	failures := make(chan error, atOnce)
	var group sync.WaitGroup
	for range atOnce {
		group.Go(func() {
			for ctx.Err() == nil {
				if err := d.probe(); err != nil {
					failures <- err
					return
				}
			}
		})
	}
	group.Wait()
	close(failures)
	return <-failures
}

// pace asks for probes one at a time, rate of them in a second.
func (d *driver) pace(rate int, length time.Duration) error {
	begin := time.Now()
	for i := 0; ; i++ {
		at := time.Duration(i) * time.Second / time.Duration(rate)
		if at >= length {
			return nil
		}
		time.Sleep(at - time.Since(begin))
		if err := d.probe(); err != nil {
			return err
		}
	}
}

// web is the HTTP client. It keeps as many connections as it uses.
var web = &http.Client{Timeout: time.Minute,
	Transport: &http.Transport{MaxIdleConnsPerHost: atOnce, DisableCompression: true}}

// get returns the body of an answer, as it was sent.
func get(address string, header http.Header) ([]byte, error) {
	request, err := http.NewRequest(http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	request.Header = header
	response, err := web.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", address, response.Status)
	}
	return io.ReadAll(response.Body)
}

// await waits until an address answers.
func await(ctx context.Context, address string) error {
	for {
		_, err := get(address, nil)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(50 * time.Millisecond):
		}
	}
}
