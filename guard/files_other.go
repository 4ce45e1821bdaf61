//go:build !unix

package guard

import (
	"errors"
	"os"
	"time"
)

// This system has no flock: the administrator must not start two processes with one
// state file.

var errInUse = errors.New("another mailprobe is using this state file")

func openRegular(path string, flag int) (*os.File, error) { return os.OpenFile(path, flag, 0o600) }

func lock(*os.File, string, time.Duration) (bool, error) { return true, nil }

func giveTo(*os.File, os.FileInfo) {}

func takesNothing(error) bool { return false }

func syncDirectory(string) error { return nil }
