package pool

// This file lets probes begin as fast as the processor can do them. Many probes that
// compute at the same time make each other slower, because the data of each leaves the
// processor's caches before it is used again, and each then measures longer times. A
// probe that waits for its server computes nothing and keeps no other one from
// beginning.

import "time"

// longestPause is how long a busy processor can keep all probes from beginning: another
// program may be what keeps it busy.
const longestPause = 20 * time.Millisecond

// startLocked starts a run with all its places. One that is due on its interval may have
// to wait for the processor first; one that a caller asked for does not.
func (p *Pool) startLocked(r *run) {
	r.placed = time.Now()
	if !r.timed {
		p.beginLocked(r, r.placed)
		return
	}
	p.paced.push(r)
	p.paceLocked(r.placed)
	if p.paced.length == 1 {
		p.wakeUp() // Run begins those that wait
	}
}

// paceLocked begins the runs that wait for the processor, in the order of their arrival,
// as far as it has time for them. While no probe runs, the processor need not be asked
// about: that costs a lone probe a fiftieth of all that it does.
func (p *Pool) paceLocked(now time.Time) {
	for p.paced.length > 0 && (p.paced.length == int(p.all.taken) || !p.opts.Busy() || now.Sub(p.begun) >= longestPause) {
		r := p.paced.first
		p.leavePaceLocked(r, now)
	}
}

// hurryLocked begins a run that waits for the processor, because a caller waits for it.
func (p *Pool) hurryLocked(r *run) {
	if r.isPaced() {
		p.leavePaceLocked(r, time.Now())
	}
}

// leavePaceLocked begins a run that waited for the processor. Starts that became due
// meanwhile are skipped, as others are.
func (p *Pool) leavePaceLocked(r *run, now time.Time) {
	p.paced.remove(r)
	if e := r.entry; !e.scheduled {
		interval := p.spacingLocked(e)
		ticks := 1 + max(0, p.offset(now)-e.next)/interval
		p.skipped += uint64(ticks)
		e.last = e.next + (ticks-1)*interval
		e.next = e.last + interval
		p.schedule.push(e)
	}
	p.beginLocked(r, now)
}

// isOvertaken reports whether an entry is due again while its run still waits for the
// processor. The entry then leaves the schedule until that run begins: on a busy
// processor, most entries that are due are of this kind.
func (e *scheduleEntry) isOvertaken() bool {
	r := e.run
	return r != nil && r.timed && r.isPaced() && e.probed
}
