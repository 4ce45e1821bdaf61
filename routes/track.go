package routes

// This file follows one message: it marks where the folders end, submits, looks,
// checks what it finds, and cleans up.

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"slices"
	"strings"
	"time"

	"mailprobe/mail"
	"mailprobe/prober"
)

const (
	firstLook   = 50 * time.Millisecond // after the submission; each later look is after twice the time of the one before
	lastPause   = 30 * time.Second      // the longest time between two looks of a session
	sessionTime = 30 * time.Second      // of one session at the receiving server
	maxSessions = 6                     // at the receiving server, for one message
	copiesPause = time.Second           // after the message was found, until copies of it are looked for
	writeTime   = 5 * time.Second       // for cleaning up when the session's time is over
)

// Transport is how routes use the mail protocols; *prober.Courier implements it.
type Transport interface {
	Open(ctx context.Context, c *mail.Connection, use func(prober.Mailbox) error) mail.Outcome
	Submit(ctx context.Context, c *mail.Connection, e prober.Envelope, message []byte) prober.Submission
}

// Tracker sends messages and follows them.
type Tracker struct {
	Transport Transport
	Journal   *Journal
	Log       *slog.Logger // nil: no log
}

// track is one message under way.
type track struct {
	*Tracker
	route *mail.Route

	message   message
	begun     bool  // it is in the journal
	unwritten error // why it is not
	submitted bool
	sub       prober.Submission
	session   *mail.Outcome // of the last session at the receiving server that failed; nil: none

	home    string // the folder that the receiving connection opens
	folders []prober.Folder
	marks   map[string]prober.Mark

	looked   time.Time // end of the last look
	before   time.Time // end of the look before that
	sighted  []sighting
	content  prober.Content
	undone   error // why a found copy could not be deleted
	deleted  int
	notice   status      // of the delivery status that came
	bounceAt prober.Mark // where the mailbox of bounces ended
}

// sighting is a copy of the message in a folder.
type sighting struct {
	folder   int // index in folders
	id       string
	unmarked bool // it has the message's ID, and no mark that verifies
}

// Send sends one message of a route and returns what became of it, after at most
// the route's deadline. It is false if ctx ended before that was known.
func (t *Tracker) Send(ctx context.Context, route *mail.Route) (mail.RouteOutcome, bool) {
	k := &track{Tracker: t, route: route}
	start := time.Now()
	k.firstSession(ctx)
	for _, at := range k.laterSessions() {
		if !k.waiting() || !sleep(ctx, time.Until(at)) {
			break
		}
		k.readNotices(ctx)
		if !k.waiting() {
			break
		}
		k.lookAgain(ctx)
	}
	if ctx.Err() != nil && len(k.sighted) == 0 {
		k.finish(mail.RouteOutcome{}) // if it turns up, it is deleted
		return mail.RouteOutcome{}, false
	}
	o := k.outcome(start)
	k.finish(o)
	return o, true
}

// waiting reports whether the message may still turn up.
func (k *track) waiting() bool {
	return k.submitted && len(k.sighted) == 0 && k.notice.action != "failed"
}

// firstSession opens the receiving mailbox before anything is sent: a message
// that cannot be looked for is not sent. Most messages arrive within this session.
func (k *track) firstSession(ctx context.Context) {
	if !k.markBounces(ctx) {
		return
	}
	o := k.Transport.Open(ctx, k.route.Receive, func(box prober.Mailbox) error {
		end := time.Now().Add(sessionTime)
		if err := k.mark(box); err != nil {
			return err
		}
		k.cleanUp(box, true)
		k.submit(ctx)
		if !k.waiting() {
			return nil
		}
		return k.lookUntil(ctx, box, minTime(end, k.deadline()))
	})
	k.sawSession(o)
}

// mark resolves the folders and remembers where each ends now.
func (k *track) mark(box prober.Mailbox) error {
	if err := k.chooseFolders(box); err != nil {
		return err
	}
	k.marks = map[string]prober.Mark{}
	for _, f := range k.folders {
		mark, err := box.Mark(f.Name)
		if err != nil {
			return err
		}
		k.marks[f.Name] = mark
	}
	return nil
}

