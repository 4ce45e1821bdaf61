package oauth

// This file keeps tokens: it decides when one is fetched, and that it is fetched
// once however many ask. It knows nothing of HTTP.

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"mailprobe/mail"
)

const (
	// unknownLife is taken for a token whose expires_in is missing, which RFC
	// 6749 section 5.1 only recommends.
	unknownLife = 10 * time.Minute
	// safety is kept before the expiry at least, unless the token lives less
	// than twice as long: a probe may take half a minute to use what it got.
	safety = time.Minute
	// freshFor is how long after its fetch a token counts as the newest there
	// is. Two hundred connections whose token was refused cause one fetch.
	freshFor = time.Minute
)

// How long a failed fetch is not repeated: at first, and after doublings. A
// refusal needs a person; changed credentials are tried at once.
const (
	unavailableWait, unavailableLimit = 10 * time.Second, 5 * time.Minute
	rejectedWait, rejectedLimit       = time.Minute, 30 * time.Minute
)

// source is one set of credentials at one token endpoint.
type source struct {
	endpoint *endpoint

	mu       sync.Mutex
	current  accessToken
	failure  failure
	rotation rotation
	flight   *flight // nil: no fetch is under way
}

// accessToken is a token and its times.
type accessToken struct {
	secret  mail.Secret // empty: there is none yet
	fetched time.Time
	renew   time.Time // from here on a new one is fetched
	expiry  time.Time // from here on it is not used
}

// failure remembers the last fetch if it failed; the zero value is none.
type failure struct {
	err   error
	with  credentials
	wait  time.Duration
	until time.Time
}

// rotation is a refresh token that replaced the one in the file. It lives as
// long as the process: the file is not ours to write.
type rotation struct{ from, to mail.Secret }

// flight is one fetch that any number of callers wait for.
type flight struct {
	done  chan struct{} // closed when token and err are set
	token mail.Secret
	err   error
}

func newSource(e *endpoint) *source { return &source{endpoint: e} }

// token is the prober.TokenSource. Its errors wrap ErrTokenUnavailable,
// ErrTokenRejected or ErrTokenSecret.
func (s *source) token(ctx context.Context, fresh bool) (mail.Secret, error) {
	token, running, err := s.currentOr(fresh, nil)
	if err == nil && running == nil && token.IsZero() {
		with, readErr := s.endpoint.credentials(ctx) // without the lock: the file system may hang
		if readErr != nil {
			return s.lockedFallback(fresh, readErr)
		}
		token, running, err = s.currentOr(fresh, &with)
	}
	if running == nil {
		return token, err
	}
	select {
	case <-running.done:
		if running.err == nil {
			return running.token, nil
		}
		return s.lockedFallback(fresh, running.err)
	case <-ctx.Done():
		return s.lockedFallback(fresh, fmt.Errorf("%w: token endpoint %s: no answer yet: %w",
			mail.ErrTokenUnavailable, s.endpoint.host, context.Cause(ctx)))
	}
}

// currentOr returns the token that serves, the fetch to wait for, or an error. It
// begins a fetch where there is none, if it is given credentials; with nil it
// returns nothing then.
func (s *source) currentOr(fresh bool, with *credentials) (mail.Secret, *flight, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if s.current.serves(now, fresh) {
		return s.current.secret, nil, nil
	}
	if s.flight != nil || with == nil {
		return mail.Secret{}, s.flight, nil
	}
	if err := s.failure.withholds(now, *with); err != nil {
		token, err := s.fallback(now, fresh, err)
		return token, nil, err
	}
	s.flight = &flight{done: make(chan struct{})}
	go s.fetch(s.flight, *with)
	return mail.Secret{}, s.flight, nil
}

// serves reports whether the token can be given without asking the endpoint.
func (t accessToken) serves(now time.Time, fresh bool) bool {
	if t.secret.IsZero() || !now.Before(t.expiry) {
		return false
	}
	if fresh {
		return now.Sub(t.fetched) < freshFor
	}
	return now.Before(t.renew)
}

// withholds returns the last error while it is too early to ask again.
func (f failure) withholds(now time.Time, with credentials) error {
	if f.err != nil && f.with == with && now.Before(f.until) {
		return f.err
	}
	return nil
}

// fallback is the old token while it lasts: it was due for renewal, not dead.
// A caller that asked for a fresh one has seen it refused.
func (s *source) fallback(now time.Time, fresh bool, err error) (mail.Secret, error) {
	if !fresh && !s.current.secret.IsZero() && now.Before(s.current.expiry) {
		return s.current.secret, nil
	}
	return mail.Secret{}, err
}

func (s *source) lockedFallback(fresh bool, err error) (mail.Secret, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fallback(time.Now(), fresh, err)
}

// fetch asks the endpoint once. No caller's context ends it: others wait too.
// The endpoint's own timeout does.
func (s *source) fetch(running *flight, with credentials) {
	s.mu.Lock()
	used := with
	rotated := s.rotation.from == with.refresh && !s.rotation.to.IsZero()
	if rotated {
		used.refresh = s.rotation.to
	}
	s.mu.Unlock()

	got, err := s.endpoint.fetch(used)

	s.mu.Lock()
	defer s.mu.Unlock()
	defer close(running.done)
	s.flight = nil
	if err != nil {
		running.err = err
		s.failure = s.failure.next(time.Now(), with, err)
		if rotated && errors.Is(err, mail.ErrTokenRejected) {
			s.rotation = rotation{} // the file's own may still do
		}
		return
	}
	s.failure = failure{}
	s.current = newAccessToken(got.access, time.Now(), got.life)
	running.token = got.access
	if !got.refresh.IsZero() && got.refresh != used.refresh {
		s.rotation = rotation{from: with.refresh, to: got.refresh}
	}
}

// next is the failure after one more failed fetch.
func (f failure) next(now time.Time, with credentials, err error) failure {
	first, limit := unavailableWait, unavailableLimit
	if errors.Is(err, mail.ErrTokenRejected) {
		first, limit = rejectedWait, rejectedLimit
	}
	wait := first
	if f.err != nil && f.with == with {
		wait = min(max(first, 2*f.wait), limit)
	}
	return failure{err: err, with: with, wait: wait, until: now.Add(wait)}
}

// newAccessToken sets the times of a token that lives for life. It is renewed
// after 80 to 95 per cent of it, at random, so that sources that were started
// together do not stay together.
func newAccessToken(secret mail.Secret, now time.Time, life time.Duration) accessToken {
	if life <= 0 {
		life = unknownLife
	}
	early := time.Duration(float64(life) * (0.05 + 0.15*rand.Float64()))
	early = max(early, min(safety, life/2))
	return accessToken{secret: secret, fetched: now, renew: now.Add(life - early), expiry: now.Add(life)}
}
