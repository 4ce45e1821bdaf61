//go:build unix

package pool

import "testing"

func TestDescriptorLimit(t *testing.T) {
	for _, test := range []struct {
		name   string
		wanted int
		open   uint64
		want   int
	}{
		{"plenty", 4096, 1 << 20, 4096},
		{"unlimited", 4096, 1<<64 - 1, 4096},
		{"a shell's 1024", 4096, 1024, 234},
		{"a service with 256 descriptors", 4096, 256, 42},
		{"a very low 64 keeps half for scrapes", 4096, 64, 10},
		{"nearly none still probes", 4096, 1, 1},
		{"none at all", 4096, 0, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, lowered := withinDescriptors(test.wanted, test.open)
			if got != test.want || lowered != (test.want != test.wanted) {
				t.Errorf("%d probes with %d descriptors: %d, lowered %v; want %d", test.wanted, test.open, got, lowered, test.want)
			}
		})
	}
	for open, want := range map[uint64]int{1 << 20: 256, 1024: 256, 256: 64, 64: 16, 1: 1} {
		got := idleWithin(open)
		probes, _ := withinDescriptors(4096, open)
		if got != want || open >= 64 && uint64(got+descriptorsPerProbe*probes) > open-open/16 {
			t.Errorf("%d idle HTTP connections beside %d probes with %d descriptors, want %d", got, probes, open, want)
		}
	}
	if got, lowered := DescriptorLimit(1); got != 1 || lowered {
		t.Errorf("one probe: %d, lowered %v; this machine can do one", got, lowered)
	}
}
