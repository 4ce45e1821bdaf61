package mail

// This file detects from a file's metadata whether the file has changed.

import (
	"io/fs"
	"syscall"
	"time"
)

// fileStat is the metadata of a file; it is equal as long as the file is unchanged.
// No file has the zero value.
type fileStat struct {
	device, inode uint64
	size          int64
	mode          uint32
	written       syscall.Timespec // content
	touched       syscall.Timespec // content, owner, permissions, name
}

// statFile returns the metadata of a file, and follows links.
func statFile(path string) (fileStat, error) {
	var s syscall.Stat_t
	if err := syscall.Stat(path, &s); err != nil {
		return fileStat{}, err
	}
	return newFileStat(&s), nil
}

// fileStatOf returns the metadata from the result of os.Stat.
func fileStatOf(info fs.FileInfo) fileStat {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return newFileStat(s)
	}
	return fileStat{}
}

func newFileStat(s *syscall.Stat_t) fileStat {
	//nolint:unconvert // the widths differ between processors
	return fileStat{uint64(s.Dev), uint64(s.Ino), int64(s.Size), s.Mode, s.Mtim, s.Ctim}
}

// changed returns when the file last changed in any way.
func (s fileStat) changed() time.Time {
	written, touched := time.Unix(s.written.Unix()), time.Unix(s.touched.Unix())
	if touched.After(written) {
		return touched
	}
	return written
}
