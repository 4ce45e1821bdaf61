package prober

// This file looks for waiting messages in a watched IMAP mailbox: how many there
// are, and since when the oldest one waits. It asks for counts, flags and arrival
// times, and never for content. It opens mailboxes with EXAMINE only.
//
// A look that fails does not fail the probe. The values it did not get stay
// unknown.

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/emersion/go-imap/v2"

	"mailprobe/mail"
)

// maxPlainSearch is the number of unread messages up to which SEARCH is sent
// without RETURN. Its answer is a single line: 3 KB for 500 messages, 30 KB for
// 5,000.
const maxPlainSearch = 500

// statusAnswer is the answer to STATUS; nil: not in the answer.
type statusAnswer struct {
	unseen, size         *uint64
	uidNext, uidValidity uint32 // 0: not in the answer
}

// statusBefore sends STATUS for a watched mailbox before it is opened: for the
// open one it is discouraged (RFC 9051 section 6.3.11). A refusal is noted in the
// dialogue.
func (d *imapDialect) statusBefore(name string) (s statusAnswer) {
	if !d.c.Watches() {
		return s
	}
	options := &imap.StatusOptions{NumMessages: true, NumUnseen: true, UIDNext: true, UIDValidity: true, Size: d.announces("STATUS=SIZE") || d.announces("IMAP4REV2")}
	responses, err := d.ask("STATUS", func() error {
		_, err := d.client.Status(name, options).Wait()
		return err
	})
	if err != nil {
		d.noteUnlearned(err, "STATUS", "the number of unread messages")
	}
	for _, r := range responses {
		if len(r) == 3 && strings.EqualFold(r[0].text, "STATUS") && r[2].isList {
			s.read(r[2].list)
		}
	}
	return s
}

// read stores the items of one STATUS response. If counts contradict each other,
// none is stored.
func (s *statusAnswer) read(items []imapValue) {
	number := func(name string) (uint32, bool) {
		v, _ := property(items, name)
		return v.number()
	}
	unseen, unseenOK := number("UNSEEN")
	if messages, ok := number("MESSAGES"); unseenOK && (!ok || unseen <= messages) {
		s.unseen = new(uint64(unseen))
	}
	if v, ok := property(items, "SIZE"); ok {
		if size, ok := v.number64(); ok {
			s.size = &size
		}
	}
	s.uidNext, _ = number("UIDNEXT")
	s.uidValidity, _ = number("UIDVALIDITY")
}

// imapLook is one look at an open mailbox.
type imapLook struct {
	d      *imapDialect
	now    time.Time
	opened responses // as of the answer to EXAMINE
	facts  *mail.WatchFacts
	asked  bool // the newest message's time has been asked for

	oldest, newest fetchedMessage // those of facts
}

// look returns the waiting messages of the mailbox that was just opened; nil: it
// is not watched.
func (d *imapDialect) look(name string, status statusAnswer, opened responses) *mail.WatchFacts {
	if !d.c.Watches() {
		return nil
	}
	l := &imapLook{d: d, now: time.Now(), opened: opened,
		facts: &mail.WatchFacts{Unread: status.unseen, Size: status.size, UIDNext: status.uidNext, UIDValidity: status.uidValidity}}
	if codes := opened.opened; codes.uidNext != 0 && codes.uidValidity != 0 {
		l.facts.UIDNext, l.facts.UIDValidity = codes.uidNext, codes.uidValidity
	}
	if opened.counted {
		l.count(opened.exists)
	}
	l.findOldest()
	if l.hasMessages() && !l.asked {
		l.fetch(imap.SeqSet{{}}, nil)
	}
	l.sinceSeen()
	if d.announces("QUOTA") && d.w.failed() == nil {
		l.quota(name)
	}
	return l.facts
}

// count sets the number of waiting messages.
func (l *imapLook) count(exists uint64) {
	if exists == 0 {
		l.facts.Unread = new(uint64(0))
	}
	switch l.d.c.Watch {
	case mail.WatchAll:
		l.facts.Waiting = &exists
	default:
		l.facts.Waiting = l.facts.Unread
	}
}

