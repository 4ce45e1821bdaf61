//go:build !unix

package guard

import (
	"io"
	"os"
)

// This system has no flock: that only one process uses a state file is left to
// whoever starts them.

func lockFile(path string) (io.Closer, error) {
	return os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
}

func openLocked(path string, flag int) (*os.File, error) { return os.OpenFile(path, flag, 0o600) }

func giveTo(*os.File, os.FileInfo) {}

func syncDirectory(string) error { return nil }
