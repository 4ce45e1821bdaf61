//go:build unix

package guard

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// errInUse is the error of a file that another process has locked.
var errInUse = errors.New("another mailprobe is using this state file")

// openRegular opens a regular file. It follows no link and does not block on a FIFO: when
// root probes by hand, the directory belongs to the service's user, and a link there must
// not make root write to another file or change its owner.
func openRegular(path string, flag int) (*os.File, error) {
	file, err := os.OpenFile(path, flag|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0o600)
	if errors.Is(err, syscall.ELOOP) { // "too many levels of symbolic links", even for one
		err = fmt.Errorf("%s: a symbolic link that leads to no file, or is not followed here", path)
	}
	if err != nil {
		return nil, err
	}
	if info, err := file.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, errors.Join(fmt.Errorf("%s: not a regular file", path), err, file.Close())
	}
	return file, nil
}

// lock locks an open file for this process, until the file is closed or the process ends.
// It waits at most patience for another process. current reports whether the path still
// leads to this file; the lock of a file that was replaced is useless.
func lock(file *os.File, path string, patience time.Duration) (current bool, err error) {
	for end := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EWOULDBLOCK) || !time.Now().Before(end) {
			break
		}
	}
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return false, fmt.Errorf("%s: %w", path, errInUse)
	}
	if err != nil {
		return false, err
	}
	here, err := file.Stat()
	if err != nil {
		return false, err
	}
	there, err := os.Lstat(path)
	return err == nil && os.SameFile(here, there), nil
}

// giveTo changes the owner of a file to that of another file, if this process may.
func giveTo(file *os.File, like os.FileInfo) {
	if like == nil { // it could not be opened at the start
		return
	}
	if owner, ok := like.Sys().(*syscall.Stat_t); ok && os.Geteuid() == 0 {
		_ = file.Chown(int(owner.Uid), int(owner.Gid)) // at worst the owner cannot read it
	}
}

// takesNothing reports whether an error means that the disk or the quota is full, or the
// file system broken or read-only: what Linux makes of a broken one.
func takesNothing(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EIO) || errors.Is(err, syscall.EROFS)
}

// syncDirectory makes a rename survive a power cut.
func syncDirectory(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
