//go:build !unix

package durable

import (
	"io"
	"os"
)

// Lock opens the lock file, without a lock: this system has no flock. The
// administrator must make sure that only one process writes.
func Lock(path string) (io.Closer, error) {
	return os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
}

// IsFull returns false: on this system it is not known whether a disk is full.
func IsFull(error) bool { return false }

func syncDirectory(string) error { return nil }

func chown(*os.File, os.FileInfo) error { return nil }

func openDirectory(path string) (*os.File, error) { return os.Open(path) }
