package guard

// This file is the journal beside the state file. Every process that uses the
// state file appends its attempts and verdicts there under a lock of the file, and
// reads first what the others appended. The serving process merges the journal into
// the state file from time to time.

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

const (
	maxJournal    = 16 << 20  // bytes; some 40,000 events
	compactFrom   = 4 << 20   // bytes from which the serving process merges it into the state file
	compactAlone  = 256 << 10 // bytes from which a probe by hand does, if there is no serving process
	lockPatience  = time.Second
	generationKey = "generation"
)

// errContended is the error of an attempt if another process was the first to record one
// of the same account.
var errContended = errors.New("another process is logging in to this account")

// journal is one process's view of the file. It is for one goroutine.
type journal struct {
	path       string
	owner      os.FileInfo // of the state file; a new journal belongs to the same user
	generation string      // of the file that was read; another one begins at its start
	offset     int64       // up to which it was read
	expected   bool        // the file must be there: it was, in an earlier run
	torn       bool        // its last line has no end
	damaged    bool        // part of it was lost, and no line records that yet
}

// begin locks the journal and returns what others appended since the last time.
// renewed reports that the file was begun anew: what it held before is in the
// state file now. The caller closes the file, which also unlocks it.
func (j *journal) begin() (file *os.File, events []event, renewed bool, err error) {
	for range 5 { // another process may remove it meanwhile
		if file, err = openRegular(j.path, os.O_RDWR|os.O_CREATE); err != nil {
			return nil, nil, false, err
		}
		current, err := lock(file, j.path, lockPatience)
		if err == nil && current {
			events, renewed, err = j.read(file)
		}
		if err != nil {
			return nil, nil, false, errors.Join(err, file.Close())
		}
		if current {
			return file, events, renewed, nil
		}
		_ = file.Close() // nothing was written
	}
	return nil, nil, false, fmt.Errorf("%s: removed again and again", j.path)
}

// look returns the events of a journal that cannot be opened for writing, and therefore
// not be locked.
func (j *journal) look() (events []event) {
	file, err := openRegular(j.path, os.O_RDONLY)
	if err != nil {
		return nil
	}
	defer file.Close()
	if info, err := file.Stat(); err == nil && info.Size() > 0 {
		events, _, _ = j.read(file)
	}
	return events
}

// read takes in the rest of the file.
func (j *journal) read(file *os.File) (events []event, renewed bool, err error) {
	info, err := file.Stat()
	if err != nil {
		return nil, false, err
	}
	if info.Size() == 0 {
		giveTo(file, j.owner) // root probes by hand, the service user reads
		j.damaged = j.damaged || j.expected && j.offset == 0
		return nil, j.offset > 0, j.start(file)
	}
	head := make([]byte, 64)
	n, err := file.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, false, err
	}
	line, _, _ := bytes.Cut(head[:n], []byte("\n"))
	if generation := string(line); generation != j.generation {
		renewed = j.generation != ""
		j.generation, j.offset = generation, 0
	}
	if j.offset > info.Size() { // truncated by another program; what is left was read before
		j.offset, j.damaged, j.torn = info.Size(), true, true
		return nil, renewed, nil
	}
	if _, err := file.Seek(j.offset, io.SeekStart); err != nil {
		return nil, renewed, err
	}
	events, lost := readJournal(file, j.offset == 0)
	last := make([]byte, 1)
	if _, err := file.ReadAt(last, info.Size()-1); err != nil {
		return nil, renewed, err
	}
	j.torn = last[0] != '\n'
	j.damaged = j.damaged || lost || j.torn
	j.offset = info.Size()
	return events, renewed, nil
}

// append adds events; with durable set they are on the disk when it returns. If
// writing fails, it cuts the file to its old length.
func (j *journal) append(file *os.File, events []event, durable bool) error {
	var lines bytes.Buffer
	if j.torn {
		lines.WriteByte('\n')
	}
	for _, e := range events {
		line, err := json.Marshal(e)
		if err != nil {
			return err
		}
		lines.Write(append(line, '\n'))
	}
	if j.offset+int64(lines.Len()) > maxJournal {
		return fmt.Errorf("%s: full; is the serving mailprobe using this state file?", j.path)
	}
	if _, err := file.WriteAt(lines.Bytes(), j.offset); err != nil {
		return errors.Join(err, file.Truncate(j.offset))
	}
	j.offset += int64(lines.Len())
	j.torn = false
	if durable {
		return file.Sync()
	}
	return nil
}

// replace begins the journal anew in a new file, because all that it held is in the
// state file. A process that is killed meanwhile leaves the old one or the new one, never
// an empty one: that would count as damaged.
func (j *journal) replace() error {
	head := newHead()
	file, err := replaceFile(j.path, []byte(head), j.owner)
	if err != nil {
		return err
	}
	j.generation, j.offset, j.torn = head[:len(head)-1], int64(len(head)), false
	return file.Close()
}

// start writes the first line of an empty journal.
func (j *journal) start(file *os.File) error {
	j.generation, j.offset, j.torn = "", 0, false
	head := newHead()
	if _, err := file.WriteAt([]byte(head), 0); err != nil {
		return err
	}
	j.generation, j.offset = head[:len(head)-1], int64(len(head))
	return nil
}

// newHead is the first line of a journal, which tells it from earlier ones.
func newHead() string {
	return fmt.Sprintf("{%q:%q}\n", generationKey, strconv.FormatUint(newID(), 36))
}

// readJournal reads the events of a journal; first: from its first line on. lost reports
// that lines are damaged, and that no later line records that.
func readJournal(r io.Reader, first bool) (events []event, lost bool) {
	lines := bufio.NewScanner(io.LimitReader(r, 2*maxJournal))
	for ; lines.Scan(); first = false {
		var e event
		line := lines.Bytes()
		switch err := json.Unmarshal(line, &e); {
		case err == nil && e.Result == forgotten:
			lost = false
			events = append(events, e)
		case err == nil && e.Account != (keyedHash{}):
			events = append(events, e)
		case len(line) > 0:
			lost = lost || !first || !bytes.HasPrefix(line, []byte(`{"`+generationKey+`":`))
		}
	}
	return events, lost || lines.Err() != nil
}

// replaceFile puts a whole file in the place of the old one: after a crash at
// any moment one of the two is there. It returns the new file, locked.
func replaceFile(path string, content []byte, like os.FileInfo) (*os.File, error) {
	fresh := path + ".new"
	if err := os.Remove(fresh); err != nil && !os.IsNotExist(err) {
		return nil, err
	}
	file, err := openRegular(fresh, os.O_WRONLY|os.O_CREATE|os.O_EXCL)
	if err != nil {
		return nil, err
	}
	giveTo(file, like)
	_, err = lock(file, fresh, 0)
	if err == nil {
		_, err = file.Write(content)
	}
	if err = errors.Join(err, file.Sync()); err == nil {
		err = os.Rename(fresh, path)
	}
	if err == nil {
		err = syncDirectory(filepath.Dir(path))
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}
