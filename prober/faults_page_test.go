package prober

// This file writes docs/faults.md: what each number of the catalogue stands for,
// the reasons that the played cases end with, and the tests of the rest.

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"mailprobe/mail"
)

var update = flag.Bool("update", false, "write docs/faults.md")

// faultSection is a part of the catalogue; it ends before the next one begins.
type faultSection struct {
	title  string
	faults []string // in the order of their numbers, without gaps
}

// faultSections say what happens. A number is permanent: a new fault goes to the
// end of the last section.
var faultSections = []faultSection{
	{"Names and addresses", []string{
		"The name server says that the name does not exist.",
		"The name exists and has no address.",
		"The name server fails (SERVFAIL).",
		"The name server refuses to answer (REFUSED).",
		"The name server does not answer.",
		"The name server's answer is broken, belongs to another question, or is cut off without a way to ask for the rest.",
		"A name has 2,000 addresses.",
		"The first of three addresses is dead.",
		"All addresses are dead.",
		"The IPv6 address swallows everything, the IPv4 address works.",
		"The address of the name changes between two probes.",
		"The name leads to another host than the one that was meant.",
		"Aliases (CNAME) lead in a circle.",
		"The name server is gone while 10,000 connections need it.",
	}},
	{"TCP", []string{
		"Nothing listens on the port.",
		"Packets to the server are dropped.",
		"A router says that the server cannot be reached, or that it is forbidden.",
		"The server accepts and resets at once.",
		"The server accepts and closes at once.",
		"The server accepts and says nothing.",
		"The server never reads what it is sent.",
		"The server sends one byte a second, for ever.",
		"The server sends one byte a second and ends in time.",
		"The stream ends in the middle of a line.",
		"The connection is reset in the middle of a line.",
		"The server vanishes after the login.",
		"Replies arrive cut in two at any byte.",
		"The server sends its whole part of the session before it was asked.",
		"A complete reply and a reset arrive together.",
		"A fifth of all packets is lost.",
		"The server's queue of new connections is full.",
		"A gateway forgets the connection between the login and the goodbye.",
	}},
	{"TLS", []string{
		"The port speaks in clear where TLS is expected.",
		"The port speaks TLS where clear text is expected.",
		"The server ends the handshake with an alert.",
		"The answer to the handshake is random bytes.",
		"The server is silent in the handshake.",
		"The connection ends or is reset in the handshake.",
		"The server knows TLS 1.1 at most.",
		"No cipher suite is common to both sides.",
		"The certificate has expired.",
		"The certificate is not valid yet.",
		"The certificate is of another name.",
		"The certificate does not contain the configured IP address.",
		"No trusted authority has signed: unknown, self-signed, or a link of the chain is missing.",
		"The certificate is weak or odd: wrong purpose, no names, SHA-1, a short key.",
		"The certificate has been revoked.",
		"The chain has 300 certificates.",
		"The server's RSA key has 16,384 bits.",
		"The server asks for a second handshake (renegotiation).",
		"The server wants a client certificate, in TLS 1.2.",
		"The server wants a client certificate, in TLS 1.3, and says so only after the handshake.",
		"The server refuses for want of an application protocol (ALPN).",
		"TLS ends without the closing alert, after the last reply or in the middle of one.",
		"The server sends many empty TLS records.",
		"The server sends TLS records of one byte, endlessly.",
		"The server uses unknown extensions, reserved values or a second hello.",
		"The clock of this machine is wrong by years.",
		"The file of the own authority is missing or broken.",
		"The certificate's subject is not text, or it lists very many names.",
	}},
	{"The greeting", []string{
		"The SMTP greeting has many lines.",
		"The SMTP server greets with 554.",
		"The SMTP server greets with 421.",
		"The IMAP server greets with BYE.",
		"The POP3 server greets with -ERR.",
		"A line does not end.",
		"A line contains a NUL byte.",
		"A line contains bytes that are not text.",
		"Lines end with LF alone, or with CR alone.",
		"The IMAP server greets with PREAUTH over TLS.",
		"The IMAP server greets with PREAUTH before STARTTLS.",
		"The server greets twice.",
		"Another service answers: SSH, HTTP, or another mail protocol.",
		"The greeting is empty, or a bare code.",
		"The timestamp of the POP3 greeting is very long.",
	}},
	{"Capabilities and STARTTLS", []string{
		"STARTTLS is missing, as if somebody had removed it.",
		"STARTTLS is offered and then refused.",
		"STARTTLS is answered in a form that is not the protocol's.",
		"More bytes follow the go-ahead for STARTTLS in the same packet.",
		"More bytes in clear follow the go-ahead a moment later.",
		"STARTTLS is offered again inside TLS.",
		"The capabilities inside TLS are others than those before.",
		"A mechanism is offered before TLS and not inside it.",
		"Logins are still disabled inside TLS.",
		"The list of capabilities never ends, or is endless.",
		"The SMTP server does not know EHLO.",
		"The server speaks an older IMAP4.",
		"The server offers an initial response and then rejects it.",
		"The server refers to another server.",
		"The server sends mailbox data before the login.",
		"The server sends an alert before TLS.",
	}},
	{"The login", []string{
		"The password is wrong.",
		"The login fails temporarily.",
		"The account is locked or disabled.",
		"The password or the account has expired.",
		"The server wants another kind of credential, such as an application password.",
		"The account has too many connections.",
		"The refusal comes after a long delay.",
		"The refusal of a token comes as a challenge with an error in JSON.",
		"The configured mechanism is not offered.",
		"A challenge is not base64.",
		"Challenges do not end.",
		"The server sends an empty challenge where the mechanism expects none.",
		"The server hangs up after the password.",
		"The login is accepted and the session ended at once.",
		"The login is accepted, and the mailbox is not connected.",
		"The answer has another tag, none, or its own tag in the other case.",
		"The server repeats the password in its answer.",
		"The server repeats the password in a coding, or a part of it.",
		"The password contains quotes, backslashes, blanks, braces, or bytes beyond ASCII.",
		"The user name contains a line break or ends with a blank.",
		"The token has 64 KiB.",
		"The server refuses a literal.",
		"The token endpoint is down, slow, broken, or redirects elsewhere.",
		"The token endpoint says that the grant is invalid.",
		"The token expires between its arrival and its use.",
		"Very many connections need the same token.",
		"Two connections with the same wrong password start together.",
	}},
	{"The mailbox and the goodbye", []string{
		"The maildrop is in use.",
		"The mailbox is missing, denied, in use or damaged.",
		"The shared mailbox is not open to this user.",
		"A probe must change nothing in the mailbox.",
		"A reply announces a literal of gigabytes.",
		"Untagged data does not end.",
		"A reply nests brackets a million deep.",
		"The mailbox's name contains quotes, an ampersand, or letters beyond ASCII.",
		"The goodbye is not answered.",
		"The goodbye must come, so that a maildrop is unlocked.",
		"The probe is called off, in whatever phase.",
		"A number is too large, negative, or not a number.",
	}},
	{"The process, the machine, the time", []string{
		"The clock is set back or forward.",
		"The machine sleeps for hours.",
		"The processor is busy with something else.",
		"No file descriptor is free.",
		"No local port is free.",
		"Memory is limited.",
		"The disk is full, or nobody reads the log.",
		"Very many connections fail at once and would fill the log.",
		"The code of one probe panics.",
		"The process is told to end while very many probes run.",
		"The process is killed while it writes its state.",
		"A leap second, or the change to summer time.",
	}},
	{"Configuration and secrets", []string{
		"The configuration is reloaded very often.",
		"A reload finds a broken configuration.",
		"A secret's file is missing, unreadable, empty, too large, or not a file.",
		"A secret's file ends with a line break.",
		"A secret's file can be read by everybody.",
		"A secret's file is replaced during a probe.",
		"The configuration is a bomb of aliases, huge, or not YAML.",
		"There are very many connections, or two of one name.",
		"An error is about a field that holds a secret.",
		"A secret comes from systemd's folder of credentials.",
		"A secret could be printed by a dump of memory or of a variable.",
	}},
	{"HTTP", []string{
		"The scraper leaves in the middle of a scrape.",
		"Many scrapes come at once.",
		"Clients send half of their headers and wait.",
		"A client reads its answer very slowly.",
		"A request has a huge header or URL.",
		"A request asks for a host that is not configured.",
		"A request names an unknown connection, in whatever form.",
		"A request claims another Host.",
		"Texts of others contain HTML.",
		"A page of another site triggers an action.",
		"Profiles are asked for.",
		"The configuration is asked for.",
		"A name or label in the configuration is not valid text.",
		"A request has a compressed body.",
		"Two processes use one state file.",
		"A scrape is read while every fault is there.",
		"Servers change their words at each probe, and the number of series must not grow.",
	}},
}