// hasMessages reports whether FETCH can be sent: in an empty mailbox it is an error
// (RFC 9051 section 9, seq-number).
func (l *imapLook) hasMessages() bool {
	return l.opened.counted && l.opened.exists > 0 && l.d.w.failed() == nil
}

// candidate is a message that may be the oldest waiting one.
type candidate struct {
	number uint32 // its sequence number; 0: known by its UID
	uid    imap.UID
}

// isIt reports whether a FETCH response is about the candidate: servers may send
// flags of other messages at any time.
func (c candidate) isIt(m fetchedMessage) bool {
	if c.number != 0 {
		return m.number == c.number
	}
	return m.uid == uint32(c.uid)
}

// rung is one way to find the oldest waiting message. It returns false if the
// server does not offer this way, or if none was found.
type rung func(*imapLook) (candidate, bool)

// rungs are the ways for each mode, the cheapest first. Each answer is checked
// with the message's flags, because servers make mistakes. Read only.
var rungs = map[mail.WatchMode][]rung{
	mail.WatchAll:    {(*imapLook).firstMessage},
	mail.WatchUnread: {(*imapLook).byUnseenCode, (*imapLook).byExtendedSearch, (*imapLook).byPlainSearch, (*imapLook).firstOfUnread},
}

// findOldest tries the rungs until one leads to a waiting message.
func (l *imapLook) findOldest() {
	if w := l.facts.Waiting; w != nil && *w == 0 {
		return
	}
	var tried []candidate
	for _, rung := range rungs[l.d.c.Watch] {
		if !l.hasMessages() {
			return
		}
		c, found := rung(l)
		if !found || slices.Contains(tried, c) {
			continue
		}
		tried = append(tried, c)
		if m, found := l.fetch(numSet(c), &c); found && (l.d.c.Watch == mail.WatchAll || m.isUnread()) {
			l.oldest, l.facts.Oldest = m, m.arrived
			return
		}
	}
}

// numSet returns the set for a FETCH of a candidate and of the newest message.
func numSet(c candidate) imap.NumSet {
	if c.number != 0 {
		return imap.SeqSet{{Start: c.number, Stop: c.number}, {}}
	}
	return imap.UIDSet{{Start: c.uid, Stop: c.uid}, {}}
}

// firstMessage returns message 1.
func (l *imapLook) firstMessage() (candidate, bool) { return candidate{number: 1}, true }

// byUnseenCode returns the message of the code [UNSEEN n] in the answer to EXAMINE
// (RFC 3501 section 7.1), which costs nothing. RFC 9051 has no such code.
func (l *imapLook) byUnseenCode() (candidate, bool) {
	n := l.opened.opened.unseen
	return candidate{number: n}, n > 0 && uint64(n) <= l.opened.exists
}

// byExtendedSearch asks for the lowest UID only (ESEARCH, RFC 4731).
func (l *imapLook) byExtendedSearch() (candidate, bool) {
	if !l.d.announces("ESEARCH") && !l.d.announces("IMAP4REV2") {
		return candidate{}, false
	}
	return l.search(&imap.SearchOptions{ReturnMin: true})
}

// byPlainSearch asks for the unread messages, if they are few.
func (l *imapLook) byPlainSearch() (candidate, bool) {
	if unread := l.facts.Unread; unread == nil || *unread > maxPlainSearch {
		return candidate{}, false
	}
	return l.search(nil)
}

// firstOfUnread returns message 1 if no message is read, according to STATUS.
func (l *imapLook) firstOfUnread() (candidate, bool) {
	return candidate{number: 1}, l.facts.Unread != nil && *l.facts.Unread >= l.opened.exists
}

// search runs UID SEARCH NOT SEEN and returns the lowest UID of the answer.
func (l *imapLook) search(options *imap.SearchOptions) (candidate, bool) {
	unread := &imap.SearchCriteria{NotFlag: []imap.Flag{imap.FlagSeen}}
	responses, err := l.d.ask("SEARCH", func() error {
		_, err := l.d.client.UIDSearch(unread, options).Wait()
		return err
	})
	if err != nil {
		l.d.noteUnlearned(err, "SEARCH", "the oldest unread message")
		return candidate{}, false
	}
	lowest := uint32(0)
	for _, r := range responses {
		for _, uid := range foundUIDs(r) {
			if lowest == 0 || uid < lowest {
				lowest = uid
			}
		}
	}
	return candidate{uid: imap.UID(lowest)}, lowest > 0
}

