package prober

// This file adapts github.com/xdg-go/scram to the SASL interface. It adds the two
// checks that the library leaves to its caller: an upper limit on the iterations that a
// server may request, and the requirement that the server prove that it knows the
// password.

import (
	"errors"
	"strconv"
	"strings"

	"github.com/emersion/go-sasl"
	"github.com/xdg-go/scram"

	"mailprobe/mail"
)

// The limits of the iterations that a server may request. Below the minimum, whoever
// recorded an exchange can guess the password cheaply (RFC 5802 section 5.1). 100,000
// iterations take about 15 ms and cannot be cancelled; OWASP advises 600,000 for
// SHA-256.
const (
	minSCRAMIterations = 4096
	maxSCRAMIterations = 600_000
)

// scramClient is SCRAM (RFC 5802, RFC 7677) without channel binding. It is used for one
// login only: the library caches the keys of every salt and never drops one.
type scramClient struct {
	method       mail.AuthMethod
	conversation *scram.ClientConversation
	first        []byte // the client's first message
	answered     bool   // the server has begun to answer it
	asked        bool   // the server passed over it once
	refused      bool   // the server ended with an error of its own
}

func newSCRAMSHA1(id identity) (sasl.Client, error) {
	return newSCRAM(mail.AuthSCRAMSHA1, scram.SHA1, id)
}

func newSCRAMSHA256(id identity) (sasl.Client, error) {
	return newSCRAM(mail.AuthSCRAMSHA256, scram.SHA256, id)
}

// newSCRAM prepares names and password by SASLprep, as the RFC requires.
func newSCRAM(method mail.AuthMethod, hash scram.HashGeneratorFcn, id identity) (*scramClient, error) {
	client, err := hash.NewClient(id.user, id.secret, id.authzid)
	if err != nil {
		// The library's error quotes the name; the reader knows it.
		return nil, &fault{reason: mail.LocalSecret,
			err: errors.New(string(method) + ": user name or password contains characters that SASLprep (RFC 4013) prohibits")}
	}
	client.WithMinIterations(minSCRAMIterations)
	return &scramClient{method: method, conversation: client.NewConversation()}, nil
}

// Start returns the client's first message.
func (s *scramClient) Start() (string, []byte, error) {
	first, err := s.conversation.Step("")
	s.first = []byte(first)
	return mechanismOf(s.method).name, s.first, err
}

// Next answers the server's first message with the proof, and its final message with an
// empty answer.
func (s *scramClient) Next(challenge []byte) ([]byte, error) {
	if s.conversation.Done() || s.refused {
		return nil, unexpected(s.method, "a challenge after the last one")
	}
	if len(challenge) == 0 && !s.answered && !s.asked {
		s.asked = true // it asks again for the message that came with the command
		return s.first, nil
	}
	s.answered = true
	text := string(challenge)
	if strings.HasPrefix(text, "e=") {
		s.refused = true // the refusal itself follows, with a better code
		return []byte{}, nil
	}
	if err := s.checkIterations(text); err != nil {
		return nil, err
	}
	answer, err := s.conversation.Step(text)
	switch {
	case err == nil:
		return []byte(answer), nil
	case s.conversation.Done():
		return nil, s.impostor("its signature is wrong")
	}
	return nil, unexpected(s.method, "a challenge that breaks RFC 5802")
}

// checkIterations returns an error for too many iterations before they are computed,
// and for too few before a proof is sent.
func (s *scramClient) checkIterations(challenge string) error {
	for field := range strings.SplitSeq(challenge, ",") {
		digits, ok := strings.CutPrefix(field, "i=")
		if !ok {
			continue
		}
		iterations, err := strconv.ParseUint(digits, 10, 64)
		switch {
		case errors.Is(err, strconv.ErrRange) || err == nil && iterations > maxSCRAMIterations:
			return &fault{reason: mail.ProtocolOversize,
				err: errors.New(string(s.method) + ": the server asks for more than 600,000 iterations")}
		case err != nil || iterations < minSCRAMIterations:
			return unexpected(s.method, "the server asks for fewer than 4,096 iterations")
		}
	}
	return nil
}

// verified returns an error unless the server has proved that it knows the password. An
// OK without that proof is not a login.
func (s *scramClient) verified() error {
	if s.conversation.Valid() {
		return nil
	}
	return s.impostor("it accepted the login without its signature")
}

// impostor returns the fault of a server that has not proved that it knows the
// password.
func (s *scramClient) impostor(how string) error {
	return &fault{
		reason: mail.ProtocolMalformed,
		hint: "The server did not prove that it knows the password: it may be another server than the one meant. " +
			"Check what answers at this address.",
		err: errors.New(string(s.method) + ": the server did not prove that it knows the password: " + how),
	}
}
