package discover

import "mailprobe/mail"

// guessedHosts are the usual names of a domain's servers. The MX is never guessed: it
// receives mail, and users usually log in elsewhere. Read only.
var guessedHosts = []struct {
	protocol mail.Protocol
	names    []string
}{
	{mail.IMAP, []string{"imap", "mail"}},
	{mail.POP3, []string{"pop", "pop3", "mail"}},
	{mail.SMTP, []string{"smtp", "mail"}},
}

// guesses returns usual names with the default ports, for protocols of which nothing
// verified is published. A protocol is left out if the domain declines both of its
// services by SRV.
func (s *search) guesses() []Candidate {
	var candidates []Candidate
	for _, guess := range guessedHosts {
		if s.report.verified(guess.protocol) || s.declined[guess.protocol] > 1 {
			continue
		}
		for _, name := range guess.names {
			for _, encryption := range []mail.Encryption{mail.ImplicitTLS, mail.StartTLS, mail.NoEncryption} {
				candidates = append(candidates, Candidate{Protocol: guess.protocol, Encryption: encryption,
					Host: name + "." + s.domain, Port: mail.DefaultPort(guess.protocol, encryption), Source: FromGuess})
			}
		}
	}
	return candidates
}
