package mail

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the documents that are generated from tables")

// classWords are the classes in words, in the order of docs/reasons.md.
var classWords = []struct {
	class       Class
	word, about string
}{
	{Transient, "transient", "says nothing about the password; the next probe logs in as usual."},
	{Definitive, "definitive", "a verdict on the login; repeating it only brings the account closer to a lockout, so the next attempt waits."},
	{Possible, "possible", "may be a verdict: `closed` and `reset` in phase `auth`, because some servers hang up instead of refusing. Two in a row count as definitive."},
	{Local, "local", "a fault on this side; the server was not asked."},
}

// reasonsDocument writes docs/reasons.md.
func reasonsDocument() string {
	var b strings.Builder
	b.WriteString(`# Reasons

Why a probe failed: the values of the label ` + "`reason`" + `. The set is closed; a word is added in a minor release and
renamed in a major one. This page is generated from the table in ` + "`mail/reason.go`" + ` by
` + "`make generate`" + `.

The class says what a reason means for the next login attempt:

`)
	word := make(map[Class]string)
	for _, c := range classWords {
		word[c.class] = c.word
		fmt.Fprintf(&b, "- **%s**: %s\n", c.word, c.about)
	}
	b.WriteString(`
A server's refusal is classified by its response code (IMAP, POP3) or enhanced status code (SMTP) first, then by its reply code,
then by texts known from real servers, then by the command it answers. A text never turns a definitive code into a transient one,
except Cyrus SASL's words for its own failures; and an unknown text stays definitive: repeating a refused login is the costlier mistake.

| reason | class | meaning | what to do | comes from |
|---|---|---|---|---|
`)
	cell := strings.NewReplacer("|", `\|`, "\n", " ")
	for _, row := range reasons {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", row.reason, word[row.class],
			cell.Replace(row.meaning), cell.Replace(row.advice), cell.Replace(row.evidence))
	}
	b.WriteString(`
## Where it worked before

A connection that worked with the settings of today has them right, most probably. Its advice therefore begins with the time at which it
last worked, and with what has changed since. With ` + "`--state.file`" + ` that time survives a restart; a change of the settings ends it, a change of
a secret alone does not.

| reason | It last worked at 14:14 UTC, 28 Nov 2026: |
|---|---|
`)
	for _, row := range reasons {
		if changed := row.reason.AdviceIfChanged(); changed != "" {
			fmt.Fprintf(&b, "| `%s` | %s |\n", row.reason, cell.Replace(changed))
		}
	}
	fmt.Fprintf(&b, "| a refused login with another secret | %s |\n", newSecretAdvice)
	return b.String()
}

func TestDocsReasons(t *testing.T) {
	const path = "../docs/reasons.md"
	want := reasonsDocument()
	if *update {
		if err := os.MkdirAll("../docs", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s differs from the table: run make generate", path)
	}
}

// The numbers in docs/comparison.md must be those of the tables of reasons and phases.
func TestComparisonCountsAsTheTablesDo(t *testing.T) {
	text, err := os.ReadFile("../docs/comparison.md")
	if err != nil {
		t.Fatal(err)
	}
	numbers := []string{8: "eight", 9: "nine", 10: "ten", 11: "eleven"}
	for _, want := range []string{
		fmt.Sprintf("one of %d reasons", len(Reasons())),
		numbers[len(Phases())] + " phases",
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("docs/comparison.md does not say %q", want)
		}
	}
}
