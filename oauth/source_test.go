package oauth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"mailprobe/mail"
)

// script is a token endpoint without a network. It answers each request with the next
// answer, and after the last one with that again.
type script struct {
	mu      sync.Mutex
	answers []answer
	asked   []url.Values // the forms, in order
	delay   time.Duration
}

type answer struct {
	status int
	body   string
}

// RoundTrip answers after the delay, or when the request is given up.
func (s *script) RoundTrip(request *http.Request) (*http.Response, error) {
	raw, err := io.ReadAll(request.Body)
	if err != nil {
		return nil, err
	}
	form, err := url.ParseQuery(string(raw))
	if err != nil {
		return nil, err
	}
	select {
	case <-time.After(s.delay):
	case <-request.Context().Done():
		return nil, request.Context().Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.answers[min(len(s.asked), len(s.answers)-1)]
	s.asked = append(s.asked, form)
	if a.status == 0 {
		a.status = http.StatusOK
	}
	return &http.Response{
		StatusCode: a.status, Header: http.Header{"Content-Type": {"application/json"}},
		Body: io.NopCloser(strings.NewReader(a.body)), Request: request,
	}, nil
}

func (s *script) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.asked)
}

// bearer is a good answer.
func bearer(token string, seconds int) answer {
	return answer{body: fmt.Sprintf(`{"access_token":%q,"token_type":"bearer","expires_in":%d}`, token, seconds)}
}

func rotating(token, refresh string) answer {
	return answer{body: fmt.Sprintf(`{"access_token":%q,"token_type":"Bearer","expires_in":3600,"refresh_token":%q}`, token, refresh)}
}

var (
	revoked = answer{400, `{"error":"invalid_grant","error_description":"MARK"}`}
	broken  = answer{503, `<html>MARK</html>`}
)

func clientSettings() Settings {
	return Settings{TokenURL: "https://login.example.org/token", ClientID: "id", Scopes: []string{"one", "two"},
		ClientSecret: mail.InlineSecret(mail.NewSecret("client-secret"))}
}

func mustSource(t *testing.T, settings Settings, transport http.RoundTripper) mail.TokenSource {
	t.Helper()
	source, err := New(settings, WithTransport(transport))
	if err != nil {
		t.Fatal(err)
	}
	return source
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// wantToken gets a token and compares it.
func wantToken(t *testing.T, source mail.TokenSource, fresh bool, want string) {
	t.Helper()
	got, err := source(t.Context(), fresh)
	if err != nil || got.Reveal() != want {
		t.Errorf("token is %q (%v), want %q", got.Reveal(), err, want)
	}
}

func wantError(t *testing.T, source mail.TokenSource, fresh bool, want error) {
	t.Helper()
	got, err := source(t.Context(), fresh)
	if !errors.Is(err, want) || !got.IsZero() {
		t.Errorf("got %q and %v, want %v", got.Reveal(), err, want)
	}
	if err != nil && (strings.Contains(err.Error(), "MARK") || strings.Contains(err.Error(), "secret-")) {
		t.Errorf("the error shows what it must not: %v", err)
	}
}

func TestClientCredentialsGrantOnTheWire(t *testing.T) {
	endpoint := &script{answers: []answer{bearer("one", 3600)}}
	wantToken(t, mustSource(t, clientSettings(), endpoint), false, "one")
	want := url.Values{"grant_type": {"client_credentials"}, "scope": {"one two"}, "client_id": {"id"}, "client_secret": {"client-secret"}}
	if got := endpoint.asked[0].Encode(); got != want.Encode() {
		t.Errorf("asked with %s, want %s", got, want.Encode())
	}
}

func TestTokenIsFetchedOnceHoweverManyAsk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		endpoint := &script{answers: []answer{bearer("one", 3600)}, delay: time.Second}
		source := mustSource(t, clientSettings(), endpoint)
		var wg sync.WaitGroup
		for i := range 10_000 {
			wg.Go(func() { wantToken(t, source, i%2 == 0, "one") })
		}
		wg.Wait()
		wantToken(t, source, false, "one")
		if endpoint.count() != 1 {
			t.Errorf("10,000 callers caused %d requests, want 1", endpoint.count())
		}
	})
}

func TestTokenIsRenewedBeforeItEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		endpoint := &script{answers: []answer{bearer("one", 3600), bearer("two", 3600)}}
		source := mustSource(t, clientSettings(), endpoint)
		start := time.Now()
		for endpoint.count() < 2 {
			if _, err := source(t.Context(), false); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		if age := time.Since(start); age < 48*time.Minute || age > 57*time.Minute+2*time.Second {
			t.Errorf("renewed after %v, want between 80 and 95 per cent of an hour", age)
		}
	})
}

func TestSourcesDoNotRenewTogether(t *testing.T) {
	now := time.Now()
	renewals := map[time.Time]bool{}
	for range 100 {
		renewals[newAccessToken(mail.NewSecret("x"), now, time.Hour).renew.Truncate(time.Second)] = true
	}
	if len(renewals) < 50 {
		t.Errorf("100 sources renew in %d different seconds, want them spread", len(renewals))
	}
}

func TestTokenLives(t *testing.T) {
	now := time.Now()
	for _, life := range []time.Duration{-time.Hour, 0, time.Second, 30 * time.Second, 2 * time.Minute, time.Hour, 90 * 24 * time.Hour} {
		got := newAccessToken(mail.NewSecret("x"), now, life)
		want := life
		if life <= 0 {
			want = unknownLife
		}
		early := got.expiry.Sub(got.renew)
		if !got.expiry.Equal(now.Add(want)) || early < min(safety, want/2) || !got.renew.After(now) {
			t.Errorf("a life of %v: renewed %v before the end at %v", life, early, got.expiry.Sub(now))
		}
	}
}

func TestFreshTokenAfterARefusal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		endpoint := &script{answers: []answer{bearer("one", 3600), bearer("two", 3600)}}
		source := mustSource(t, clientSettings(), endpoint)
		wantToken(t, source, false, "one")
		time.Sleep(2 * time.Minute)
		wantToken(t, source, false, "one")
		wantToken(t, source, true, "two")
		for range 200 { // the other connections, whose token was refused too
			wantToken(t, source, true, "two")
		}
		if endpoint.count() != 2 {
			t.Errorf("%d requests, want 2", endpoint.count())
		}
	})
}

func TestEndpointDownKeepsAValidToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		endpoint := &script{answers: []answer{bearer("one", 3600), broken}}
		source := mustSource(t, clientSettings(), endpoint)
		wantToken(t, source, false, "one")
		time.Sleep(58 * time.Minute)
		wantToken(t, source, false, "one")
		if endpoint.count() != 2 {
			t.Errorf("%d requests, want the renewal tried", endpoint.count())
		}
		wantError(t, source, true, mail.ErrTokenUnavailable)
		time.Sleep(3 * time.Minute)
		wantError(t, source, false, mail.ErrTokenUnavailable)
	})
}

func TestFailuresAreNotRepeatedAtOnce(t *testing.T) {
	tests := []struct {
		name     string
		answer   answer
		want     error
		atMost   int // requests in the first hour of asking each second
		atLeast  int
		firstGap time.Duration
	}{
		{"endpoint down", broken, mail.ErrTokenUnavailable, 17, 14, unavailableWait},
		{"refresh token revoked", revoked, mail.ErrTokenRejected, 6, 5, rejectedWait},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				endpoint := &script{answers: []answer{tt.answer}}
				source := mustSource(t, clientSettings(), endpoint)
				for second := range 3600 {
					wantError(t, source, second%2 == 1, tt.want)
					if time.Duration(second)*time.Second < tt.firstGap && endpoint.count() != 1 {
						t.Fatalf("%d requests after %d s, want 1", endpoint.count(), second)
					}
					time.Sleep(time.Second)
				}
				if n := endpoint.count(); n > tt.atMost || n < tt.atLeast {
					t.Errorf("%d requests in an hour, want %d to %d", n, tt.atLeast, tt.atMost)
				}
			})
		})
	}
}

func TestCorrectedSecretIsTriedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "secret")
		write(t, path, "secret-old\n")
		settings := clientSettings()
		settings.ClientSecret = mail.FileSecret(path)
		endpoint := &script{answers: []answer{revoked, bearer("one", 3600)}}
		source := mustSource(t, settings, endpoint)
		wantError(t, source, false, mail.ErrTokenRejected)
		wantError(t, source, false, mail.ErrTokenRejected)
		write(t, path, "secret-new\n")
		wantToken(t, source, false, "one")
		if got := endpoint.asked[1].Get("client_secret"); got != "secret-new" {
			t.Errorf("asked with %q, want the new secret", got)
		}
	})
}

func TestRotatedRefreshTokenIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "refresh")
		write(t, path, "secret-first\n")
		settings := clientSettings()
		settings.RefreshTokenFile = mail.FileSecret(path)
		endpoint := &script{answers: []answer{
			rotating("one", "secret-second"), rotating("two", "secret-third"), bearer("three", 3600), revoked, bearer("five", 3600),
		}}
		source := mustSource(t, settings, endpoint)
		for _, want := range []string{"one", "two", "three"} {
			wantToken(t, source, true, want)
			time.Sleep(2 * time.Minute)
		}
		wantError(t, source, true, mail.ErrTokenRejected)
		time.Sleep(2 * time.Minute)
		wantToken(t, source, true, "five") // the file's own, since the rotated one was refused
		write(t, path, "secret-typed\n")
		time.Sleep(2 * time.Minute)
		wantToken(t, source, true, "five")
		wants := []string{"secret-first", "secret-second", "secret-third", "secret-third", "secret-first", "secret-typed"}
		for i, want := range wants {
			form := endpoint.asked[i]
			if form.Get("refresh_token") != want || form.Get("grant_type") != "refresh_token" || form.Get("scope") != "one two" {
				t.Errorf("request %d was %v, want refresh token %q", i, form, want)
			}
		}
	})
}

func TestSlowEndpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		endpoint := &script{answers: []answer{bearer("late", 3600)}, delay: time.Hour}
		source := mustSource(t, clientSettings(), endpoint)
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		if _, err := source(ctx, false); !errors.Is(err, mail.ErrTokenUnavailable) || time.Since(start) != 3*time.Second {
			t.Errorf("gave up after %v with %v, want the caller's 3s", time.Since(start), err)
		}
		wantError(t, source, false, mail.ErrTokenUnavailable)
		if took := time.Since(start); took != fetchTimeout {
			t.Errorf("gave up after %v, want %v", took, fetchTimeout)
		}
	})
}

// A caller that is cancelled does not cancel the fetch for the others.
func TestCancelledCallerDoesNotEndTheFetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		endpoint := &script{answers: []answer{bearer("one", 3600)}, delay: time.Second}
		source := mustSource(t, clientSettings(), endpoint)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := source(ctx, false); !errors.Is(err, mail.ErrTokenUnavailable) || !errors.Is(err, context.Canceled) {
			t.Errorf("a cancelled caller got %v", err)
		}
		wantToken(t, source, false, "one")
		time.Sleep(time.Minute)
		wantToken(t, source, false, "one")
	})
}

func TestSecretFilesThatCannotBeRead(t *testing.T) {
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty")
	write(t, empty, "\n")
	endpoint := &script{answers: []answer{bearer("one", 3600)}}
	tests := []struct {
		name   string
		change func(*Settings)
	}{
		{"client secret missing", func(s *Settings) { s.ClientSecret = mail.FileSecret(filepath.Join(dir, "none")) }},
		{"client secret empty", func(s *Settings) { s.ClientSecret = mail.FileSecret(empty) }},
		{"refresh token is a directory", func(s *Settings) { s.RefreshTokenFile = mail.FileSecret(dir) }},
		{"access token missing", func(s *Settings) { *s = Settings{AccessTokenFile: mail.FileSecret(filepath.Join(dir, "none"))} }},
		{"access token empty", func(s *Settings) { *s = Settings{AccessTokenFile: mail.FileSecret(empty)} }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			settings := clientSettings()
			tt.change(&settings)
			wantError(t, mustSource(t, settings, endpoint), false, mail.ErrTokenSecret)
		})
	}
	if endpoint.count() != 0 {
		t.Errorf("%d requests without a secret, want none", endpoint.count())
	}
}

func TestAccessTokenFileIsReadEachTime(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	source := mustSource(t, Settings{AccessTokenFile: mail.FileSecret(path)}, nil)
	for _, token := range []string{"one", "two"} {
		write(t, path, token+"\n")
		wantToken(t, source, false, token)
	}
}
