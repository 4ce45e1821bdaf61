package subprocess

import (
	"flag"
	"strconv"
)

// InParallel lets n tests of a package run at once, which may be more than there are
// processors: tests of programs and of silence mostly wait. TestMain calls it. A
// -parallel on the command line takes precedence.
func InParallel(n int) {
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if !given {
		_ = flag.Set("test.parallel", strconv.Itoa(n)) // the flag of every test binary
	}
}
