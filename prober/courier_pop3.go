package prober

// This file reads and deletes a courier's messages with POP3 (RFC 1939): UIDL, TOP
// and DELE. RETR is never sent: it would mark messages as read on some servers.

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"mailprobe/mail"
)

const (
	maxMarkIDs     = 20  // unique ids of the newest messages in a mark
	maxCandidates  = 200 // messages after a mark to look at
	unmarkedNewest = 50  // messages to look at without a usable mark
	topLines       = 60  // lines of a body to read; our messages have fewer
)

// pop3Mailbox is a maildrop, as it was when the session began.
type pop3Mailbox struct {
	d       *pop3Dialect
	count   int            // messages; -1: not asked yet
	numbers map[string]int // message numbers by unique id
}

func (m *pop3Mailbox) Home() (string, error) { return "INBOX", nil }

func (m *pop3Mailbox) Folders() ([]Folder, error) { return []Folder{{Name: "INBOX"}}, nil }

// stat counts the messages.
func (m *pop3Mailbox) stat() error {
	if m.count >= 0 {
		return nil
	}
	facts, err := m.d.mailbox()
	if err != nil {
		return err
	}
	if facts.Messages > 1<<31-1 {
		return malformedf("STAT: not a number of messages")
	}
	m.count, m.numbers = int(facts.Messages), map[string]int{}
	return nil
}

// uniqueID asks for the unique id of a message and remembers its number.
func (m *pop3Mailbox) uniqueID(number int) (string, error) {
	id, err := m.d.uniqueID(uint64(number))
	if err == nil {
		m.numbers[id] = number
	}
	return id, err
}

func (m *pop3Mailbox) Mark(string) (Mark, error) {
	if err := m.stat(); err != nil {
		return Mark{}, err
	}
	var mark Mark
	for number := m.count; number > 0 && len(mark.Last) < maxMarkIDs; number-- {
		id, err := m.uniqueID(number)
		if err != nil {
			return Mark{}, err
		}
		mark.Last = append(mark.Last, id)
	}
	return mark, nil
}

// Since goes back from the newest message to the first one that is in the mark.
func (m *pop3Mailbox) Since(_ string, from Mark) ([]Candidate, error) {
	if err := m.stat(); err != nil {
		return nil, err
	}
	limit := maxCandidates
	if len(from.Last) == 0 {
		limit = unmarkedNewest
	}
	var list []Candidate
	for number := m.count; number > 0 && len(list) < limit; number-- {
		id, err := m.uniqueID(number)
		if err != nil {
			return nil, err
		}
		if slices.Contains(from.Last, id) {
			break
		}
		header, err := m.top(number, 0)
		if err != nil {
			return nil, err
		}
		list = append(list, Candidate{ID: id, Mark: headerField(header, fieldMailprobe), MessageID: headerField(header, fieldMessageID)})
	}
	slices.Reverse(list)
	return list, nil
}

// top returns the header of a message and some lines of its body.
func (m *pop3Mailbox) top(number, lines int) ([]byte, error) {
	text, err := m.d.client.Cmd("TOP", true, number, lines)
	if err := m.d.serverError("TOP", err); err != nil {
		return nil, err
	}
	// RFC 1939 section 3 doubles a dot at the beginning of a line. The library does
	// not undo that.
	stuffed := append([]byte("\r\n"), text.Bytes()...)
	return bytes.ReplaceAll(stuffed, []byte("\r\n.."), []byte("\r\n."))[2:], nil
}

func (m *pop3Mailbox) Content(_, id string, whole bool) (Content, error) {
	number, known := m.numbers[id]
	if !known {
		return Content{}, errors.New("TOP: the message is not known in this session")
	}
	lines := topLines
	if whole {
		lines *= 10
	}
	text, err := m.top(number, lines)
	if err != nil {
		return Content{}, err
	}
	return splitMessage(text), nil
}

// Delete marks the messages; the server removes them at QUIT (RFC 1939 section 6).
func (m *pop3Mailbox) Delete(_ string, ids []string) error {
	for _, id := range ids {
		number, known := m.numbers[id]
		if !known {
			return errors.New("DELE: the message is not known in this session")
		}
		_, err := m.d.client.Cmd("DELE", false, number)
		if err := m.d.serverError("DELE", err); err != nil {
			return fmt.Errorf("not deleted: %w", err)
		}
	}
	return nil
}

// splitMessage separates the header of a message from its body, and cuts both.
func splitMessage(text []byte) Content {
	header, body, _ := bytes.Cut(text, []byte("\r\n\r\n"))
	return Content{Header: append(bytes.Clone(header[:min(len(header), maxHeader)]), "\r\n"...), Body: body[:min(len(body), maxBody)]}
}

// courierMailbox returns the mailbox of a session after the login.
func courierMailbox(d dialect) (Mailbox, error) {
	switch d := d.(type) {
	case *imapDialect:
		return &imapMailbox{d: d}, nil
	case *pop3Dialect:
		return &pop3Mailbox{d: d, count: -1}, nil
	}
	return nil, &fault{reason: mail.LocalBug, err: errors.New("a courier reads IMAP and POP3 only")}
}
