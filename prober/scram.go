package prober

// This file puts github.com/xdg-go/scram behind the SASL interface and adds the
// two things it leaves to its caller: a ceiling on the work a server may ask
// for, and the demand that the server prove itself.

import (
	"errors"
	"strconv"
	"strings"

	"github.com/emersion/go-sasl"
	"github.com/xdg-go/scram"

	"mailprobe/mail"
)

// The iterations a server may ask for. Below the floor a stolen exchange is
// cheap to guess from (RFC 5802 section 5.1). Each 100,000 cost some 15 ms that
// nothing can cancel; OWASP advises 600,000 for SHA-256.
const (
	minSCRAMIterations = 4096
	maxSCRAMIterations = 600_000
)

// scramClient is SCRAM (RFC 5802, RFC 7677) without channel binding. It belongs
// to one login: the library caches keys per salt without bound.
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

// newSCRAM prepares names and password by SASLprep, as the RFC demands.
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

// Start gives the client's first message.
func (s *scramClient) Start() (string, []byte, error) {
	first, err := s.conversation.Step("")
	s.first = []byte(first)
	return mechanismOf(s.method).name, s.first, err
}

// Next answers the server's first message with the proof and its final message
// with nothing.
func (s *scramClient) Next(challenge []byte) ([]byte, error) {
	if s.conversation.Done() || s.refused {
		return nil, unexpected(s.method, "a challenge after the last one")
	}
	if len(challenge) == 0 && !s.answered && !s.asked {
		s.asked = true // it wants what came with the command once more
		return s.first, nil
	}
	s.answered = true
	text := string(challenge)
	if strings.HasPrefix(text, "e=") {
		s.refused = true // the refusal itself follows, with a code worth more
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

// checkIterations refuses a price that is too high before it is paid, and one
// that is too low before a proof is sent.
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

// verified says whether the server has proved that it knows the password. An OK
// without that proof is no login.
func (s *scramClient) verified() error {
	if s.conversation.Valid() {
		return nil
	}
	return s.impostor("it accepted the login without its signature")
}

// impostor is the fault of a server that cannot prove itself.
func (s *scramClient) impostor(how string) error {
	return &fault{
		reason: mail.ProtocolMalformed,
		hint: "The server did not prove that it knows the password: it may be another server than the one meant. " +
			"Check what answers at this address.",
		err: errors.New(string(s.method) + ": the server did not prove that it knows the password: " + how),
	}
}
