//go:build !unix

package durable

import (
	"io"
	"os"
)

// Lock opens the lock file. This system has no flock: that only one process
// writes is left to whoever starts them.
func Lock(path string) (io.Closer, error) {
	return os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
}

// IsFull reports whether an error comes from a disk that takes no more. It is not
// known here.
func IsFull(error) bool { return false }

func syncDirectory(string) error { return nil }

func chown(*os.File, os.FileInfo) error { return nil }

func openDirectory(path string) (*os.File, error) { return os.Open(path) }
