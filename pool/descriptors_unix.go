//go:build unix

package pool

import "syscall"

const (
	// A probe holds one socket, two while it resolves and dials, and the request
	// that waits for it holds another one.
	descriptorsPerProbe = 3
	// What other HTTP connections (256), logs and secret files need at the same time.
	reservedDescriptors = 320
	// Of these, what is not for HTTP.
	ownDescriptors = 64
)

// DescriptorLimit lowers a wanted number of probes at once to what the limit of
// open files (RLIMIT_NOFILE) allows beside scrapes, and reports whether it had
// to. It is at least 1.
func DescriptorLimit(wanted int) (int, bool) {
	open, err := openLimit()
	if err != nil {
		return wanted, false
	}
	return withinDescriptors(wanted, open)
}

// IdleConns returns how many HTTP connections may be open without a request,
// so that they leave the probes their share of the limit of open files.
func IdleConns() int {
	open, err := openLimit()
	if err != nil {
		return maxIdleConns
	}
	return idleWithin(open)
}

func openLimit() (uint64, error) {
	var limit syscall.Rlimit
	err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit)
	return uint64(limit.Cur), err // it is signed on FreeBSD
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

// idleWithin is the part of the reserve that is for HTTP: half of a very low one.
func idleWithin(open uint64) int {
	reserve := min(reservedDescriptors, open/2)
	return int(max(1, min(maxIdleConns, reserve-min(ownDescriptors, reserve/2))))
}