const faultsHead = `# The faults

<!-- Written by make generate. Do not edit. -->

What can go wrong between a mail client and a server, and around a prober: 170 faults that tests play one by one. Comments
in the code, tests and [SECURITY.md](../SECURITY.md) refer to them by number; a number never changes its meaning. The third
column shows how a probe ends in the tests: phase and [reason](reasons.md), or ` + "`up`" + `. After each case, whatever its
server did, the probe has ended in time, with one outcome and at most one login, and nothing of the password is in any output.
`

const rulesHead = `
## The rules of STARTTLS and TLS

What a probe obeys whatever the server says. Each rule is tested with cases from the list above or by the tests named beside it.

| rule | | tested by |
|---|---|---|
`

// faultsPage is docs/faults.md.
func faultsPage() string {
	ends := faultEnds()
	var page strings.Builder
	page.WriteString(faultsHead)
	number := 0
	for _, section := range faultSections {
		fmt.Fprintf(&page, "\n## %s\n\n| | what happens | how the probe ends | other tests |\n|---|---|---|---|\n", section.title)
		for _, says := range section.faults {
			number++
			others := codeList(testedElsewhere[number])
			if why := notTestable[number]; why != "" {
				others = "none: " + why
			}
			fmt.Fprintf(&page, "| %d | %s | %s | %s |\n", number, says, strings.Join(ends[number], ", "), others)
		}
	}
	page.WriteString(rulesHead)
	for _, r := range rules() {
		by := codeList(r.tests)
		if len(r.cases) > 0 {
			by = strings.TrimSuffix(fmt.Sprintf("%d kinds of cases, %s", len(r.cases), by), ", ")
		}
		fmt.Fprintf(&page, "| %s | %s | %s |\n", r.name, r.says, by)
	}
	return page.String()
}

