package web

// This file computes the small pictures of the pages; the templates draw them
// as inline SVG. Units are those of the pictures' view boxes.

import (
	"fmt"
	"math"
	"strings"

	"mailprobe/history"
	"mailprobe/internal/human"
	"mailprobe/mail"
)

// The sample bar: one upright bar for each outcome, the newest on the right. The height
// of a successful outcome is its duration, relative to the longest successful one
// shown.
const (
	barStep   = 5 // from bar to bar
	barWidth  = 4
	barHeight = 24
	barLow    = 8 // height of a successful outcome that took no time

	// failedHeight is the height of a failed outcome. Its bar hangs from the top, so
	// that it can be recognised without colour.
	failedHeight = 14
)

// sampleBar is the picture of the last outcomes.
type sampleBar struct {
	Width, Height int
	Summary       string
	None          string // path of the places that are still empty
	Good          string // path of the good outcomes
	Bad           []failedBar
}

// failedBar is the bar of a failed outcome.
type failedBar struct {
	X, Y, Width, Height int
	Title               string
}

func newSampleBar(samples []history.Sample) sampleBar {
	bar := sampleBar{Width: history.MaxSamples*barStep - (barStep - barWidth), Height: barHeight}
	var none, good strings.Builder
	empty := history.MaxSamples - len(samples)
	for i := range empty {
		fmt.Fprintf(&none, "M%d %dh%dv-2h-%dz", i*barStep, barHeight, barWidth, barWidth)
	}
	var longest float64
	for _, b := range samples {
		if b.Up() {
			longest = max(longest, b.Duration.Seconds())
		}
	}
	ups := 0
	for i, b := range samples {
		x := (empty + i) * barStep
		if !b.Up() {
			bar.Bad = append(bar.Bad, failedBar{x, 0, barWidth, failedHeight, fmt.Sprintf("%s: %s in phase %s after %s",
				b.At.Format("15:04:05 MST"), b.Reason, b.Phase, human.Duration(b.Duration))})
			continue
		}
		ups++
		height := barHeight
		if longest > 0 {
			height = barLow + int(math.Round((barHeight-barLow)*b.Duration.Seconds()/longest))
		}
		fmt.Fprintf(&good, "M%d %dh%dv-%dh-%dz", x, barHeight, barWidth, height, barWidth)
	}
	bar.None, bar.Good = none.String(), good.String()
	bar.Summary = "not probed yet"
	if len(samples) > 0 {
		bar.Summary = fmt.Sprintf("%d of the last %d probes succeeded; the newest is on the right", ups, len(samples))
	}
	return bar
}

// phaseBar is the picture of how a probe's time is divided into phases.
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
		bar.Parts = append(bar.Parts, phasePart{Phase: p.Phase, X: at, Width: width, Duration: human.Duration(p.Duration),
			Failed: o.Failure != nil && o.Failure.Phase == p.Phase})
		words = append(words, string(p.Phase)+" "+human.Duration(p.Duration))
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
