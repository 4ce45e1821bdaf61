package cli

import (
	"cmp"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/prometheus/common/model"

	"mailprobe/config"
	"mailprobe/mail"
)

// Check loads a configuration and prints what would be probed: one line a
// connection, then the warnings. Its error lists every fault of the file.
func Check(w io.Writer, path string, load config.Loader) error {
	loaded, warnings, err := load()
	if err != nil {
		return fmt.Errorf("%s is not usable:\n%w", path, err)
	}
	table := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(table, "CONNECTION\tPROTOCOL\tADDRESS\tENCRYPTION\tLOGIN\tSECRET\tINTERVAL\tTIMEOUT")
	for _, c := range loaded.Connections {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", c.Name, c.Protocol, c.Address(), c.Encryption,
			login(c), secret(c), interval(c), model.Duration(c.Timeout))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, warning := range warnings {
		fmt.Fprintln(w, "warning:", warning)
	}
	_, err = fmt.Fprintf(w, "%s: %s, %s\n", path, plural(len(loaded.Connections), "connection"), plural(len(warnings), "warning"))
	return err
}

// plural counts things whose name takes an s.
func plural(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// login says how a connection logs in, without saying as whom.
func login(c *mail.Connection) string {
	if c.Username == "" && c.Auth != mail.AuthExternal {
		return "no"
	}
	if c.SharedMailbox != "" {
		return fmt.Sprintf("%s, %s", c.Auth, c.SharedMailboxAccess)
	}
	return string(c.Auth)
}

// secret says where the secret comes from.
func secret(c *mail.Connection) string {
	switch {
	case c.Token != nil:
		return "token"
	case c.Password.IsZero():
		return "none"
	}
	return cmp.Or(c.Password.Path(), "inline")
}

// interval says when a connection is probed.
func interval(c *mail.Connection) string {
	if c.ProbeOnScrape {
		return "on scrape"
	}
	return model.Duration(c.Interval).String() // as it is written in the file
}
