//go:build unix

package durable

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"syscall"
)

// Lock waits until no other process has the lock file, and takes it. Closing the
// result gives it back.
func Lock(path string) (io.Closer, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0o600)
	if err != nil {
		return nil, err
	}
	if err := Adopt(file, filepath.Dir(path)); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	for {
		err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// IsFull reports whether an error means that the disk or the quota is full, or the file
// system broken or read-only.
func IsFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EIO) || errors.Is(err, syscall.EROFS)
}

// openDirectory opens a directory, and nothing that a link names.
func openDirectory(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NOFOLLOW, 0)
}

// chown makes the owner and group of a file those of another, unless they are.
func chown(file *os.File, like os.FileInfo) error {
	own, err := file.Stat()
	if err != nil {
		return err
	}
	have, known := own.Sys().(*syscall.Stat_t)
	want, alsoKnown := like.Sys().(*syscall.Stat_t)
	if !known || !alsoKnown || have.Uid == want.Uid && have.Gid == want.Gid {
		return nil
	}
	return file.Chown(int(want.Uid), int(want.Gid))
}

func syncDirectory(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
