package web

// This file computes the small pictures of the pages; the templates draw them
// as inline SVG. Units are those of the pictures' view boxes.

import (
	"fmt"
	"math"
	"strings"

	"mailprobe/history"
	"mailprobe/mail"
)

// The beat bar: one upright bar an outcome, the newest on the right. The height
// of a good one is its duration, relative to the longest good one shown.
const (
	beatStep   = 5 // from bar to bar
	beatWidth  = 4
	beatHeight = 24
	beatLow    = 8 // height of a good outcome that took no time
)

// beatBar is the picture of the last outcomes.
type beatBar struct {
	Width, Height int
	Summary       string
	None          string // path of the places that are still empty
	Good          string // path of the good outcomes
	Bad           []badBeat
}

// badBeat is the bar of a failed outcome.
type badBeat struct {
	X, Width, Height int
	Title            string
}

func newBeatBar(beats []history.Beat) beatBar {
	bar := beatBar{Width: history.MaxBeats*beatStep - (beatStep - beatWidth), Height: beatHeight}
	var none, good strings.Builder
	empty := history.MaxBeats - len(beats)
	for i := range empty {
		fmt.Fprintf(&none, "M%d %dh%dv-2h-%dz", i*beatStep, beatHeight, beatWidth, beatWidth)
	}
	var longest float64
	for _, b := range beats {
		if b.Up() {
			longest = max(longest, b.Duration.Seconds())
		}
	}
	ups := 0
	for i, b := range beats {
		x := (empty + i) * beatStep
		if !b.Up() {
			bar.Bad = append(bar.Bad, badBeat{x, beatWidth, beatHeight, fmt.Sprintf("%s: %s in phase %s after %s",
				b.At.Format("15:04:05"), b.Reason, b.Phase, brief(b.Duration))})
			continue
		}
		ups++
		height := beatHeight
		if longest > 0 {
			height = beatLow + int(math.Round((beatHeight-beatLow)*b.Duration.Seconds()/longest))
		}
		fmt.Fprintf(&good, "M%d %dh%dv-%dh-%dz", x, beatHeight, beatWidth, height, beatWidth)
	}
	bar.None, bar.Good = none.String(), good.String()
	bar.Summary = "not probed yet"
	if len(beats) > 0 {
		bar.Summary = fmt.Sprintf("%d of the last %d probes succeeded; the newest is on the right", ups, len(beats))
	}
	return bar
}

// phaseBar is the picture of where the time of a probe went.
type phaseBar struct {
	Summary string
	Parts   []phasePart
}

// phasePart is one phase; X and Width are parts of 1000.
type phasePart struct {
	Phase    mail.Phase
	X, Width float64
	Duration string
	Failed   bool
}

func newPhaseBar(o *mail.Outcome) phaseBar {
	var bar phaseBar
	var total, at float64
	for _, p := range o.Phases {
		total += p.Duration.Seconds()
	}
	var words []string
	for _, p := range o.Phases {
		width := 0.0
		if total > 0 {
			width = 1000 * p.Duration.Seconds() / total
		}
		bar.Parts = append(bar.Parts, phasePart{Phase: p.Phase, X: at, Width: width, Duration: brief(p.Duration),
			Failed: o.Failure != nil && o.Failure.Phase == p.Phase})
		words = append(words, string(p.Phase)+" "+brief(p.Duration))
		at += width
	}
	bar.Summary = strings.Join(words, ", ")
	return bar
}

// ring is the picture of how many connections are up: arcs of a circle with a
// circumference of 100.
type ring struct{ Up, Down, DownFrom float64 }

func newRing(up, down, unknown int) ring {
	total := float64(up + down + unknown)
	if total == 0 {
		return ring{}
	}
	r := ring{Up: 100 * float64(up) / total, Down: 100 * float64(down) / total}
	r.DownFrom = -r.Up // a negative offset starts the dash later
	return r
}
