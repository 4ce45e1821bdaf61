// Command notices writes the licences and notices of every module that is part of
// mailprobe's binary into one file, which those licences require where the binary is
// distributed. Run it in the top folder: go run ./deploy/notices FILE.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: notices FILE")
		os.Exit(2)
	}
	text, err := notices(".")
	if err == nil {
		err = os.WriteFile(os.Args[1], text, 0o644)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "notices:", err)
		os.Exit(1)
	}
}

// legal matches the names of files that have to be distributed with a binary.
var legal = regexp.MustCompile(`(?i)^(licen[cs]e|copying|notice|patents)([.-].*)?$`)

// notices returns the texts of all modules that the package in dir is built from,
// in the order of their names, and those of Go itself.
func notices(dir string) ([]byte, error) {
	list := exec.Command("go", "list", "-deps", "-f", "{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}}\t{{.Dir}}{{end}}{{end}}", ".")
	list.Dir, list.Stderr = dir, os.Stderr
	out, err := list.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	modules := strings.Split(strings.TrimSpace(string(out)), "\n")
	modules = slices.DeleteFunc(modules, func(line string) bool { return line == "" })
	slices.Sort(modules)
	modules = append(slices.Compact(modules), "Go "+runtime.Version()+"\t"+goRoot(dir))
	var b bytes.Buffer
	for _, line := range modules {
		name, folder, _ := strings.Cut(line, "\t")
		if err := appendTexts(&b, name, folder); err != nil {
			return nil, err
		}
	}
	return b.Bytes(), nil
}

func goRoot(dir string) string {
	env := exec.Command("go", "env", "GOROOT")
	env.Dir = dir
	out, _ := env.Output() // an empty folder has no licence, which is an error then
	return strings.TrimSpace(string(out))
}

// appendTexts appends the legal files of one module. A module without any is an error,
// because it must not be distributed.
func appendTexts(b *bytes.Buffer, name, folder string) error {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return err
	}
	found := false
	for _, entry := range entries {
		if entry.IsDir() || !legal.MatchString(entry.Name()) {
			continue
		}
		text, err := os.ReadFile(filepath.Join(folder, entry.Name()))
		if err != nil {
			return err
		}
		fmt.Fprintf(b, "==== %s: %s\n\n%s\n\n", name, entry.Name(), bytes.TrimSpace(text))
		found = true
	}
	if !found && !strings.HasPrefix(name, "Go ") {
		return errors.New(name + " has no licence file")
	}
	return nil
}
