package prober

// This file reads what POP3 and SMTP servers say they can do; IMAP's list passes
// the gate. Keywords and arguments come out in upper case: the protocols compare
// them case-blind.

import (
	"slices"
	"strings"
)

// parsePOP3Capabilities reads the lines of a CAPA answer, without its +OK and
// its final dot, into keyword and arguments (RFC 2449 section 5).
func parsePOP3Capabilities(lines []string) map[string][]string {
	capabilities := make(map[string][]string)
	for _, line := range lines {
		line = strings.TrimPrefix(cutLineEnd(line), ".") // dot-stuffed, RFC 1939 section 3
		addCapability(capabilities, line)
	}
	return capabilities
}

// parseSMTPCapabilities reads the lines of an EHLO reply, with their codes,
// into keyword and arguments (RFC 5321 section 4.1.1.1). The first line is the
// greeting. `AUTH=LOGIN`, which old servers write for old clients, counts as
// AUTH.
func parseSMTPCapabilities(lines []string) map[string][]string {
	capabilities := make(map[string][]string)
	for i, line := range lines {
		_, text, _, err := parseSMTPLine(line)
		if i == 0 || err != nil {
			continue
		}
		if len(text) > 5 && upperASCII(text[:5]) == "AUTH=" {
			text = "AUTH " + text[5:]
		}
		addCapability(capabilities, text)
	}
	return capabilities
}

// maxCapabilityArgs bounds the arguments kept of one keyword: an honest list is
// a dozen words, and looking for doubles among thousands would burn a core.
const maxCapabilityArgs = 64

// addCapability adds one line's arguments to its keyword's, each once.
func addCapability(capabilities map[string][]string, line string) {
	words := strings.Fields(upperASCII(line))
	if len(words) == 0 {
		return
	}
	args := capabilities[words[0]]
	for _, word := range words[1:] {
		if len(args) < maxCapabilityArgs && !slices.Contains(args, word) {
			args = append(args, word)
		}
	}
	capabilities[words[0]] = args
}
