//go:build !unix

package pool

// DescriptorLimit leaves a wanted number of probes at once as it is: this
// system has no limit of open files that a process could ask for.
func DescriptorLimit(wanted int) (int, bool) { return wanted, false }

// IdleConns returns how many HTTP connections may be open without a request.
func IdleConns() int { return maxIdleConns }
