package cli

// This file implements `mailprobe import`: it makes connections of another program's
// configuration. It probes nothing, because that may have very many accounts.

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"mailprobe/config"
	"mailprobe/internal/importer"
	"mailprobe/mail"
)

// ImportOptions is the command line of `mailprobe import`.
type ImportOptions struct {
	SetupOptions
	Path    string // of the other program's configuration
	Format  string // empty: guessed from the name of the file
	Targets string // Prometheus' configuration, for blackbox
	Write   bool   // add without asking
}

// maxImport bounds a file that is imported, in bytes; prefs.js can be large.
const maxImport = 16 << 20

// Import reads another program's configuration, and adds what it names to ours.
func Import(ctx context.Context, o ImportOptions) error {
	return o.with(func(s *setup) error {
		entries, err := o.read()
		if err != nil {
			return fmt.Errorf("%s: %s", o.Path, strings.TrimPrefix(err.Error(), o.Path+": "))
		}
		additions := s.additions(entries)
		if len(additions) == 0 {
			fmt.Fprintf(s.Stderr, "%s names no mail server that can be probed\n", o.Path)
			return &ExitError{Code: ExitDown}
		}
		if s.Output == "yaml" {
			for _, a := range additions {
				if a.Password != "" {
					a.Comments = append(a.Comments, "its password was found, and is not printed: add password_file")
				}
				fmt.Fprint(s.Stdout, a.YAML("  "))
			}
			return nil
		}
		if err := s.showAdditions(additions); err != nil {
			return err
		}
		if !o.Write {
			yes, err := s.yes(ctx, fmt.Sprintf("Add %s to %s?", plural(len(additions), "connection"), s.ConfigFile), true)
			if err != nil {
				return err
			}
			if !yes {
				fmt.Fprintln(s.Stderr, "nothing was added; --write adds without asking")
				return nil
			}
		}
		return s.write(additions)
	})
}

// read reads the file in its format.
func (o *ImportOptions) read() ([]importer.Entry, error) {
	format := importer.Format(o.Format)
	if format == "" {
		format = importer.Guess(o.Path)
	}
	switch {
	case format == "":
		return nil, fmt.Errorf("its name does not tell the format: --format is one of %s", formatList())
	case !slices.Contains(importer.Formats(), format):
		return nil, fmt.Errorf("--format=%s: not one of %s", format, formatList())
	case format != importer.Blackbox:
		text, err := config.ReadFile(o.Path, maxImport)
		if err != nil {
			return nil, err
		}
		return importer.Read(format, string(text))
	case o.Targets == "":
		return nil, errors.New("the targets are in Prometheus' configuration: name it with --targets")
	}
	modules, err := config.Untyped(o.Path)
	if err != nil {
		return nil, err
	}
	prometheus, err := config.Untyped(o.Targets)
	if err != nil {
		return nil, err
	}
	return importer.ReadBlackbox(modules, prometheus)
}

func formatList() string {
	var words []string
	for _, f := range importer.Formats() {
		words = append(words, string(f))
	}
	return strings.Join(words, ", ")
}

// additions makes additions of entries, and reports those that cannot be used.
func (s *setup) additions(entries []importer.Entry) []config.Addition {
	taken := s.names()
	var list []config.Addition
	for _, e := range entries {
		if e.Host == "" {
			fmt.Fprintf(s.Stderr, "left out: %s: %s\n", printable(e.Name), printable(strings.Join(e.Lost, "; ")))
			continue
		}
		a := s.addition(e, taken)
		err := usable(e.Name, a)
		if err != nil && len(e.Labels) > 0 { // a name may be taken, such as job
			a.Settings = slices.DeleteFunc(a.Settings, func(s config.Setting) bool { return strings.HasPrefix(s.Field, "labels.") })
			a.Comments = append(a.Comments, "its labels were not carried over")
			err = usable(e.Name, a)
		}
		if err != nil {
			fmt.Fprintf(s.Stderr, "left out: %v\n", err)
			continue
		}
		list = append(list, a)
	}
	return list
}

// usable checks an addition by the rules of the configuration.
func usable(name string, a config.Addition) error {
	with := given(a.Settings)
	if a.Password != "" {
		with = append(with, config.Setting{Field: "password", Value: a.Password})
	}
	_, _, err := config.NewConnection(printable(name), with, nil)
	return err
}

// addition returns the addition for an entry, with a comment for each setting that is
// lost.
func (s *setup) addition(e importer.Entry, taken map[string]bool) config.Addition {
	if e.Username != "" && e.Password == "" {
		e.Lost = append(e.Lost, "no password was found: to log in as "+e.Username+", add username and password_file")
		e.Username = ""
	}
	port := ""
	if e.Port != 0 && e.Port != mail.DefaultPort(e.Protocol, e.Encryption) {
		port = strconv.Itoa(e.Port)
	}
	if _, err := os.Stat(e.CAFile); e.CAFile != "" && (err != nil || !filepath.IsAbs(e.CAFile)) {
		e.Lost = append(e.Lost, "the CA file "+printable(e.CAFile)+" was not carried over")
		e.CAFile = ""
	}
	if e.Encryption == mail.NoEncryption {
		e.CAFile = ""
	}
	a := config.Addition{Password: e.Password, Stanza: config.Stanza{Settings: []config.Setting{
		{Field: "name", Value: freeName(printable(e.Name), taken)}, {Field: "protocol", Value: string(e.Protocol)}, {Field: "encryption", Value: e.Encryption.Word()},
		{Field: "host", Value: e.Host}, {Field: "port", Value: port}, {Field: "username", Value: e.Username}, {Field: "sender", Value: e.Sender},
		{Field: "interval", Value: e.Interval}, {Field: "tls_config.ca_file", Value: e.CAFile}}}}
	if e.Paused {
		a.Settings = append(a.Settings, config.Setting{Field: "enabled", Value: "false"})
	}
	for _, name := range slices.Sorted(maps.Keys(e.Labels)) {
		a.Settings = append(a.Settings, config.Setting{Field: "labels." + name, Value: e.Labels[name]})
	}
	for _, lost := range e.Lost {
		a.Comments = append(a.Comments, printable(lost))
	}
	if e.Username == "" {
		a.Password = ""
	}
	return a
}

// showAdditions prints what would be added, and what is lost.
func (s *setup) showAdditions(additions []config.Addition) error {
	t := table{header: []string{"CONNECTION", "PROTOCOL", "HOST", "PORT", "ENCRYPTION", "USER", "PASSWORD"}, width: s.Width}
	for _, a := range additions {
		word := func(field string) string {
			if v := a.Value(field); v != "" {
				return printable(v)
			}
			return "-"
		}
		password := "-"
		if a.Password != "" {
			password = "found"
		}
		t.rows = append(t.rows, tableRow{cells: []string{word("name"), word("protocol"), word("host"), word("port"), word("encryption"), word("username"), password}, below: a.Comments})
	}
	return t.write(s.Stdout)
}
