//go:build !unix

package main

import "os"

// toggleSignals is empty: this system has no signal for the user's own purposes.
var toggleSignals []os.Signal
