package config

// This file loads the configuration again while the program runs.

import (
	"crypto/sha256"
	"maps"
	"sync"

	"mailprobe/mail"
	"mailprobe/oauth"
)

// Source is a configuration on disk that can be loaded again. Token sources, and
// the tokens they hold, survive a reload. Its methods may be called by several
// goroutines at once.
type Source struct {
	path  string
	files *mail.SecretFiles // of all loads

	mu     sync.Mutex
	tokens *oauth.Sources // of the last load without a fault
	seen   contents       // what the last load read
}

// NewSource returns the source for a path as Load takes it. It reads nothing.
func NewSource(path string) *Source { return &Source{path: path, files: new(mail.SecretFiles)} }

// Load reads and validates the configuration, like the function Load.
func (s *Source) Load() (*Config, []Finding, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := s.tokens.Next()
	l := newFileLoader(s.path, next.Source)
	l.files = s.files
	config, warnings, err := l.load()
	if err == nil {
		s.tokens = next
	}
	s.seen = l.reader.seen
	return config, warnings, err
}

// Changed reports whether a reload would read something else than the last Load
// did, with or without faults: another content of a YAML, certificate or key file,
// or other YAML files. Secret files do not count: they are read again before each
// login. It compares contents and does not watch the files: in Kubernetes, a
// ConfigMap's file is a link into a directory that is replaced.
func (s *Source) Changed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	files, _ := expand(s.path) // nil where there are none
	now := contents{}
	for _, file := range files {
		_, _ = now.read(file, maxFile)
	}
	for file := range s.seen {
		if _, done := now[file]; !done {
			_, _ = now.read(file, maxPEM)
		}
	}
	return !maps.Equal(now, s.seen)
}

// contents maps each file that was read to its hash; zero: it could not be read.
type contents map[string][sha256.Size]byte

// read is readBounded, and records the hash.
func (c contents) read(path string, limit int64) ([]byte, error) {
	raw, err := readBounded(path, limit)
	if err != nil {
		c[path] = [sha256.Size]byte{}
		return nil, err
	}
	c[path] = sha256.Sum256(raw)
	return raw, nil
}
