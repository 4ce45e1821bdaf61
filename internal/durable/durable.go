// Package durable writes small files so that a crash at any moment leaves either
// the old content or the new one.
package durable

import (
	"errors"
	"os"
	"path/filepath"
)

// Replace puts content in the place of the file at path, mode 0600, and returns
// when it is on disk.
func Replace(path string, content []byte) error {
	file, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".new*") // never follows a link
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	err = errors.Join(err, file.Sync(), file.Close())
	if err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(file.Name()))
	}
	return syncDirectory(filepath.Dir(path))
}
