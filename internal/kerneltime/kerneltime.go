// Package kerneltime returns the times that the kernel measured on a TCP
// connection. They do not depend on when a goroutine gets the processor.
package kerneltime
