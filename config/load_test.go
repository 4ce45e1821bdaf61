package config

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"mailprobe/mail"
)

var update = flag.Bool("update", false, "write the generated files and the wanted messages of testdata anew")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// golden compares with a file, or writes it.
func golden(t *testing.T, file string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got, go test ./config -update writes it anew):\n%s", file, diff)
	}
}

// testFiles lists the YAML files below testdata, by their path.
func testFiles(t *testing.T, under string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", under, "*.yml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("testdata/%s: %d files, %v", under, len(files), err)
	}
	return files
}

// loadFile loads a file of testdata in a directory with the secrets and certificates that
// it may name. If its first line is "# mode 644", every user can read the file.
func loadFile(t *testing.T, file string) (*Config, []Finding, error) {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	workspace(t)
	mode := os.FileMode(0o600)
	if strings.HasPrefix(string(raw), "# mode 644") {
		mode = 0o644
	}
	name := filepath.Base(file)
	if err := os.WriteFile(name, raw, mode); err != nil {
		t.Fatal(err)
	}
	return Load(name, nil)
}

func TestLoadReportsEveryFault(t *testing.T) {
	for _, group := range []string{"bad/yaml", "bad/structure", "bad/rules"} {
		for _, file := range testFiles(t, group) {
			wants, err := filepath.Abs(strings.TrimSuffix(file, ".yml") + ".err")
			if err != nil {
				t.Fatal(err)
			}
			t.Run(strings.TrimSuffix(filepath.Base(file), ".yml"), func(t *testing.T) {
				config, _, err := loadFile(t, file)
				if err == nil || config != nil {
					t.Fatalf("loaded without a fault: %+v", config)
				}
				var faults Faults
				if !errors.As(err, &faults) {
					t.Errorf("the error is a %T", err)
				}
				if strings.Contains(err.Error(), "hunter") {
					t.Errorf("the message shows a secret:\n%v", err)
				}
				golden(t, wants, []byte(err.Error()+"\n"))
			})
		}
	}
}

func TestLoadCompletesConnections(t *testing.T) {
	for _, file := range testFiles(t, "good") {
		wants, err := filepath.Abs(strings.TrimSuffix(file, ".yml") + ".want")
		if err != nil {
			t.Fatal(err)
		}
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yml"), func(t *testing.T) {
			config, warnings, err := loadFile(t, file)
			if err != nil {
				t.Fatal(err)
			}
			var b strings.Builder
			for _, w := range warnings {
				fmt.Fprintln(&b, w)
			}
			if len(config.Connections) < 100 { // the file with hundreds of equal ones is about a warning
				for _, c := range config.Connections {
					describe(&b, c)
				}
			}
			if strings.Contains(b.String(), "hunter") {
				t.Errorf("shows a secret:\n%s", b.String())
			}
			golden(t, wants, []byte(b.String()))
		})
	}
}

// describe writes the fields of a connection. Of TLS it writes those that can be printed.
func describe(b *strings.Builder, c *mail.Connection) {
	fmt.Fprintf(b, "%s %s %s %s user=%q auth=%s password=%q,%v token=%v\n", c.Name, c.Protocol, c.Encryption, c.Address(),
		c.Username, c.Auth, c.Password.Path(), !c.Password.IsZero(), c.Token != nil)
	fmt.Fprintf(b, "  shared=%q,%s,%q check=%v mailbox=%q sender=%q recipient=%q ehlo=%q\n", c.SharedMailbox, c.SharedMailboxAccess,
		c.LoginNameFormat, c.CheckMailbox, c.Mailbox, c.Sender, c.Recipient, c.EHLO)
	fmt.Fprintf(b, "  interval=%v timeout=%v scrape=%v ip=%s lockout=%s held=%v labels=%v", c.Interval, c.Timeout, c.ProbeOnScrape,
		c.IPProtocol, c.Lockout, c.HeldProbe, c.Labels)
	if c.TLS != nil {
		fmt.Fprintf(b, " tls=%s,%#x,%#x,%v", c.ServerName(), c.TLS.MinVersion, c.TLS.MaxVersion, c.TLS.InsecureSkipVerify)
	}
	b.WriteByte('\n')
	if c.Watches() {
		fmt.Fprintf(b, "  watch=%s,%v,%v\n", c.Watch, c.WatchMaxAge, c.WatchExpectEvery)
	}
}

// TestEveryRuleHasAFile finds rules that no file of testdata breaks.
func TestEveryRuleHasAFile(t *testing.T) {
	textOf := func(pattern string) string {
		files, err := filepath.Glob(filepath.Join("testdata", pattern))
		if err != nil || len(files) == 0 {
			t.Fatal(pattern, err)
		}
		var all strings.Builder
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			all.Write(text)
		}
		return all.String()
	}
	faults, warnings := textOf("bad/rules/*.err"), textOf("good/*.want")
	for _, r := range rules {
		if !strings.Contains(faults, ": "+r.field+": "+r.text+"\n") {
			t.Errorf("no file has the fault %s: %s", r.field, r.text)
		}
	}
	for _, a := range warningRules {
		if !strings.Contains(warnings, ": "+a.field+": "+a.text+"\n") {
			t.Errorf("no file has the warning %s: %s", a.field, a.text)
		}
	}
}