// foundUIDs returns the UIDs of one SEARCH response, or the minimum of an ESEARCH
// response about UIDs. UID 0 does not exist: a server that sends it has found none.
func foundUIDs(response []imapValue) (uids []uint32) {
	if len(response) == 0 {
		return nil
	}
	values := response[1:]
	switch upperASCII(response[0].text) {
	case "SEARCH":
	case "ESEARCH":
		if len(values) > 0 && values[0].isList { // (TAG "T7")
			values = values[1:]
		}
		if len(values) == 0 || !strings.EqualFold(values[0].text, "UID") {
			return nil // sequence numbers, not UIDs
		}
		lowest, _ := property(values[1:], "MIN")
		values = []imapValue{lowest}
	default:
		return nil
	}
	for _, v := range values {
		if uid, ok := v.number(); ok && uid > 0 {
			uids = append(uids, uid)
		}
	}
	return uids
}

// fetchedMessage is one FETCH response.
type fetchedMessage struct {
	number   uint32
	uid      uint32    // 0: not in the response
	flags    []string  // in lower case
	hasFlags bool      // flags were in the response, perhaps none
	arrived  time.Time // zero: not in the response, or no valid date
	future   bool      // its date is in the future, and arrived is now
}

// isUnread reports whether the message is known to be without the flag \Seen.
func (m fetchedMessage) isUnread() bool { return m.hasFlags && !slices.Contains(m.flags, `\seen`) }

// fetch asks for UID, flags and arrival time of a candidate and of the newest
// message, which is "*" in every set of this file. It returns the candidate.
// Without a candidate, no flags are asked for.
func (l *imapLook) fetch(set imap.NumSet, c *candidate) (found fetchedMessage, ok bool) {
	options := &imap.FetchOptions{UID: true, Flags: c != nil, InternalDate: true}
	last := l.d.filter.now().exists
	responses, err := l.d.ask("FETCH", func() error { return l.d.client.Fetch(set, options).Close() })
	if err != nil {
		l.d.noteUnlearned(err, "FETCH", "when messages arrived")
		return found, false
	}
	l.asked = true
	last = min(last, l.d.filter.now().exists) // messages may come and go meanwhile
	for _, r := range responses {
		m, isFetch := l.read(r)
		if !isFetch {
			continue
		}
		if c != nil && c.isIt(m) && !m.arrived.IsZero() {
			found, ok = m, true
		}
		if uint64(m.number) >= last && !m.arrived.IsZero() {
			last, l.newest, l.facts.Newest = uint64(m.number), m, m.arrived
		}
	}
	return found, ok
}

// read parses one FETCH response. An arrival in the future counts as now.
func (l *imapLook) read(response []imapValue) (m fetchedMessage, ok bool) {
	if len(response) != 3 || !strings.EqualFold(response[1].text, "FETCH") || !response[2].isList {
		return m, false
	}
	items := response[2].list
	if m.number, ok = response[0].number(); !ok {
		return m, false
	}
	uid, _ := property(items, "UID")
	m.uid, _ = uid.number()
	flags, _ := property(items, "FLAGS")
	m.hasFlags = flags.isList
	for _, flag := range flags.list {
		m.flags = append(m.flags, lowerASCII(flag.text))
	}
	date, _ := property(items, "INTERNALDATE")
	m.arrived = internalDate(date.text)
	if m.future = m.arrived.After(l.now); m.future {
		m.arrived = l.now
	}
	return m, true
}

// sinceSeen counts the age of a message from the future since it was first seen, as for
// POP3: its date would let it be new at each probe, and never too old.
func (l *imapLook) sinceSeen() {
	last := l.newest.uid
	first := cmp.Or(l.oldest.uid, last)
	if l.d.sightings == nil || l.facts.UIDValidity == 0 || last == 0 || !l.oldest.future && !l.newest.future {
		return
	}
	id := func(uid uint32) string { return fmt.Sprint(l.facts.UIDValidity, ".", uid) }
	oldest, newest := l.d.sightings.Seen(l.d.c, id(first), id(last), l.now)
	if l.oldest.future {
		l.facts.Oldest, l.facts.FirstSeen = oldest, true
	}
	if l.newest.future {
		l.facts.Newest, l.facts.FirstSeen = newest, true
	}
}

