package history

// This file remembers the last messages of each route. There are few routes, so
// nothing is packed.

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"mailprobe/mail"
)

// maxMessages is how many messages of a route are remembered.
const maxMessages = 50

// routeRecords is what is remembered of all routes. The zero value has none.
type routeRecords struct {
	mu     sync.Mutex
	byName map[string]*RouteSnapshot
}

// RouteSnapshot is what is known of one route.
type RouteSnapshot struct {
	Route             *mail.Route
	Since             time.Time           // since when it is as it is; zero: no message yet
	LastGood, LastBad *mail.RouteOutcome  // nil: none yet
	Messages          []mail.RouteOutcome // oldest first, at most 50
}

// Last returns the last message; nil: none yet.
func (s *RouteSnapshot) Last() *mail.RouteOutcome {
	if len(s.Messages) == 0 {
		return nil
	}
	return &s.Messages[len(s.Messages)-1]
}

// State returns how the route is by its last message.
func (s *RouteSnapshot) State() State {
	switch last := s.Last(); {
	case last == nil:
		return StateUnknown
	case last.Up():
		return StateUp
	}
	return StateDown
}

// SetRoutes replaces the routes, at load and at reload. Those that send the same
// message on the same way as before keep their history.
func (h *History) SetRoutes(routes []*mail.Route) {
	h.routes.mu.Lock()
	defer h.routes.mu.Unlock()
	next := make(map[string]*RouteSnapshot, len(routes))
	for _, route := range routes {
		old := h.routes.byName[route.Name]
		if old == nil || !old.Route.Same(route) {
			old = &RouteSnapshot{}
		}
		old.Route = route
		next[route.Name] = old
	}
	h.routes.byName = next
}

// ObserveRoute adds what became of one message. It is ignored when its route is
// no longer configured, or sends on another way now.
func (h *History) ObserveRoute(o mail.RouteOutcome) {
	h.routes.mu.Lock()
	defer h.routes.mu.Unlock()
	s := h.routes.byName[o.Route.Name]
	if s == nil || !s.Route.Same(o.Route) {
		return
	}
	if last := s.Last(); last == nil || last.Up() != o.Up() {
		s.Since = o.Ended
	}
	s.Messages = append(s.Messages, o)
	if n := len(s.Messages) - maxMessages; n > 0 {
		s.Messages = slices.Clone(s.Messages[n:])
	}
	if o.Up() {
		s.LastGood = &o
	} else {
		s.LastBad = &o
	}
}

// Routes returns copies of what is known of every route, sorted by name.
func (h *History) Routes() []RouteSnapshot {
	h.routes.mu.Lock()
	defer h.routes.mu.Unlock()
	list := make([]RouteSnapshot, 0, len(h.routes.byName))
	for _, s := range slices.SortedFunc(maps.Values(h.routes.byName), func(a, b *RouteSnapshot) int { return strings.Compare(a.Route.Name, b.Route.Name) }) {
		list = append(list, s.copy())
	}
	return list
}

func (s *RouteSnapshot) copy() RouteSnapshot {
	copied := *s
	copied.Messages = slices.Clone(s.Messages)
	return copied
}
