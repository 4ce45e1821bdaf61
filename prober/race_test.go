//go:build race

package prober

// underRace is true where the race detector makes everything dear.
const underRace = true
