//go:build unix

package pool

import "syscall"

const (
	// A probe holds one socket; while it resolves and dials it may hold two.
	descriptorsPerProbe = 2
	// What HTTP connections (up to 256), logs and secret files need at the same time.
	reservedDescriptors = 320
)

// DescriptorLimit lowers a wanted number of probes at once to what the limit of
// open files (RLIMIT_NOFILE) allows beside scrapes, and reports whether it had
// to. It is at least 1.
func DescriptorLimit(wanted int) (int, bool) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return wanted, false
	}
	return withinDescriptors(wanted, uint64(limit.Cur))
}

// withinDescriptors keeps the reserve, or half of a very low limit.
func withinDescriptors(wanted int, open uint64) (int, bool) {
	free := open - min(reservedDescriptors, open/2)
	allowed := max(1, free/descriptorsPerProbe)
	if wanted <= 0 || uint64(wanted) <= allowed {
		return wanted, false
	}
	return int(allowed), true
}