// faultEnds lists, by number, the ways in which the played cases end.
func faultEnds() map[int][]string {
	ends := map[int][]string{}
	add := func(numbers []int, phase mail.Phase, reason mail.Reason) {
		end := "`up`"
		if reason != "" {
			end = fmt.Sprintf("%s: `%s`", phase, reason)
		}
		for _, n := range numbers {
			if !slices.Contains(ends[n], end) {
				ends[n] = append(ends[n], end)
			}
		}
	}
	for _, fault := range faultCases() {
		add(fault.numbers, fault.phase, fault.reason)
	}
	for _, fault := range nameFaults() {
		add(fault.numbers, fault.phase, fault.reason)
	}
	for _, list := range ends {
		slices.Sort(list)
	}
	return ends
}

// codeList joins names, each in backquotes.
func codeList(names []string) string {
	var quoted []string
	for _, name := range names {
		quoted = append(quoted, "`"+name+"`")
	}
	return strings.Join(quoted, ", ")
}

func TestFaultsPageIsWritten(t *testing.T) {
	const path = "../docs/faults.md"
	count := 0
	for _, section := range faultSections {
		count += len(section.faults)
	}
	if count != catalogueSize {
		t.Fatalf("%d faults are described, want %d", count, catalogueSize)
	}
	want := faultsPage()
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != want {
		t.Errorf("%s is not what the tests say (%v): make generate", path, err)
	}
}
