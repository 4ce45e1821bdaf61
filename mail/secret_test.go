package mail

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"mailprobe/internal/canary"
)

// TestSecretsAreEqualByValue: the token sources compare what they read from a
// file again and again.
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
		t.Error("sources are not equal exactly if they give the same")
	}
}

// TestSecretNeverPrints shows secrets in every way there is, also from inside a
// struct's unexported field, where fmt asks no method.
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
