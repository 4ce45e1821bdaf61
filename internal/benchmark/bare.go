//go:build linux

package main

// This file is the unit of measure, in a process of its own: the dialogue of a
// probe, written by hand over crypto/tls, with a full handshake and verification
// each time, and without anything else that an exporter does.

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// bare is the hand-written client.
type bare struct {
	ports []string
	hosts int // number of targets, which are probed one after another
	base  *tls.Config
	next  atomic.Int64 // target
}

// runBare runs the commands in its input, one on each line, until the input ends:
// "saturate WORKERS DURATION", where the duration is one of processor time, and "pace
// RATE DURATION". The answer to each is the median time of a handshake.
func runBare(args []string, stdin io.Reader, stdout io.Writer) error {
	flags := flag.NewFlagSet(bareRole, flag.ContinueOnError)
	ports := flags.String("ports", "", "")
	ca := flags.String("ca", "", "")
	hosts := flags.Int("targets", targets, "")
	if err := flags.Parse(args); err != nil {
		return err
	}
	pem, err := os.ReadFile(*ca)
	if err != nil {
		return err
	}
	b := &bare{ports: strings.Split(*ports, ","), hosts: *hosts, base: &tls.Config{RootCAs: x509.NewCertPool()}}
	if !b.base.RootCAs.AppendCertsFromPEM(pem) {
		return errors.New("no certificate in " + *ca)
	}
	fmt.Fprintln(stdout, readyLine)
	for lines := bufio.NewScanner(stdin); lines.Scan(); {
		median, err := b.runCommand(strings.Fields(lines.Text()))
		if err != nil {
			return err
		}
		fmt.Fprintln(stdout, median.Nanoseconds())
	}
	return nil
}

// runCommand runs one command of runBare.
func (b *bare) runCommand(words []string) (time.Duration, error) {
	if len(words) != 3 {
		return 0, fmt.Errorf("bare: %q is no command", words)
	}
	number, err := strconv.Atoi(words[1])
	if err != nil {
		return 0, err
	}
	length, err := time.ParseDuration(words[2])
	if err != nil {
		return 0, err
	}
	if words[0] == "pace" {
		return b.pace(number, length)
	}
	return b.saturate(number, length)
}

// saturate runs dialogues as fast as it can, one in each worker, until this process
// has used as much processor time as length says.
func (b *bare) saturate(workers int, length time.Duration) (time.Duration, error) {
	var mu sync.Mutex
	var handshakes []time.Duration
	var failed error
	var group sync.WaitGroup
	end := ownCPU() + length
	for range workers {
		group.Go(func() {
			for ownCPU() < end {
				took, err := b.dialogue()
				mu.Lock()
				handshakes, failed = append(handshakes, took), errors.Join(failed, err)
				mu.Unlock()
				if err != nil {
					return
				}
			}
		})
	}
	group.Wait()
	return median(handshakes), failed
}

// ownCPU is the processor time of this process so far.
func ownCPU() time.Duration {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &now); err != nil {
		return math.MaxInt64
	}
	return time.Duration(now.Nano())
}

// pace runs dialogues one at a time, rate of them in a second.
func (b *bare) pace(rate int, length time.Duration) (time.Duration, error) {
	var handshakes []time.Duration
	begin := time.Now()
	for i := 0; ; i++ {
		at := time.Duration(i) * time.Second / time.Duration(rate)
		if at >= length {
			return median(handshakes), nil
		}
		time.Sleep(at - time.Since(begin))
		took, err := b.dialogue()
		if err != nil {
			return 0, err
		}
		handshakes = append(handshakes, took)
	}
}

// commands are those of a probe that logs in and opens the mailbox.
var commands = []string{"CAPABILITY", "AUTHENTICATE PLAIN AGFsaWNlAHdvbmRlciBsYW5k", "EXAMINE INBOX", "LOGOUT"}

// dialogue is one probe of the next target; handshake is how long its handshake
// took.
func (b *bare) dialogue() (handshake time.Duration, err error) {
	next := int(b.next.Add(1)) % b.hosts
	host := target(next).String()
	raw, err := net.Dial("tcp", net.JoinHostPort(host, portOf(b.ports, next)))
	if err != nil {
		return 0, err
	}
	defer raw.Close()
	config := b.base.Clone()
	config.ServerName = host
	conn := tls.Client(raw, config)
	begin := time.Now()
	if err := conn.Handshake(); err != nil {
		return 0, err
	}
	handshake = time.Since(begin)
	in := bufio.NewReader(conn)
	if _, err := in.ReadString('\n'); err != nil {
		return 0, err
	}
	for i, command := range commands {
		tag := "A" + strconv.Itoa(i) + " "
		if _, err := io.WriteString(conn, tag+command+"\r\n"); err != nil {
			return 0, err
		}
		for answered := false; !answered; {
			line, err := in.ReadString('\n')
			if err != nil {
				return 0, err
			}
			answered = strings.HasPrefix(line, tag)
		}
	}
	return handshake, nil
}

// median is the middle value; 0: there is none.
func median[T time.Duration | float64](values []T) T {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}
