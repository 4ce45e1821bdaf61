//go:build linux

package main

// This file holds what is measured. Each part starts its processes and ends them.

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// steadyRate is how many probes a second each client makes in the steady part, in so
	// many rounds. Before that, mailprobe has beginTime to start and to probe each
	// connection once, all of them in steadyInterval; and before each round recoverTime
	// to get over the connections that were due while it was stopped.
	steadyRate     = 100
	steadyRounds   = 3
	steadyInterval = 6 * time.Second
	beginTime      = steadyInterval + time.Second
	recoverTime    = time.Second
	// saturating is how many connections are due in each second: more than a core
	// can probe, but not many times more.
	saturating = 2500
	// warmUpTime bounds the time in which caches are filled before measuring.
	warmUpTime = 45 * time.Second
	// waitingTime is how long logins at one slow server are measured.
	waitingTime = 5 * time.Second
)

// freeAddress returns an address of this machine on which nothing listens.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// clients starts every client with the same load for each mailprobe; stop ends
// them.
func (b *bench) clients(l load, withBlackbox bool) (all []*client, stop func(), err error) {
	stop = func() {
		for _, c := range all {
			end(c.process)
		}
	}
	add := func(c *client, failed error) {
		if failed == nil {
			all = append(all, c)
		}
		err = errors.Join(err, failed)
	}
	add(b.startBare())
	for i := range b.mailprobes {
		add(b.startMailprobe(i, l))
	}
	if withBlackbox && b.blackbox != "" {
		add(b.startBlackbox())
	}
	if err != nil {
		stop()
	}
	return all, stop, err
}

// saturated lets every client probe as fast as it can.
func (b *bench) saturated() error {
	all, stop, err := b.clients(load{connections: saturating, interval: time.Second}, true)
	if err != nil {
		return err
	}
	defer stop()
	if err := b.warmUpAll(all, saturating); err != nil {
		return err
	}
	used, err := b.takeTurns(all, b.rounds, b.saturatedTurn)
	if err != nil {
		return err
	}
	b.table.ratios("CPU time of a probe, saturated", used)
	b.table.rates(used)
	if err := b.takeProfile(all[1], "saturated"); err != nil {
		return err
	}
	return b.saturatedHandshakes(all)
}

// saturatedHandshakes compares the handshake time that each exporter reports, alone on
// the core, with that of the hand-written client, also alone and one at a time.
func (b *bench) saturatedHandshakes(all []*client) error {
	for _, c := range all[1 : 1+len(b.mailprobes)] {
		truth, err := all[0].pace(0, b.round)
		if err != nil {
			return err
		}
		if err := send(c.process, unix.SIGCONT); err != nil {
			return err
		}
		if err := b.pause(4 * time.Second); err != nil { // until all connections were probed again
			return err
		}
		reported, err := b.reportedHandshake(c)
		if err != nil {
			return err
		}
		if err := send(c.process, unix.SIGSTOP); err != nil {
			return err
		}
		b.table.handshake("saturated", c.name, reported, truth)
	}
	return nil
}

// warmUpAll warms the exporters up until they have ended as many probes as they have
// connections.
func (b *bench) warmUpAll(all []*client, connections int) error {
	for _, c := range all[1 : 1+len(b.mailprobes)] {
		if err := errors.Join(b.warmUp(c, connections), send(c.process, unix.SIGSTOP)); err != nil {
			return err
		}
	}
	return nil
}

// takeTurns lets the clients probe one after another, each alone on the core, in several
// rounds. The exporters that probe by themselves are stopped (SIGSTOP) before and after.
func (b *bench) takeTurns(all []*client, rounds int, turn func(*client) (use, error)) (used []round, err error) {
	for range rounds {
		r := round{}
		for _, c := range all {
			if r[c.name], err = turn(c); err != nil {
				return nil, err
			}
		}
		used = append(used, r)
	}
	return used, nil
}

// saturatedTurn lets one client probe as fast as it can for a round.
func (b *bench) saturatedTurn(c *client) (u use, err error) {
	err = b.whileRunning(c, func() error {
		u, err = b.measured(c, func() error {
			if c.probesByItself {
				return b.pause(b.round)
			}
			ctx, cancel := context.WithTimeout(b.ctx, b.round)
			defer cancel()
			return c.saturate(ctx)
		})
		return err
	})
	return u, err
}

// warmUp waits until a client has ended so many more probes, for at most warmUpTime.
func (b *bench) warmUp(c *client, probes int) error {
	before, err := b.server.sessions(c.ports)
	if err != nil {
		return err
	}
	for range warmUpTime / time.Second {
		if ended, err := b.server.sessions(c.ports); err != nil || ended-before >= probes {
			return err
		}
		if err := b.pause(time.Second); err != nil {
			return err
		}
	}
	fmt.Fprintf(b.log, "%s: the machine is too busy for %d probes in %s; measured before they ended\n", c.name, probes, warmUpTime)
	return nil
}