// internalDate parses a date-time of RFC 9051 section 9; its day may begin with a
// space. It returns zero for anything else, and for 1970-01-01, which servers send
// if they do not know the arrival.
func internalDate(text string) time.Time {
	t, err := time.Parse("_2-Jan-2006 15:04:05 -0700", text)
	if err != nil || t.Unix() < 24*60*60 {
		return time.Time{}
	}
	return t
}

// quota asks for the storage quota of the mailbox (RFC 9208).
func (l *imapLook) quota(name string) {
	responses, err := l.d.ask("GETQUOTAROOT", func() error {
		_, err := l.d.client.GetQuotaRoot(name).Wait()
		return err
	})
	if err != nil {
		l.d.noteUnlearned(err, "GETQUOTAROOT", "the quota")
	}
	for _, r := range responses {
		used, limit, ok := storageQuota(r)
		if ok && (l.facts.QuotaLimit == nil || float64(used)/float64(limit) > float64(*l.facts.QuotaUsed)/float64(*l.facts.QuotaLimit)) {
			l.facts.QuotaUsed, l.facts.QuotaLimit = &used, &limit
		}
	}
}

// storageQuota parses a QUOTA response and returns bytes; on the wire, STORAGE is
// in units of 1024 octets. A limit of 0 means no limit.
func storageQuota(response []imapValue) (used, limit uint64, ok bool) {
	if len(response) != 3 || !strings.EqualFold(response[0].text, "QUOTA") {
		return 0, 0, false
	}
	resources := response[2].list
	for i := 0; i+2 < len(resources); i += 3 {
		used, usedOK := resources[i+1].number64()
		limit, limitOK := resources[i+2].number64()
		const most = 1 << 53 // KiB; more does not fit 63 bits of bytes
		if strings.EqualFold(resources[i].text, "STORAGE") && usedOK && limitOK && limit > 0 && used < most && limit < most {
			return used << 10, limit << 10, true
		}
	}
	return 0, 0, false
}

// announces reports whether the server announced a capability.
func (d *imapDialect) announces(name string) bool { return d.filter.now().caps[name] }

// ask runs one command of a look and returns the data responses to it.
func (d *imapDialect) ask(command string, run func() error) ([][]imapValue, error) {
	d.ordered = true
	defer func() { d.ordered = false }()
	return d.data(command, run)
}

// noteUnlearned notes in the dialogue which value is unknown because a command
// failed.
func (d *imapDialect) noteUnlearned(err error, command, what string) {
	why := "has no usable answer"
	var no *refusal
	if errors.As(err, &no) {
		why = "was refused"
	}
	d.w.log.note(command + " " + why + ": " + what + " is not known")
}

// itemOrder is the order of the items of a look in a command. Read only.
var itemOrder = []string{"MESSAGES", "UNSEEN", "UIDNEXT", "UIDVALIDITY", "SIZE", "UID", "FLAGS", "INTERNALDATE"}

// inOrder sorts the list that ends a command, so that equal commands have equal
// bytes. It also replaces UNSEEN in a search by NOT SEEN, which more servers
// answer correctly.
func inOrder(p []byte) []byte {
	if command, ok := bytes.CutSuffix(p, []byte(" UNSEEN\r\n")); ok {
		return append(bytes.Clone(command), " NOT SEEN\r\n"...)
	}
	open := bytes.LastIndexByte(p, '(')
	if open < 0 || !bytes.HasSuffix(p, []byte(")\r\n")) {
		return p
	}
	items := strings.Fields(string(p[open+1 : len(p)-3]))
	slices.SortFunc(items, func(a, b string) int { return slices.Index(itemOrder, a) - slices.Index(itemOrder, b) })
	return append(bytes.Clone(p[:open+1]), strings.Join(items, " ")+")\r\n"...)
}
