package exporter

// This file opens the sockets on which HTTP is served.

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/activation"
	"github.com/mdlayher/vsock"
	toolkit "github.com/prometheus/exporter-toolkit/web"
)

// The prefixes of listen addresses that are not TCP.
const (
	unixPrefix  = "unix:"
	vsockPrefix = "vsock://:"
)

// listen opens every socket that the flags name, or takes over those of systemd. On
// an error none stays open.
func listen(flags *toolkit.FlagConfig) ([]net.Listener, error) {
	if flags.WebSystemdSocket != nil && *flags.WebSystemdSocket {
		return inherited()
	}
	if flags.WebListenAddresses == nil || len(*flags.WebListenAddresses) == 0 {
		return nil, errors.New("--web.listen-address: no address is given")
	}
	var listeners []net.Listener
	for _, address := range *flags.WebListenAddresses {
		listener, err := listenAt(address)
		if err != nil {
			closeAll(listeners)
			return nil, fmt.Errorf("--web.listen-address: %w", err)
		}
		listeners = append(listeners, listener)
	}
	return listeners, nil
}

// inherited returns all sockets that systemd opened.
func inherited() ([]net.Listener, error) {
	listeners, err := activation.Listeners()
	if err == nil && len(listeners) == 0 {
		err = errors.New("systemd passed no socket")
	}
	if err != nil {
		return nil, fmt.Errorf("--web.systemd-socket: %w", err)
	}
	for i, listener := range listeners {
		if listener == nil {
			return nil, fmt.Errorf("--web.systemd-socket: socket %d is not one that accepts connections: use ListenStream", i+1)
		}
	}
	return listeners, nil
}

func listenAt(address string) (net.Listener, error) {
	if path, ok := strings.CutPrefix(address, unixPrefix); ok {
		return listenUnix(strings.TrimPrefix(path, "//"))
	}
	if port, ok := strings.CutPrefix(address, vsockPrefix); ok {
		n, err := strconv.ParseUint(port, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("%q: the port is not a number", address)
		}
		return vsock.Listen(uint32(n), nil)
	}
	if _, _, err := net.SplitHostPort(address); err != nil { // an empty address would be any port
		return nil, fmt.Errorf("%q is not an address with a port, such as :10925 or 127.0.0.1:10925", address)
	}
	return net.Listen("tcp", address)
}

// listenUnix opens a socket in the file system. It replaces a socket that a killed
// process has left. A socket that is in use, or another kind of file, is an error.
func listenUnix(path string) (net.Listener, error) {
	if path == "" {
		return nil, errors.New("unix: needs a path, such as unix:/run/mailprobe/http.sock")
	}
	listener, err := net.Listen("unix", path)
	if !errors.Is(err, syscall.EADDRINUSE) {
		return listener, err
	}
	info, statErr := os.Lstat(path)
	if statErr != nil || info.Mode().Type() != fs.ModeSocket {
		return nil, fmt.Errorf("%s exists and is not a socket", path)
	}
	if conn, err := net.DialTimeout("unix", path, time.Second); err == nil {
		_ = conn.Close()
		return nil, fmt.Errorf("%s is in use by another process", path)
	}
	if err := os.Remove(path); err != nil {
		return nil, err
	}
	return net.Listen("unix", path)
}

func closeAll(listeners []net.Listener) {
	for _, listener := range listeners {
		_ = listener.Close()
	}
}
