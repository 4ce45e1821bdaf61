package routes

// This file sends one message on demand, for the command line only. The limits of the
// schedule apply to it too.

import (
	"context"
	"errors"
	"fmt"
	"time"

	"mailprobe/mail"
)

// minInterval is the minimum time between two messages of one route, on demand or not.
const minInterval = time.Minute

// SendNow sends one message of a route now, whatever its interval, and returns
// what became of it, after at most the route's deadline. An error means that
// nothing was sent, or that ctx ended before that was known; in the latter
// case the next message deletes what turns up.
func (t *Tracker) SendNow(ctx context.Context, route *mail.Route) (mail.RouteOutcome, error) {
	wait, inFlight, err := t.Journal.reserveNow(route, time.Now())
	switch {
	case err != nil:
		return mail.RouteOutcome{}, fmt.Errorf("journal of routes: %w", err)
	case inFlight >= maxInFlight:
		return mail.RouteOutcome{}, fmt.Errorf("route %q: %d messages have no result yet: no more is sent", route.Name, inFlight)
	case wait > 0:
		return mail.RouteOutcome{}, fmt.Errorf("route %q: enough was sent: the next message may be sent in %s", route.Name, wait.Round(time.Second))
	}
	o, known := t.Send(ctx, route)
	if !known {
		return o, errors.Join(context.Cause(ctx), ctx.Err())
	}
	return o, nil
}

// reserveNow counts one more message of a route like reserve, but the interval is
// the shortest. Messages of a process that died are not waited for longer than
// their deadline.
func (j *Journal) reserveNow(route *mail.Route, now time.Time) (wait time.Duration, inFlight int, err error) {
	j.mu.Lock()
	if m := j.kept.Routes[route.Name]; m != nil {
		for _, l := range m.Messages {
			if !l.Over && now.Sub(l.Sent) < route.Deadline+sessionTime {
				inFlight++
			}
		}
	}
	j.mu.Unlock()
	if inFlight >= maxInFlight {
		return 0, inFlight, nil
	}
	wait, err = j.reserve(route.Name, minInterval, now)
	return wait, inFlight, err
}
