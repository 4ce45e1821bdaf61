package prober

// This file reads and deletes a courier's messages with IMAP (RFC 9051, RFC 4315).
// Folders are opened with EXAMINE. SELECT is sent only to delete, then STORE and
// UID EXPUNGE of exactly those messages; never CLOSE, never a bare EXPUNGE.

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/emersion/go-imap/v2"

	"mailprobe/mail"
)

const (
	maxHeader = 32 << 10 // bytes of a header to read
	maxBody   = 8 << 10  // bytes of a body to read
)

// Header fields that tell a message of a route: its mark, and what remains where a
// relay has removed that.
const (
	fieldMailprobe = "X-Mailprobe"
	fieldMessageID = "Message-ID"
)

// imapMailbox is a logged-in IMAP session.
type imapMailbox struct {
	d    *imapDialect
	open string // folder that is examined; empty: none
}

// junkNames are the usual names of junk folders on servers without SPECIAL-USE.
var junkNames = map[string]bool{"junk": true, "spam": true, "junk e-mail": true, "junk email": true, "bulk mail": true,
	"inbox.junk": true, "inbox.spam": true, "inbox/junk": true, "inbox/spam": true, "[gmail]/spam": true}

// Home opens the folder of a shared mailbox, because only that tells which of its
// possible names is right. Any other name is known without a command.
func (m *imapMailbox) Home() (string, error) {
	if !bySharedFolder(m.d.c) {
		return cmp.Or(m.d.c.Mailbox, "INBOX"), nil
	}
	names, err := m.d.sharedNames()
	if err != nil {
		return "", err
	}
	name, err := m.d.firstOf(names, m.examine)
	if err != nil {
		return "", err
	}
	return name, m.leave() // its end is asked for next
}

func (m *imapMailbox) Folders() ([]Folder, error) {
	responses, err := m.d.data("LIST", func() error { return m.d.client.List("", "*", nil).Close() })
	if err != nil {
		return nil, err
	}
	var list []Folder
	special := false
	for _, r := range responses {
		if len(r) < 4 || !strings.EqualFold(r[0].text, "LIST") || !r[1].isList {
			continue
		}
		junk := slices.ContainsFunc(r[1].list, func(v imapValue) bool { return strings.EqualFold(v.text, `\Junk`) })
		special = special || junk
		list = append(list, Folder{Name: decodeMailboxName(r[3].text), Junk: junk})
	}
	for i := range list {
		if !special && junkNames[strings.ToLower(list[i].Name)] {
			list[i].Junk = true
			break
		}
	}
	return list, nil
}

// Mark sends STATUS, which opens no folder.
func (m *imapMailbox) Mark(folder string) (Mark, error) {
	responses, err := m.d.data("STATUS", func() error {
		_, err := m.d.client.Status(folder, &imap.StatusOptions{UIDNext: true, UIDValidity: true}).Wait()
		return err
	})
	if err != nil {
		return Mark{}, err
	}
	for _, r := range responses {
		if len(r) < 3 || !strings.EqualFold(r[0].text, "STATUS") {
			continue
		}
		next, _ := property(r[2].list, "UIDNEXT")
		validity, _ := property(r[2].list, "UIDVALIDITY")
		n, nextOK := next.number()
		v, validityOK := validity.number()
		if nextOK && validityOK {
			return Mark{Validity: v, Next: n}, nil
		}
	}
	return Mark{}, malformedf("STATUS: without UIDNEXT or UIDVALIDITY")
}

// examine opens a folder read-only. If it is open already, NOOP asks for changes.
func (m *imapMailbox) examine(folder string) error {
	if m.open == folder {
		return m.d.serverError("NOOP", m.d.client.Noop().Wait())
	}
	m.open = ""
	_, err := m.d.client.Select(folder, &imap.SelectOptions{ReadOnly: true}).Wait()
	if err := m.d.serverError("EXAMINE", err); err != nil {
		return err
	}
	m.open = folder
	return nil
}

// offers reports whether the server has an extension, which IMAP4rev2 contains. Many
// name it only after the login.
func (m *imapMailbox) offers(extension string) bool {
	after := m.d.filter.now().caps
	return m.d.caps[extension] || after[extension] || m.d.caps["IMAP4REV2"] || after["IMAP4REV2"]
}

// leave closes the folder that is open. STATUS of an open folder is discouraged (RFC
// 9051 section 6.3.11): a server may answer what the session has seen so far.
func (m *imapMailbox) leave() error {
	if m.open == "" {
		return nil
	}
	if !m.offers("UNSELECT") {
		return m.d.serverError("NOOP", m.d.client.Noop().Wait())
	}
	m.open = ""
	return m.d.serverError("UNSELECT", m.d.client.Unselect().Wait())
}

func (m *imapMailbox) Since(folder string, from Mark) ([]Candidate, error) {
	if err := m.leave(); err != nil {
		return nil, err
	}
	now, err := m.Mark(folder) // tells at once that there is nothing new
	if err != nil {
		return nil, err
	}
	begin := newestFrom(now, from)
	if begin >= now.Next {
		return nil, nil
	}
	if err := m.examine(folder); err != nil {
		return nil, err
	}
	section := &imap.FetchItemBodySection{Specifier: imap.PartSpecifierHeader, HeaderFields: []string{fieldMessageID, fieldMailprobe}, Peek: true}
	responses, err := m.fetch(imap.UIDSet{{Start: imap.UID(begin)}}, &imap.FetchOptions{UID: true, BodySection: []*imap.FetchItemBodySection{section}})
	if err != nil {
		return nil, err
	}
	var list []Candidate
	for _, items := range responses {
		// n:* always includes the last message (RFC 9051 section 9).
		uid, ok := uidOf(items)
		if !ok || uid < begin || len(list) >= maxCandidates {
			continue
		}
		header := sectionOf(items, "HEADER.FIELDS")
		list = append(list, Candidate{ID: strconv.FormatUint(uint64(uid), 10), Mark: headerField(header, fieldMailprobe), MessageID: headerField(header, fieldMessageID)})
	}
	return list, nil
}

