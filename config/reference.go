package config

import (
	"fmt"
	"strings"

	"mailprobe/mail"
)

// Reference returns the text of docs/configuration.md: every field with its
// values, default, meaning and an example, from the tables that the loader uses.
func Reference() []byte {
	var b strings.Builder
	b.WriteString(referenceHead)
	for _, part := range []struct {
		title    string
		blockDoc *blockDoc
	}{
		{"The file", fileBlock.blockDoc()},
		{"pool", poolBlock.blockDoc()},
		{"metrics", metricsBlock.blockDoc()},
		{"connections", connectionBlock.blockDoc()},
		{"tls_config", tlsBlock.blockDoc()},
		{"oauth2", oauthBlock.blockDoc()},
		{"routes", routeBlock.blockDoc()},
		{"require", requireBlock.blockDoc()},
	} {
		part.blockDoc.write(&b, part.title)
	}
	b.WriteString(strings.NewReplacer(
		"LABELS", "`"+strings.Join(mail.ReservedLabels(), "`, `")+"`",
		"WARNINGS", warningRows(),
	).Replace(referenceTail))
	return []byte(b.String())
}

// otherWarnings are the warnings that are not in warningRules, because they depend
// on files or on all connections together.
var otherWarnings = [][2]string{
	{"password, client_secret and their files", "begins or ends with a blank, begins with a byte order mark, looks like the name of a variable, or is cut at an unquoted #"},
	{"*_file", "can be read by every user of the machine (a fault with `strict_permissions: true`)"},
	{"labels.*", "is a name that Prometheus in Kubernetes often sets on targets: `namespace`, `pod` and the like"},
	{"pool.*", "allows fewer probes at once than are needed to keep all intervals when servers stop answering"},
	{"connections", "is empty; or so many probes go to one address that this machine has no ports for them"},
}

func warningRows() string {
	var rows []string
	for _, w := range warningRules {
		rows = append(rows, fmt.Sprintf("| `%s` | %s |", w.field, w.text))
	}
	for _, w := range otherWarnings {
		rows = append(rows, fmt.Sprintf("| `%s` | %s |", w[0], w[1]))
	}
	return strings.Join(rows, "\n") + "\n"
}

// write makes one table of a block.
func (o *blockDoc) write(b *strings.Builder, title string) {
	fmt.Fprintf(b, "## %s\n\n%s\n\n", title, o.meaning)
	b.WriteString("| field | value | default | meaning | example |\n|---|---|---|---|---|\n")
	for _, doc := range o.fields {
		meaning := doc.meaning
		if doc.only != nil {
			meaning += " Only for " + orList(protocolNames(doc.only)) + "."
		}
		cells := []string{"`" + doc.name + "`", doc.word, doc.def, meaning, "`" + doc.name + ": " + doc.example + "`"}
		for i := range cells {
			cells[i] = strings.ReplaceAll(cells[i], "|", `\|`)
		}
		fmt.Fprintf(b, "| %s |\n", strings.Join(cells, " | "))
	}
	b.WriteString("\n")
}

const referenceHead = `<!-- Generated from the field tables in config/: make generate. -->
# Configuration reference

mailprobe reads what ` + "`--config.file`" + ` names: a YAML file, a directory (its ` + "`*.yml` and `*.yaml`" + ` files, not those in
folders below it) or a pattern such as ` + "`conf.d/team-*.yml`" + `. ` + "[config.example.yml](../config.example.yml)" + ` shows every field in
use; ` + "[config.schema.json](../config.schema.json)" + ` lets an editor complete and check the file as you type:
begin the file with ` + "`# yaml-language-server: $schema=./config.schema.json`" + `.

- ` + "`mailprobe --config.check`" + ` lists everything that is wrong with a file at once, each fault with its line, connection
  and field. A file with a fault is not used; at a reload the old configuration stays in effect. With ` + "`--syntax-only`" + ` it leaves
  secret, certificate and key files alone, for a CI that does not have them.
- Several files are one configuration: names are unique over all of them; ` + "`pool`, `metrics` and `strict_permissions`" + ` stand in one
  file and hold for all; ` + "`defaults`" + ` hold for the connections of their own file; file names are relative to the file they stand in.
- A field left blank has its built-in default, even if ` + "`defaults`" + ` sets another. Unknown fields are faults; only top-level keys
  that begin with ` + "`x-`" + ` are ignored, as a place for YAML anchors. Keywords are case-insensitive.
- File names are relative to the configuration. ` + "`${CREDENTIALS_DIRECTORY}/`" + ` at the beginning of one is the directory of
  systemd's ` + "`LoadCredential=`" + `. No other variable is supported, and no secret is taken from the environment or the command
  line, where other processes can read it.
- Durations are written as in Prometheus: ` + "`500ms`, `90s`, `1m30s`, `2h`" + `; also as a fraction of one unit: ` + "`1.5s`" + `.

`

const referenceTail = `## Secrets

A password is written in ` + "`password`" + ` or, better, in a file of its own: ` + "`password_file`" + ` is read again before each login, so
a rotated password needs no reload. It must be a regular file, not empty, of at most 64 KiB, with no line break except one at
the end. At load each secret file is read once: one that cannot be read is a fault; one that every user of the machine can
read is a warning, or a fault with ` + "`strict_permissions: true`" + `. Secrets never appear in logs, metrics, pages or messages.
A password that begins with ` + "`*`, `&`, `!`, `@`, `%`, `[`, `{`, `#`" + ` or contains ` + "` #` or `: `" + ` needs quotes in YAML. Variables such as
` + "`${PASSWORD}`" + ` are not replaced.

## Which settings go together

- ` + "`none`" + ` with a password is allowed, because it was asked for explicitly, but gives a warning. With any other value, or the default,
  a password is never sent in clear text.
- ` + "`external`" + ` needs encryption and ` + "`tls_config.cert_file`" + `; ` + "`xoauth2` and `oauthbearer`" + ` need ` + "`oauth2`" + ` and take no password;
  ` + "`apop`" + ` is for POP3.
- ` + "`shared_mailbox_access`" + `: ` + "`login_name`" + ` (imap, pop3) is for passwords; ` + "`authzid`" + ` takes ` + "`auto`, `plain`, `scram-sha-1`,\n  `scram-sha-256`, `oauthbearer` or `external`" + `;
  ` + "`folder`" + ` is for imap; ` + "`token_user`" + ` needs a token; ` + "`sender`" + ` is for smtp, and the shared mailbox is then a mail address; an alias gives a warning.
- Label names are those of Prometheus, except LABELS
  and those that begin with ` + "`__`" + `.

## Warnings

These are allowed, but deserve a second look; each load says so.

| field | warning |
|---|---|
WARNINGS
## Limits

A configuration has at most 16 MiB and a million values, a certificate file 4 MiB, a connection 20 labels, a name 200 bytes.
`
