package exporter

import (
	"context"
	"runtime"
	"runtime/debug"
	"testing"
)

func TestFewConnectionsMayLeaveMoreGarbage(t *testing.T) {
	for _, tt := range []struct {
		alive uint64
		want  int
	}{{0, maxGOGC}, {1 << 20, maxGOGC}, {32 << 20, maxGOGC}, {48 << 20, 133}, {64 << 20, minGOGC}, {1 << 40, minGOGC}} {
		if got := gogcFor(tt.alive); got != tt.want {
			t.Errorf("%d bytes alive: GOGC %d, want %d", tt.alive, got, tt.want)
		}
	}
	runtime.GC()
	if alive := aliveBytes(); alive == 0 || alive > 1<<40 {
		t.Errorf("%d bytes alive", alive)
	}
}

func TestPacingEndsAsItBegan(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	before := debug.SetGCPercent(77)
	defer debug.SetGCPercent(before)
	t.Setenv("GOGC", "")
	paceCollections(ctx)
	if left := debug.SetGCPercent(77); left != 77 {
		t.Errorf("GOGC is %d afterwards, want 77 as before", left)
	}
}