// newestFrom returns the first UID to look at: after the mark, but within the
// newest maxCandidates; if the mark has another UIDVALIDITY, the newest few.
func newestFrom(now, from Mark) uint32 {
	begin, limit := from.Next, uint32(maxCandidates)
	if from.Validity != now.Validity || from.Next == 0 {
		begin, limit = 1, unmarkedNewest
	}
	if now.Next > limit {
		begin = max(begin, now.Next-limit)
	}
	return max(begin, 1)
}

// fetch returns the items of each FETCH response.
func (m *imapMailbox) fetch(set imap.NumSet, options *imap.FetchOptions) ([][]imapValue, error) {
	responses, err := m.d.data("FETCH", func() error { return m.d.client.Fetch(set, options).Close() })
	if err != nil {
		return nil, err
	}
	var list [][]imapValue
	for _, r := range responses {
		if len(r) >= 3 && strings.EqualFold(r[1].text, "FETCH") && r[2].isList {
			list = append(list, r[2].list)
		}
	}
	return list, nil
}

func uidOf(items []imapValue) (uint32, bool) {
	v, ok := property(items, "UID")
	if !ok {
		return 0, false
	}
	return v.number()
}

// sectionOf returns the text of the section whose name begins with name.
func sectionOf(items []imapValue, name string) []byte {
	for i := 0; i+1 < len(items); i += 2 {
		if strings.HasPrefix(upperASCII(items[i].text), "BODY["+name) {
			return []byte(items[i+1].text)
		}
	}
	return nil
}

func (m *imapMailbox) Content(folder, id string, whole bool) (Content, error) {
	uid, err := parseUID(id)
	if err != nil {
		return Content{}, err
	}
	if err := m.examine(folder); err != nil {
		return Content{}, err
	}
	size := int64(maxBody)
	if whole {
		size *= 4
	}
	responses, err := m.fetch(imap.UIDSetNum(uid), &imap.FetchOptions{UID: true, BodySection: []*imap.FetchItemBodySection{
		{Specifier: imap.PartSpecifierHeader, Peek: true, Partial: &imap.SectionPartial{Size: maxHeader}},
		{Specifier: imap.PartSpecifierText, Peek: true, Partial: &imap.SectionPartial{Size: size}},
	}})
	if err != nil {
		return Content{}, err
	}
	for _, items := range responses {
		if got, ok := uidOf(items); ok && got == uint32(uid) {
			return Content{Header: sectionOf(items, "HEADER"), Body: sectionOf(items, "TEXT")}, nil
		}
	}
	return Content{}, malformedf("FETCH: no response for this message")
}

// Delete needs UIDPLUS (RFC 4315). Without UID EXPUNGE, only a bare EXPUNGE would
// remove the messages, and with them messages that others have marked.
func (m *imapMailbox) Delete(folder string, ids []string) error {
	if !m.offers("UIDPLUS") {
		return errors.New("the server has no UIDPLUS, so that a message cannot be deleted alone")
	}
	var set imap.UIDSet
	for _, id := range ids {
		uid, err := parseUID(id)
		if err != nil {
			return err
		}
		set.AddNum(uid)
	}
	m.open = ""
	_, err := m.d.client.Select(folder, nil).Wait()
	if err := m.d.serverError("SELECT", err); err != nil {
		return fmt.Errorf("not deleted: %w", err)
	}
	store := &imap.StoreFlags{Op: imap.StoreFlagsAdd, Silent: true, Flags: []imap.Flag{imap.FlagDeleted}}
	if err := m.d.serverError("STORE", m.d.client.Store(set, store, nil).Close()); err != nil {
		return fmt.Errorf("not deleted: %w", err)
	}
	if err := m.d.serverError("EXPUNGE", m.d.client.UIDExpunge(set).Close()); err != nil {
		return fmt.Errorf("marked and not removed: %w", err)
	}
	// Dovecot answers OK also where the user lacks the right to expunge (RFC 4314 e).
	left, err := m.fetch(set, &imap.FetchOptions{UID: true})
	if err != nil {
		return err
	}
	if slices.ContainsFunc(left, func(items []imapValue) bool { uid, ok := uidOf(items); return ok && set.Contains(imap.UID(uid)) }) {
		return errors.New("marked and not removed: the server answered OK to UID EXPUNGE and kept the message")
	}
	if m.offers("UNSELECT") {
		return m.d.serverError("UNSELECT", m.d.client.Unselect().Wait())
	}
	return nil // EXAMINE and LOGOUT close the folder without expunging
}

func parseUID(id string) (imap.UID, error) {
	n, err := strconv.ParseUint(id, 10, 32)
	if err != nil || n == 0 {
		return 0, &fault{reason: mail.LocalBug, err: fmt.Errorf("%q is no UID", id)}
	}
	return imap.UID(n), nil
}

// headerField returns the value of the first field of a name, unfolded.
func headerField(header []byte, name string) string {
	value, found := "", false
	for line := range strings.Lines(string(header)) {
		line = strings.TrimRight(line, "\r\n")
		switch {
		case found && line != "" && (line[0] == ' ' || line[0] == '\t'):
			value += " " + strings.TrimSpace(line)
		case found:
			return value
		default:
			before, after, ok := strings.Cut(line, ":")
			if ok && strings.EqualFold(strings.TrimSpace(before), name) {
				value, found = strings.TrimSpace(after), true
			}
		}
	}
	return value
}
