package pool

// This file bounds how many runs probe at once.

import "container/list"

// limiter lets a limited number of runs probe at once and queues the others in
// the order of their arrival.
//
// Each run passes the same three limiters: that of its exclusive key, that of its
// host, that of the whole pool. It keeps its places while it waits for the next
// one, so a run that waits for its host holds nothing that a run to another host
// could need.
type limiter struct {
	key             string
	capacity, taken int
	users           int       // runs that need a place, wait for one or have one
	queue           list.List // of *run
}

// limiterFor finds a limiter or makes it.
func limiterFor(limiters map[string]*limiter, key string, capacity int) *limiter {
	g := limiters[key]
	if g == nil {
		g = &limiter{key: key, capacity: capacity}
		limiters[key] = g
	}
	return g
}

// forget drops a limiter without users, so that old hosts and names cost nothing.
func forget(limiters map[string]*limiter, g *limiter) {
	if g.users == 0 {
		delete(limiters, g.key)
	}
}
