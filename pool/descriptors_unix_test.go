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
		{"a shell's 1024", 4096, 1024, 352},
		{"a very low 64 keeps half for scrapes", 4096, 64, 16},
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
	if got, lowered := DescriptorLimit(1); got != 1 || lowered {
		t.Errorf("one probe: %d, lowered %v; this machine can do one", got, lowered)
	}
}
