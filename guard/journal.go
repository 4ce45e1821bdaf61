package guard

// This file is the journal beside the state file. Every process that uses the
// state file appends its attempts and verdicts there, each of them under a lock
// of the file: who writes has read what the others wrote before. The serving
// process takes the journal into the state file from time to time.

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
	compactFrom   = 4 << 20   // bytes from which the serving process takes it into the state file
	compactAlone  = 256 << 10 // bytes from which a run by hand does, if there is no serving process
	lockPatience  = time.Second
	generationKey = "generation"
)

// errContended is the error of an attempt that another process was quicker with.
var errContended = errors.New("another process is logging in to this account")

// journal is one process's view of the file. It is for one goroutine.
type journal struct {
	path       string
	owner      os.FileInfo // of the state file; a new journal belongs to the same user
	generation string      // of the file that was read; another one begins at its start
	offset     int64       // up to which it was read
}

// begin locks the journal and returns what others appended since the last time.
// renewed reports that the file was begun anew: what it held before is in the
// state file now. The caller closes the file, which also unlocks it.
func (j *journal) begin() (file *os.File, events []event, renewed bool, err error) {
	for range 5 { // somebody may remove it meanwhile
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

// read takes in the rest of the file.
func (j *journal) read(file *os.File) (events []event, renewed bool, err error) {
	info, err := file.Stat()
	if err != nil {
		return nil, false, err
	}
	if info.Size() == 0 {
		giveTo(file, j.owner) // root probes by hand, the service user reads
		return nil, j.offset > 0, j.renew(file)
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
	if j.offset > info.Size() { // truncated by a stranger
		j.offset = 0
	}
	if _, err := file.Seek(j.offset, io.SeekStart); err != nil {
		return nil, renewed, err
	}
	events = readJournal(file)
	j.offset = info.Size()
	return events, renewed, nil
}

// append adds events; with durable set they are on the disk when it returns. If
// it fails, the file is as it was.
func (j *journal) append(file *os.File, events []event, durable bool) error {
	var lines bytes.Buffer
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
	if durable {
		return file.Sync()
	}
	return nil
}

// renew empties the journal: all that it held is in the state file.
func (j *journal) renew(file *os.File) error {
	head := fmt.Sprintf("{%q:%q}\n", generationKey, strconv.FormatUint(newID(), 36))
	if err := file.Truncate(0); err != nil {
		return err
	}
	j.generation, j.offset = "", 0
	if _, err := file.WriteAt([]byte(head), 0); err != nil {
		return err
	}
	j.generation, j.offset = head[:len(head)-1], int64(len(head))
	return nil
}

// readJournal reads the events of a journal; lines that are none are left out.
func readJournal(r io.Reader) []event {
	var events []event
	lines := bufio.NewScanner(io.LimitReader(r, 2*maxJournal))
	for lines.Scan() {
		var e event
		if json.Unmarshal(lines.Bytes(), &e) == nil && e.Account != (keyedHash{}) {
			events = append(events, e)
		}
	}
	return events
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
	if like != nil {
		giveTo(file, like)
	}
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