// steady lets every client probe steadyRate times a second.
func (b *bench) steady() error {
	all, stop, err := b.clients(load{connections: steadyRate * int(steadyInterval/time.Second), interval: steadyInterval}, true)
	if err != nil {
		return err
	}
	defer stop()
	if err := b.pause(beginTime); err != nil {
		return err
	}
	exporters := all[1 : 1+len(b.mailprobes)]
	for _, c := range exporters {
		if err := send(c.process, unix.SIGSTOP); err != nil {
			return err
		}
	}
	var truth []float64
	used, err := b.takeTurns(all, steadyRounds, func(c *client) (u use, err error) {
		u, handshake, err := b.steadyTurn(c)
		if c == all[0] {
			truth = append(truth, float64(handshake))
		}
		return u, err
	})
	if err != nil {
		return err
	}
	b.table.ratios(fmt.Sprintf("CPU time of a probe, %d a second", steadyRate), used)
	for _, c := range exporters {
		var reported time.Duration
		err := b.whileRunning(c, func() (err error) {
			reported, err = b.reportedHandshake(c)
			return err
		})
		if err != nil {
			return err
		}
		b.table.handshake(fmt.Sprintf("%d a second", steadyRate), c.name, reported, time.Duration(median(truth)))
	}
	return nil
}

// steadyTurn lets one client probe steadyRate times a second for a round. It also returns
// the median time of a handshake, 0 if it is not known.
func (b *bench) steadyTurn(c *client) (u use, handshake time.Duration, err error) {
	err = b.whileRunning(c, func() error {
		if c.probesByItself {
			if err := b.pause(recoverTime); err != nil {
				return err
			}
		}
		u, err = b.measured(c, func() (err error) {
			handshake, err = c.pace(steadyRate, 2*b.round)
			return err
		})
		return err
	})
	return u, handshake, err
}

// waiting lets logins wait at one server that takes four of them at once: it must
// not matter to a login how many others wait.
func (b *bench) waiting() error {
	few, many := 250, 1000
	for i := range b.mailprobes {
		spent := map[int]time.Duration{}
		for _, n := range []int{few, many} {
			c, err := b.startMailprobe(i, load{connections: n, interval: time.Second, oneHost: true,
				pool: "max_in_flight_per_host: 2000"})
			if err != nil {
				return err
			}
			u, err := b.waitingLogins(c)
			end(c.process)
			if err != nil {
				return err
			}
			spent[n] = u.perProbe()
		}
		b.table.add(fmt.Sprintf("CPU time of a login while %d wait at one server, to that while %d wait", many, few),
			b.mailprobes[i].name, float64(spent[many])/float64(spent[few]), "1.00 is linear")
	}
	return nil
}

// waitingLogins measures a client once its logins wait.
func (b *bench) waitingLogins(c *client) (use, error) {
	if err := b.pause(2 * time.Second); err != nil {
		return use{}, err
	}
	return b.measured(c, func() error { return b.pause(waitingTime) })
}

// schedule runs the benchmark of the pool, which has no process of its own.
func (b *bench) schedule() error {
	command := exec.CommandContext(b.ctx, "go", "test", "mailprobe/pool", "-run", "^$", "-bench", "PoolSchedule", "-benchtime", "100000x", "-count", "3")
	out, err := command.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	var figures []float64
	for _, found := range regexp.MustCompile(`([0-9.]+) cpu-ns/op`).FindAllSubmatch(out, -1) {
		ns, err := strconv.ParseFloat(string(found[1]), 64)
		if err != nil {
			return err
		}
		figures = append(figures, ns/1000)
	}
	b.table.add("scheduling a probe among 10,000, µs", "source tree", median(figures), "")
	return nil
}

// reportedHandshake is the median of the handshakes that an exporter reports.
func (b *bench) reportedHandshake(c *client) (time.Duration, error) {
	text, err := get("http://"+c.web+"/metrics?probe=false&name[]=mailprobe_phase_duration_seconds", nil)
	if err != nil {
		return 0, err
	}
	var all []float64
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "#") || !strings.Contains(line, `phase="tls"`) {
			continue
		}
		value, err := strconv.ParseFloat(strings.TrimSpace(line[strings.LastIndexByte(line, ' '):]), 64)
		if err != nil {
			return 0, err
		}
		all = append(all, value)
	}
	if len(all) == 0 {
		return 0, errors.New("no handshake is reported")
	}
	return time.Duration(median(all) * float64(time.Second)), nil
}

// takeProfile writes a CPU profile of a busy mailprobe, if one is wanted.
func (b *bench) takeProfile(c *client, part string) (err error) {
	if b.profile == "" {
		return nil
	}
	if err := send(c.process, unix.SIGCONT); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, send(c.process, unix.SIGSTOP)) }()
	raw, err := get("http://"+c.pprof+"/debug/pprof/profile?seconds=10", nil)
	if err != nil {
		return err
	}
	return os.WriteFile(b.profile+"."+part, raw, 0o600)
}
