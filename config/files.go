package config

// This file finds the files of a configuration.

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// maxFiles bounds the files of a directory or pattern.
const maxFiles = 10_000

// errNoFiles is matched by the error of a directory or pattern without a file.
var errNoFiles = errors.New("no files")

// noFiles is an error that matches errNoFiles and has a message of its own.
type noFiles string

func (n noFiles) Error() string        { return string(n) }
func (n noFiles) Is(target error) bool { return target == errNoFiles }

// expand returns the files of a path, sorted by name: the file itself, the *.yml
// and *.yaml files of a directory, or those that match a glob pattern. A path that
// exists is never taken as a pattern.
func expand(path string) ([]string, error) {
	info, err := os.Stat(path)
	switch {
	case err == nil && info.IsDir():
		return filesOf(path)
	case err == nil, !errors.Is(err, fs.ErrNotExist), !strings.ContainsAny(path, "*?["):
		return []string{path}, nil // if it cannot be read, the reader reports it
	}
	files, err := filepath.Glob(path)
	if err != nil {
		return nil, errors.New("is not a valid pattern")
	}
	return bounded(slices.DeleteFunc(files, isDirectory), "no file matches this pattern")
}

// filesOf returns the configuration files directly in a directory. It ignores
// hidden files: editors and Kubernetes keep copies under such names.
func filesOf(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir) // sorted
	if err != nil {
		return nil, err
	}
	var files []string
	for _, entry := range entries {
		name := entry.Name()
		path := filepath.Join(dir, name)
		if extension := filepath.Ext(name); !strings.HasPrefix(name, ".") &&
			(extension == ".yml" || extension == ".yaml") && !isDirectory(path) {
			files = append(files, path)
		}
	}
	return bounded(files, "the directory has no *.yml or *.yaml file")
}

func isDirectory(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

func bounded(files []string, none string) ([]string, error) {
	switch {
	case len(files) == 0:
		return nil, noFiles(none)
	case len(files) > maxFiles:
		return nil, fmt.Errorf("more than %d files", maxFiles)
	}
	return files, nil
}

// ReadFile reads a regular file of at most limit bytes. Anything else is an
// error, which names the file and never quotes it.
func ReadFile(path string, limit int64) ([]byte, error) { return readBounded(path, limit) }
