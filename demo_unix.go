//go:build unix

package main

import (
	"os"
	"syscall"
)

// toggleSignals are the signals at which the demo stops a server. Read only.
var toggleSignals = []os.Signal{syscall.SIGUSR1}
