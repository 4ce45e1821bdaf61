//go:build !race

package prober

// slowdown is by how much the race detector makes long simulations shorter.
const slowdown = 1