// chooseFolders lists the folders to look through, the receiving mailbox first.
func (k *track) chooseFolders(box prober.Mailbox) error {
	var err error
	if k.home, err = box.Home(); err != nil {
		return err
	}
	k.folders = []prober.Folder{{Name: k.home}}
	if k.route.Receive.Protocol != mail.IMAP {
		return nil
	}
	all, err := box.Folders()
	if err != nil {
		return err
	}
	if len(k.route.Folders) == 0 {
		k.folders = append(k.folders, k.junk(all)...)
		return nil
	}
	k.folders = nil
	for _, name := range k.route.Folders {
		f := prober.Folder{Name: name}
		if at := slices.IndexFunc(all, func(f prober.Folder) bool { return f.Name == name }); at >= 0 {
			f = all[at]
		}
		k.folders = append(k.folders, f)
	}
	return nil
}

// junk returns the junk folder of the receiving mailbox, if it has one. A user may see those
// of others too: that of a shared mailbox lies beside its inbox or below it, and the user's
// own has the shortest name.
func (k *track) junk(all []prober.Folder) []prober.Folder {
	owner := ""
	if shared := k.home != k.route.Receive.Mailbox; shared {
		owner = strings.TrimSuffix(k.home, "INBOX")
	}
	var found []prober.Folder
	for _, f := range all {
		if f.Junk && f.Name != k.home && strings.HasPrefix(f.Name, owner) && (found == nil || len(f.Name) < len(found[0].Name)) {
			found = []prober.Folder{f}
		}
	}
	return found
}

// submit records the message in the journal and sends it. A message that cannot be
// recorded is not sent, because nothing would delete it.
func (k *track) submit(ctx context.Context) {
	k.unwritten = k.Journal.begin(k.route.Name, func(seq uint64) string {
		k.message = newMessage(k.route, seq, time.Now())
		return k.message.token
	}, time.Now(), k.marks, k.noticesFrom())
	if k.unwritten != nil {
		return
	}
	k.begun = true
	e := prober.Envelope{From: k.route.From, To: k.route.To}
	if k.route.Bounces != nil {
		e.ID = k.message.token
	}
	k.sub = k.Transport.Submit(ctx, k.route.Send, e, k.message.compose(k.route, k.Journal.key()))
	k.submitted = k.sub.Accepted
	k.before, k.looked = k.sub.Answered, k.sub.Answered
}

func (k *track) deadline() time.Time { return k.sub.Answered.Add(k.route.Deadline) }

// lookUntil looks several times in one session: 50, 100, 200, 400 ms after the
// submission, and so on. The measured time is therefore at most twice the real one.
func (k *track) lookUntil(ctx context.Context, box prober.Mailbox, end time.Time) error {
	if k.route.Receive.Protocol == mail.POP3 {
		return nil // a session of POP3 sees only what was there when it began
	}
	for at := firstLook; k.waiting() && !k.sub.Answered.Add(at).After(end); at = min(2*at, at+lastPause) {
		if !sleep(ctx, time.Until(k.sub.Answered.Add(at))) {
			return nil
		}
		if err := k.look(ctx, box); err != nil {
			return err
		}
	}
	return nil
}

// laterSessions returns the times of the sessions after the first. The pauses between them
// grow until the last one at the deadline.
func (k *track) laterSessions() []time.Time {
	if !k.submitted {
		return nil
	}
	n := maxSessions - 1
	begin := sessionTime
	if k.route.Receive.Protocol == mail.POP3 {
		begin = time.Second
	}
	if begin >= k.route.Deadline {
		return []time.Time{k.deadline()}
	}
	times := make([]time.Time, n)
	step := math.Pow(float64(k.route.Deadline)/float64(begin), 1/float64(n))
	for i := range times {
		after := time.Duration(float64(begin) * math.Pow(step, float64(i+1)))
		times[i] = k.sub.Answered.Add(after)
	}
	times[n-1] = k.deadline()
	return times
}

// lookAgain looks in a session of its own.
func (k *track) lookAgain(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, sessionTime)
	defer cancel()
	o := k.Transport.Open(ctx, k.route.Receive, func(box prober.Mailbox) error { return k.look(ctx, box) })
	k.sawSession(o)
}

