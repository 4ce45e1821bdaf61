// Only CI uses it, so it stays out of the module of mailprobe.
module mailprobe/ci/platforms

go 1.26.0

require golang.org/x/tools v0.51.0

require (
	golang.org/x/mod v0.41.0 // indirect
	golang.org/x/sync v0.23.0 // indirect
)
