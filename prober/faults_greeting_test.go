package prober

import (
	"strings"
)

// greetingFaults is section D of the catalogue: what a server can say first.
func greetingFaults() []faultRow {
	return []faultRow{
		{
			numbers: []int{61}, story: "a_greeting_of_fifty_lines_is_read_to_its_end",
			after:       connected,
			script:      map[Protocol]string{SMTP: "REPEAT 49 S: 220-mx.example.org says a lot\n" + afterGreeting(SMTP)},
			encryptions: []Encryption{NoEncryption, ImplicitTLS},
		},
		{
			numbers: []int{61}, story: "a_greeting_of_a_hundred_and_one_lines_is_too_long",
			after:  connected,
			script: map[Protocol]string{SMTP: "REPEAT 101 S: 220-mx.example.org says a lot\nS: 220 ready\nSTALL"},
			phase:  PhaseGreeting, reason: ProtocolOversize,
		},
	}
}

// afterGreeting is an honest conversation from the greeting on, to its end.
func afterGreeting(p Protocol) string {
	return strings.TrimPrefix(honest(p, NoEncryption, opened), "\n") + "BYE " + string(p)
}
