package cli

import (
	"strings"
	"testing"
)

func TestContainerAddressFollowsTheCommandLineOfProcess1(t *testing.T) {
	tests := []struct{ name, line, want string }{
		{"named with an equals sign", "/mailprobe --config.file=a.yml --web.listen-address=127.0.0.1:9 ", "127.0.0.1:9"},
		{"named as a word of its own", "/mailprobe --web.listen-address :9 --state.file=s", ":9"},
		{"the first of several", "mailprobe --web.listen-address=unix:/run/a --web.listen-address=:9", "unix:/run/a"},
		{"not named", "/mailprobe --config.file=a.yml", "default"},
		{"another program", "/pause --web.listen-address=:9", "default"},
		{"a flag without its value", "/mailprobe --web.listen-address", "default"},
		{"nothing at all", "", "default"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			line := strings.ReplaceAll(strings.TrimSpace(tt.line), " ", "\x00") + "\x00"
			if got := listenAddress(line, "default"); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}
