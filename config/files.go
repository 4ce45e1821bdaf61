package config

// This file says which files a configuration consists of.

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// maxFiles bounds how many files a directory or a pattern may stand for.
const maxFiles = 10_000

// errNoFiles is wrapped where a directory or a pattern stands for no file.
var errNoFiles = errors.New("no files")

// noFiles is errNoFiles in the words of a message.
type noFiles string

func (n noFiles) Error() string        { return string(n) }
func (n noFiles) Is(target error) bool { return target == errNoFiles }

// expand lists the files that a path stands for, sorted by name: a file, the
// *.yml and *.yaml files of a directory, or those that match a glob pattern. A
// pattern that is the name of a file is that file.
func expand(path string) ([]string, error) {
	info, err := os.Stat(path)
	switch {
	case err == nil && info.IsDir():
		return filesOf(path)
	case err == nil, !errors.Is(err, fs.ErrNotExist), !strings.ContainsAny(path, "*?["):
		return []string{path}, nil // whatever is wrong with it, reading it says so
	}
	files, err := filepath.Glob(path)
	if err != nil {
		return nil, errors.New("is not a valid pattern")
	}
	return bounded(slices.DeleteFunc(files, isDirectory), "no file matches this pattern")
}

// filesOf lists the configuration files directly in a directory. Hidden ones are
// left out: editors and Kubernetes keep copies under such names.
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

// ReadFile reads a regular file of at most limit bytes; its errors name the file
// and never its content.
func ReadFile(path string, limit int64) ([]byte, error) { return readBounded(path, limit) }
