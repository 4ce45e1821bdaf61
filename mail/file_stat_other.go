//go:build !linux

package mail

// Elsewhere a secret file is read at each call.

import (
	"errors"
	"io/fs"
	"time"
)

type fileStat struct{}

func statFile(string) (fileStat, error) { return fileStat{}, errors.ErrUnsupported }

func fileStatOf(fs.FileInfo) fileStat { return fileStat{} }

func (fileStat) changed() time.Time { return time.Time{} }
