package config

import (
	"fmt"
	"strings"
)

// Reference is docs/configuration.md: every field with its values, default,
// meaning and an example, from the tables that the loader uses.
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
	} {
		part.blockDoc.write(&b, part.title)
	}
	b.WriteString(referenceTail)
	return []byte(b.String())
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

mailprobe reads one YAML file (` + "`--config.file`" + `). ` + "[config.example.yml](../config.example.yml)" + ` shows every field in
use; ` + "[config.schema.json](../config.schema.json)" + ` lets an editor complete and check the file as you type:
begin the file with ` + "`# yaml-language-server: $schema=./config.schema.json`" + `.

- ` + "`mailprobe --config.check`" + ` lists everything that is wrong with a file at once, each fault with its line, connection
  and field. A file with a fault is not used; at a reload the old configuration stays in effect.
- A field left blank has its built-in default, even if ` + "`defaults`" + ` sets another. Unknown fields are faults; only top-level keys
  that begin with ` + "`x-`" + ` are ignored, as a place for YAML anchors. Keywords are case-insensitive.
- File names are relative to the configuration. ` + "`${CREDENTIALS_DIRECTORY}/`" + ` at the beginning of one is the directory of
  systemd's ` + "`LoadCredential=`" + `. No other variable is supported, and no secret is taken from the environment or the command
  line, where other processes can read it.
- Durations are written as in Prometheus: ` + "`500ms`, `90s`, `1m30s`, `2h`" + `.

`

const referenceTail = `## Secrets

A password is written in ` + "`password`" + ` or, better, in a file of its own: ` + "`password_file`" + ` is read again before each login, so
a rotated password needs no reload. It must be a regular file, not empty, of at most 64 KiB, with no line break except one at
the end. At load each secret file is read once: one that cannot be read is a fault; one that every user of the machine can
read is a warning, or a fault with ` + "`strict_permissions: true`" + `. Secrets never appear in logs, metrics, pages or messages.
A password that begins with ` + "`*`, `&`, `!`, `@`, `%`, `[`, `{`" + ` or contains ` + "` #` or `: `" + ` needs quotes in YAML.

## Which settings go together

- ` + "`none`" + ` with a password is allowed, because it was asked for explicitly, but gives a warning. With any other value, or the default,
  a password is never sent in clear text.
- ` + "`external`" + ` needs encryption and ` + "`tls_config.cert_file`" + `; ` + "`xoauth2` and `oauthbearer`" + ` need ` + "`oauth2`" + ` and take no password;
  ` + "`apop`" + ` is for POP3.
- ` + "`shared_mailbox_access`" + `: ` + "`login_name`" + ` (imap, pop3) is for passwords; ` + "`authzid`" + ` takes ` + "`auto`, `plain`, `scram-sha-1`,\n  `scram-sha-256`, `oauthbearer` or `external`" + `;
  ` + "`folder`" + ` is for imap; ` + "`token_user`" + ` needs a token; ` + "`sender`" + ` is for smtp, and the shared mailbox is then a mail address; an alias gives a warning.
- Label names are those of Prometheus, except ` + "`connection`, `protocol`, `phase`, `reason`, `version`, `cipher`, `host`,\n  `encryption`, `auth`, `shared_mailbox_access`, `ip_protocol`, `fingerprint_sha256`, `instance`, `job`, `le`, `quantile`" + ` and
  those that begin with ` + "`__`" + `.

## Warnings

These are allowed, but give a warning at load: a password or token with encryption ` + "`none`" + `; ` + "`starttls` or `none`" + ` on ports 993, 995 and 465;
` + "`ssl/tls`" + ` on 143, 110, 25 and 587; the usual port of another protocol; an alias as SMTP's shared mailbox; ` + "`insecure_skip_verify`" + `; a secret that every
user of the machine can read; a timeout above the interval; POP3 logins more often than once a minute; ` + "`lockout: off`" + `; and
connections that cannot all be probed within tcopied intervals when tcopied servers stop answering.

## Limits

A configuration has at most 16 MiB and a million values, a certificate file 4 MiB, a connection 20 labels, a name 200 bytes.
`
