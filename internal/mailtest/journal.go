package mailtest

import (
	"bytes"
	"slices"
	"strings"
)

// journal lists the command lines of clients. It is guarded by listener.mu.
type journal struct{ commands []string }

// commandRecorder writes the commands of one connection of a server library into
// the server's journal. The libraries write both directions to one stream; the form
// of a line shows which side sent it.
type commandRecorder struct {
	server       *Server
	partial      []byte // a line without its end so far
	continuation bool   // the next client line belongs to the command before
	inBody       bool   // a message body follows, which has no commands
}

func (r *commandRecorder) Write(p []byte) (int, error) {
	r.partial = append(r.partial, p...)
	for {
		line, rest, found := bytes.Cut(r.partial, []byte("\n"))
		if !found {
			return len(p), nil
		}
		r.partial = bytes.Clone(rest)
		r.line(strings.TrimSuffix(string(line), "\r"))
	}
}

func (r *commandRecorder) line(line string) {
	protocol := r.server.options.Protocol
	switch {
	case r.inBody:
	case serverLine(protocol, line):
		r.continuation = strings.HasPrefix(line, "+") || strings.HasPrefix(line, "334")
		r.inBody = protocol == SMTP && strings.HasPrefix(line, "354")
	case r.continuation:
		r.continuation = strings.HasSuffix(line, "+}")
	default:
		r.server.note(line)
		r.continuation = strings.HasSuffix(line, "+}") // a non-synchronizing literal (RFC 7888)
	}
}

// note adds a command line to the journal.
func (s *Server) note(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.journal.commands = remember(s.journal.commands, line)
}

// maxRemembered is the maximum length of a server's lists: the servers of the demo run for
// days.
const maxRemembered = 10_000

// remember appends an item; a full list loses its older half first.
func remember[T any](list []T, item T) []T {
	if len(list) >= maxRemembered {
		list = slices.Clone(list[len(list)/2:])
	}
	return append(list, item)
}

// serverLine reports whether the server sent a line of the mixed stream.
func serverLine(protocol, line string) bool {
	if protocol == SMTP {
		return len(line) >= 3 && strings.Trim(line[:3], "0123456789") == "" &&
			(len(line) == 3 || line[3] == ' ' || line[3] == '-')
	}
	words := strings.Fields(line)
	if len(words) == 0 {
		return false
	}
	tagged := len(words) > 1 && slices.Contains([]string{"OK", "NO", "BAD"}, words[1])
	return words[0] == "*" || words[0] == "+" || tagged
}

// verb is the command word of a client's line.
func verb(protocol, line string) string {
	words := strings.Fields(strings.ToUpper(line))
	if protocol == IMAP && len(words) > 0 {
		words = words[1:] // the tag
	}
	switch {
	case len(words) == 0:
		return ""
	case len(words) > 1 && words[0] == "UID":
		return "UID " + words[1]
	}
	return words[0]
}
