// Package durable writes small files so that a crash at any moment leaves either
// the old content or the new one.
package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Replace puts content in the place of the file at path and returns when it is on
// disk. The file keeps its owner, its group and its mode; where that is not
// permitted nothing is changed, and the error says so. A file that was not there
// gets the mode fresh, and if root makes it, the owner of its directory. A
// symbolic link at path is replaced, not followed.
func Replace(path string, content []byte, fresh fs.FileMode) error {
	dir := filepath.Dir(path)
	file, err := os.CreateTemp(dir, "."+filepath.Base(path)+".new*") // never follows a link
	if err != nil {
		return err
	}
	err = inherit(file, path, fresh)
	if err == nil {
		_, err = file.Write(content)
	}
	err = errors.Join(err, file.Sync(), file.Close())
	if err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(file.Name()))
	}
	return syncDirectory(dir)
}

// inherit sets the owner and the mode of a new file to those of the file that it
// replaces.
func inherit(file *os.File, path string, fresh fs.FileMode) error {
	old, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return errors.Join(file.Chmod(fresh), Adopt(file, filepath.Dir(path)))
	case err != nil:
		return err
	case !old.Mode().IsRegular():
		return file.Chmod(fresh)
	}
	if err := chown(file, old); err != nil {
		return fmt.Errorf("%s belongs to another user, and would not any more: %w", path, err)
	}
	return file.Chmod(old.Mode().Perm()) // after chown, which may clear bits
}

// Adopt gives a new file the owner and group of the file or directory at like, if
// this process is root: the service must be able to read what root creates for it.
// For any other user it does nothing.
func Adopt(file *os.File, like string) error {
	info, err := os.Stat(like)
	if err != nil || os.Geteuid() != 0 {
		return err
	}
	return chown(file, info)
}

// Mkdir makes a directory which, if root makes it, belongs to the owner of the file
// or directory at like.
func Mkdir(path string, mode fs.FileMode, like string) error {
	if err := os.Mkdir(path, mode); err != nil {
		return err
	}
	dir, err := openDirectory(path)
	if err == nil {
		err = errors.Join(Adopt(dir, like), dir.Close())
	}
	if err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}
