package mail

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"mailprobe/internal/canary"
)

// Secrets are compared by value: token sources compare what they read from a file with
// what they read before.
func TestSecretsAreEqualByValue(t *testing.T) {
	long := strings.Repeat("x", 100)
	if NewSecret("one") != NewSecret("o"+strings.TrimSpace(" ne ")) || NewSecret(long) != NewSecret(strings.Clone(long)) {
		t.Error("two secrets with one value differ")
	}
	if NewSecret("one") == NewSecret("two") || NewSecret("one") == (Secret{}) {
		t.Error("two secrets with two values are equal")
	}
	if NewSecret("") != (Secret{}) || !NewSecret("").IsZero() || NewSecret("").Reveal() != "" {
		t.Error("an empty secret is not the zero one")
	}
	one, again := InlineSecret(NewSecret("one")), InlineSecret(NewSecret("one"))
	if one != again || FileSecret("a") == FileSecret("b") {
		t.Error("want sources to be equal only if they return the same secret")
	}
}

// TestSecretNeverPrints prints secrets with every verb, also in the unexported fields of a
// struct, for which fmt calls no method.
func TestSecretNeverPrints(t *testing.T) {
	password := canary.New()
	secret := NewSecret(password)
	type inside struct {
		secret  Secret
		source  SecretSource
		pointer *Secret
	}
	var log strings.Builder
	logger := slog.New(slog.NewJSONHandler(&log, nil))
	for _, v := range []any{secret, &secret, InlineSecret(secret), []Secret{secret}, map[string]Secret{"x": secret},
		map[Secret]string{secret: "x"}, inside{secret, InlineSecret(secret), &secret}, &inside{secret: secret}} {
		shown := fmt.Sprint(v) + fmt.Sprintf("%v %+v %#v %s %q %x %X %d", v, v, v, v, v, v, v, v)
		if text, err := json.Marshal(v); err == nil {
			shown += string(text)
		}
		logger.Info("secret", "is", v)
		if coding := canary.Find(shown+log.String(), password); coding != "" {
			t.Errorf("%T shows the secret %s: %s%s", v, coding, shown, log.String())
		}
	}
}
