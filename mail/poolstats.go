package mail

// PoolStats shows how well the schedule of probes is kept. It is defined here
// because the package that counts and the one that shows it do not know each
// other.
type PoolStats struct {
	InFlight int    // probes running now
	Limit    int    // most that may run at once
	Skipped  uint64 // starts that did not happen, since the program began
}