// look looks through the folders once, and reads and removes what it finds.
func (k *track) look(ctx context.Context, box prober.Mailbox) error {
	if err := k.search(box); err != nil {
		return err
	}
	k.before, k.looked = k.looked, time.Now()
	if len(k.sighted) == 0 {
		return nil
	}
	s := k.sighted[0]
	content, err := box.Content(k.folders[s.folder].Name, s.id, false)
	if err != nil {
		return err
	}
	k.content = content
	if k.route.Receive.Protocol == mail.IMAP && sleep(ctx, copiesPause) { // a copy takes a moment longer
		if err := k.search(box); err != nil {
			return err
		}
	}
	k.cleanUp(box, false)
	return nil
}

// search finds the copies of the message.
func (k *track) search(box prober.Mailbox) error {
	var found []sighting
	for i, f := range k.folders {
		candidates, err := box.Since(f.Name, k.marks[f.Name])
		if err != nil {
			return err
		}
		for _, c := range candidates {
			marked := c.Mark != "" && k.message.verify(c.Mark, k.Journal.key())
			if marked || c.MessageID == k.message.id(k.route) {
				found = append(found, sighting{i, c.ID, !marked})
			}
		}
	}
	k.sighted = found
	return nil
}

// cleanUp deletes the copies of this message, or of earlier ones that turned up
// after they were given up. Only what carries a mark that verifies,
// of a message in the journal, is touched.
func (k *track) cleanUp(box prober.Mailbox, earlier bool) {
	if !k.route.Delete {
		return
	}
	for _, f := range k.folders {
		ids := map[string][]string{} // by token
		switch {
		case !earlier:
			for _, s := range k.sighted {
				if k.folders[s.folder].Name == f.Name && !s.unmarked {
					ids[k.message.token] = append(ids[k.message.token], s.id)
				}
			}
		default:
			ids = k.leftBehind(box, f.Name)
		}
		for token, list := range ids {
			err := box.Delete(f.Name, list)
			if token == k.message.token {
				k.deleted, k.undone = k.deleted+len(list), errors.Join(k.undone, err)
				if err != nil {
					k.deleted -= len(list)
				}
				continue
			}
			if jErr := k.Journal.end(k.route.Name, token, time.Now(), err == nil, len(list)); jErr != nil {
				k.warn("journal of routes not written", "err", jErr)
			}
		}
	}
}

// leftBehind finds messages that were given up, by their tokens.
func (k *track) leftBehind(box prober.Mailbox, folder string) map[string][]string {
	ids := map[string][]string{}
	var over []known
	for _, m := range k.Journal.known(k.route.Name) {
		if m.over && !m.gone {
			over = append(over, m)
		}
	}
	if len(over) == 0 {
		return nil
	}
	candidates, err := box.Since(folder, over[0].marks[folder]) // the oldest
	if err != nil {
		return nil // the failure of the session is reported elsewhere
	}
	for _, c := range candidates {
		for _, m := range over {
			if c.Mark != "" && m.verify(c.Mark, k.Journal.key()) {
				ids[m.token] = append(ids[m.token], c.ID)
			}
		}
	}
	return ids
}

// sawSession keeps the failure of a session at the receiving server: while it
// fails, it is not known whether a message is lost.
func (k *track) sawSession(o mail.Outcome) {
	k.session = nil
	if !o.Up() {
		k.session = &o
	}
}

// finish writes the end of the message into the journal.
func (k *track) finish(o mail.RouteOutcome) {
	if !k.begun {
		return
	}
	never := !k.submitted && (k.sub.Took > 0 || !k.sub.Written) // the server refused it, so it cannot turn up
	gone := never || o.Delivered && (!k.route.Delete || o.Left == 0)
	err := k.Journal.end(k.route.Name, k.message.token, time.Now(), gone, o.Left)
	if never || !k.sub.Notified || actionRank[k.notice.action] > actionRank["delayed"] {
		err = errors.Join(err, k.Journal.answered(k.route.Name, k.message.token))
	}
	if err != nil {
		k.warn("journal of routes not written", "err", err)
	}
}

func (k *track) warn(message string, args ...any) {
	if k.Log != nil {
		k.Log.Warn(message, append([]any{"route", k.route.Name}, args...)...)
	}
}

// sleep waits, and reports whether ctx is still alive then.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

func minTime(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// folderKind returns the kind of the i-th folder.
func (k *track) folderKind(i int) mail.FolderKind {
	switch f := k.folders[i]; {
	case f.Junk:
		return mail.FolderJunk
	case i == 0 || strings.EqualFold(f.Name, k.home):
		return mail.FolderInbox
	}
	return mail.FolderOther
}
