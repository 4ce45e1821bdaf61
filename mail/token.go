package mail

import "errors"

// The errors a TokenSource wraps. Whatever it adds holds no word of the token
// endpoint.
var (
	// ErrTokenUnavailable: no token could be had, for a reason that may pass.
	ErrTokenUnavailable = errors.New("token unavailable")
	// ErrTokenRejected: the endpoint refused the client or the refresh token.
	ErrTokenRejected = errors.New("token refused")
	// ErrTokenSecret: a secret file the token depends on cannot be used.
	ErrTokenSecret = errors.New("token secret unusable")
)
