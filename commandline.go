package main

// This file parses the command line and words its errors. The library would take over
// with the default command where a flag lacks its value, and drop the flag.

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/alecthomas/kingpin/v2"

	"mailprobe/config"
)

// defaultCommand runs where the command line names none.
const defaultCommand = "serve"

// parseArgs sets the values of all flags, and returns the chosen command. With an
// error, that is the command that the line names; empty: none.
func parseArgs(app *kingpin.Application, args []string) (command string, err error) {
	given, err := app.ParseContext(args)
	if given == nil {
		return "", err
	}
	if given.SelectedCommand != nil {
		command = given.SelectedCommand.FullCommand()
	}
	if !asksForHelp(app, given) {
		if word := given.Peek(); err != nil && command == "" && word.Type == kingpin.TokenArg {
			return "", fmt.Errorf("%q is not a command%s", word.Value, meant(app, word.Value))
		}
		if err == nil && command == "" {
			args = append(slices.Clone(args), defaultCommand)
		}
	}
	parsed, err := app.Parse(args)
	if err != nil {
		return command, nameFlag(given, err)
	}
	return parsed, nil
}

// asksForHelp reports whether the line asks for help, which is about all commands, or for
// what a shell completes, which is an unfinished word.
func asksForHelp(app *kingpin.Application, given *kingpin.ParseContext) bool {
	return slices.ContainsFunc(given.Elements, func(e *kingpin.ParseElement) bool {
		flag, ok := e.Clause.(*kingpin.FlagClause)
		return ok && (flag == app.HelpFlag || strings.HasPrefix(flag.Model().Name, "completion-"))
	})
}

// meant suggests the command, or the flag such as --config.check, that a word that is
// none may stand for.
func meant(app *kingpin.Application, word string) string {
	for _, flag := range app.Model().Flags {
		if flag.Name == word || strings.HasSuffix(flag.Name, "."+word) {
			return fmt.Sprintf(", did you mean --%s?", flag.Name)
		}
	}
	var names []string
	for _, command := range app.Model().Commands {
		names = append(names, command.Name)
	}
	return config.DidYouMean(word, names)
}

// nameFlag puts the flag before an error about its value: the library names none.
func nameFlag(given *kingpin.ParseContext, err error) error {
	for _, e := range given.Elements {
		flag, ok := e.Clause.(*kingpin.FlagClause)
		if ok && e.Value != nil {
			if wrong := flag.Model().Value.Set(*e.Value); wrong != nil && wrong.Error() == err.Error() {
				return fmt.Errorf("--%s: %w", flag.Model().Name, err)
			}
		}
	}
	return err
}

// helpWriter writes help and version. An error, such as a full disk, is reported once
// and makes the exit code 1; the library would end with a panic.
type helpWriter struct {
	to, stderr io.Writer
	failed     bool
}

func (w *helpWriter) Write(text []byte) (int, error) {
	if _, err := w.to.Write(text); err != nil && !w.failed {
		w.failed = true
		fmt.Fprintf(w.stderr, "mailprobe: %v\n", err)
	}
	return len(text), nil
}

// exit ends the program after help or version.
func (w *helpWriter) exit(code int) {
	if w.failed {
		code = 1
	}
	os.Exit(code)
}
