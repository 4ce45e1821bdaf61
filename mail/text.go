package mail

import "strings"

// NotVisible reports whether r is anything but a visible ASCII character: what
// tokens, timestamps and response codes may not hold.
func NotVisible(r rune) bool { return r <= ' ' || r >= 0x7F }

// Visible reports whether a text has no character but visible ASCII ones. The
// empty text has none.
func Visible(text string) bool { return !strings.ContainsFunc(text, NotVisible) }
