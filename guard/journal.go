package guard

// This file lets a hand-run probe respect the holds of the serving process, and
// tell it what it learned: it reads the state file, never writes it, and adds
// its verdicts to a journal beside it that the serving process takes in.

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"
)

const maxJournal = 1 << 20 // bytes; some 3,000 verdicts nobody has taken in

func journalPath(state string) string { return state + ".journal" }

// Open makes the guard of a process that probes by hand beside a serving
// one, or between two runs of it. It obeys the holds of the state file and
// leaves its own verdicts for the serving process. Without a state file, or with
// a damaged one, it remembers nothing; one that may not be read is an error.
func Open(opts Options) (*Guard, error) {
	g := newGuard(opts)
	info, err := os.Stat(opts.StatePath)
	if opts.StatePath == "" || os.IsNotExist(err) {
		g.key = newInstallKey()
		return g, nil
	}
	if file, err := os.Open(opts.StatePath); err != nil {
		return nil, err
	} else if err := file.Close(); err != nil {
		return nil, err
	}
	if err := g.load(opts.StatePath); err != nil {
		g.damaged = true
		g.key = newInstallKey()
		g.log.Warn("state file unusable: no holds are known", "err", err)
		return g, nil
	}
	j := &journal{path: journalPath(opts.StatePath), owner: info}
	if file, err := openLocked(j.path, os.O_RDONLY); err == nil {
		for _, e := range readJournal(file) {
			if e.sane(g.now()) {
				g.apply(e, "probed by hand")
			}
		}
		_ = file.Close()
		g.notes = nil // they were said when it happened
	}
	g.store = j
	return g, nil
}

// journal is the store of a process that does not own the state file.
type journal struct {
	path  string
	owner os.FileInfo // of the state file
}

// keep adds a verdict that matters to the journal.
func (j *journal) keep(_ *Guard, e event, _ bool) error {
	if e.Result == "" || e.Result == undecided {
		return nil
	}
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	file, err := openLocked(j.path, os.O_WRONLY|os.O_APPEND|os.O_CREATE)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if info.Size() > maxJournal {
		return fmt.Errorf("%s: full; is the serving mailprobe using this state file?", j.path)
	}
	if info.Size() == 0 {
		giveTo(file, j.owner) // root probes by hand, the service user reads
	}
	_, err = file.Write(append(line, '\n'))
	return err
}

func (*journal) poll(*Guard, time.Time) {}
func (*journal) close(*Guard) error     { return nil }

// takeJournal reads the journal and empties it. A missing one is empty, one that
// is being written is left for the next time.
func takeJournal(path string) ([]event, error) {
	if info, err := os.Stat(path); err != nil || info.Size() == 0 {
		return nil, nil
	}
	file, err := openLocked(path, os.O_RDWR)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	events := readJournal(file)
	return events, file.Truncate(0)
}

// readJournal reads the events of a journal; lines that are none are left out.
func readJournal(r io.Reader) []event {
	var events []event
	lines := bufio.NewScanner(io.LimitReader(r, 2*maxJournal))
	for lines.Scan() {
		var e event
		if json.Unmarshal(lines.Bytes(), &e) == nil {
			events = append(events, e)
		}
	}
	return events
}

// sane reports whether an event can have happened: holds of the past matter for
// a day or so, and none comes from the future.
func (e event) sane(now time.Time) bool {
	age := now.Sub(e.At)
	return age >= -time.Minute && age < forgetAfter && e.Interval >= 0 && e.Interval < forgetAfter
}
