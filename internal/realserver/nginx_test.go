package realserver

import (
	"testing"

	"mailprobe/internal/mailtest"
)

func TestNginxPassesLogins(t *testing.T) {
	t.Parallel()
	behind := StartDovecot(t, Options{PlaintextAuth: true})
	directory := NewDirectory(t, map[string]int{"pop3": behind.POP3})
	server := StartNginx(t, NginxOptions{CA: behind.CA, Directory: directory.URL})

	good := dial(t, server.POP3S, behind.CA)
	good.secure()
	good.hear("+OK")
	good.say("USER "+Alice, "+OK")
	good.say("PASS "+Password(Alice), "+OK")
	good.say("STAT", "+OK 1 ")

	wrong := dial(t, server.POP3, behind.CA)
	wrong.hear("+OK")
	wrong.say("STLS", "+OK")
	wrong.secure()
	wrong.say("USER "+Alice, "+OK")
	wrong.say("PASS wrong", "-ERR Invalid login or password")
}

func TestNginxWithNothingBehind(t *testing.T) {
	t.Parallel()
	ca := mailtest.MustCA(mailtest.CAOptions{})
	for name, directory := range map[string]string{
		"server_down":    NewDirectory(t, map[string]int{"pop3": ClosedPort}).URL,
		"directory_down": NoDirectory,
	} {
		t.Run(name, func(t *testing.T) {
			d := dial(t, StartNginx(t, NginxOptions{CA: ca, Directory: directory}).POP3, ca)
			d.hear("+OK")
			d.say("USER "+Alice, "+OK")
			d.say("PASS "+Password(Alice), "-ERR internal server error")
		})
	}
}
