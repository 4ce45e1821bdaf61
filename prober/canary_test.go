package prober

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"
)

// secretWords puts the password into the mouth of a server: as it is, in
// base64, in hex, and its second half backwards.
func secretWords(secret string) *strings.Replacer {
	half := []rune(secret[len(secret)/2:])
	slices.Reverse(half)
	return strings.NewReplacer("{secret}", secret, "{hex}", hex.EncodeToString([]byte(secret)), "{half}", string(half),
		"{base64}", base64.StdEncoding.EncodeToString([]byte(secret)))
}

// toJSON is what an API would write.
func toJSON(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(text)
}
