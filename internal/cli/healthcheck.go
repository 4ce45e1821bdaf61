// Package cli is what mailprobe says on a terminal.
package cli

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// healthTime is how long a healthy exporter may take to answer.
const healthTime = 5 * time.Second

// Healthcheck asks the exporter that listens at address, on this host, whether
// it is healthy. It is for container images without a shell.
func Healthcheck(ctx context.Context, address string) error {
	at, dial, err := healthTarget(address)
	if err != nil {
		return fmt.Errorf("healthcheck: --web.listen-address: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, healthTime)
	defer cancel()
	transport := &http.Transport{
		DialContext: dial,
		// The exporter's own certificate names its public name, and this is
		// loopback: the name proves nothing more.
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, // #nosec G402
	}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	var answers []error // of both: only one of them is about what is really served
	for _, scheme := range []string{"http", "https"} {
		answer := ask(ctx, client, scheme+"://"+at+"/-/healthy")
		if answer == nil {
			return nil
		}
		answers = append(answers, answer)
	}
	return fmt.Errorf("healthcheck: %w", errors.Join(answers...))
}

// healthTarget turns a listen address into a host and port to ask; for a socket in
// the file system, into the way to dial it. dial nil: the usual one.
func healthTarget(address string) (at string, dial func(context.Context, string, string) (net.Conn, error), err error) {
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		return "localhost", func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", strings.TrimPrefix(path, "//"))
		}, nil
	}
	host, port, err := net.SplitHostPort(address)
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return net.JoinHostPort(host, port), nil, err
}

// ask is one request. A server that wants a password is alive.
func ask(ctx context.Context, client *http.Client, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK && response.StatusCode != http.StatusUnauthorized {
		return fmt.Errorf("%s: %s", url, response.Status)
	}
	return nil
}

// ContainerAddress returns the first address that the mailprobe with process id 1,
// which is the container's own, was told to listen at; otherwise if process 1 is
// no mailprobe or names none.
func ContainerAddress(otherwise string) string {
	commandLine, err := os.ReadFile("/proc/1/cmdline") // only Linux has it
	if err != nil {
		return otherwise
	}
	return listenAddress(string(commandLine), otherwise)
}

// listenAddress finds --web.listen-address in a command line whose words end
// with NUL, as /proc has it (proc(5)).
func listenAddress(commandLine, otherwise string) string {
	const name = "--web.listen-address"
	words := strings.Split(strings.TrimSuffix(commandLine, "\x00"), "\x00")
	if filepath.Base(words[0]) != "mailprobe" {
		return otherwise
	}
	for i, word := range words[1:] {
		if value, ok := strings.CutPrefix(word, name+"="); ok {
			return value
		}
		if word == name && i+2 < len(words) {
			return words[i+2]
		}
	}
	return otherwise
}
