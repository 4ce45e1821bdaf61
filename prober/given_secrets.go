package prober

// This file remembers which secrets each server was given, so that its text can be
// searched for all of them. A server is known by its configured name and by its
// address. Text is never searched for secrets of other servers: a server could send
// guesses and see in <withheld> which of them is right.

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"hash/maphash"
	"math/bits"
	"slices"
	"sync"
	"time"

	"mailprobe/mail"
)

const (
	// secretWindow is the number of consecutive bytes of a secret that count as a
	// hit. A shorter secret counts as a whole.
	secretWindow = 8
	// maxWholeWord is the length up to which a secret is only found as a separate
	// word: two letters are a part of many words.
	maxWholeWord = 3
	// Of a secret longer than maxDense, such as a token, one window in sparseStep is
	// kept: that finds every part of secretWindow+sparseStep-1 bytes.
	maxDense   = 128
	sparseStep = 16

	// A server mostly sends the same texts in each probe, and a search is expensive,
	// because it decodes. So many texts are remembered as clean in one generation: some
	// for each server, and some more for a server with many accounts.
	cleanTextsPerServer = 16
	moreCleanTexts      = 1 << 10

	maxServers  = 1 << 16        // in one generation, of a few hundred bytes each
	maxWindows  = 1 << 19        // in one generation, 4 to 8 MiB
	tokenMemory = 24 * time.Hour // a token is remembered for 24 to 48 h
)

// givenSecrets holds the secrets given to every server, by its host name in lower case
// and by its IP address. Its zero value is ready to use. A name may have another address
// at each probe, so servers are kept in two generations too: if the newer one is full, the
// older one is dropped with the servers that were not contacted since it was the newer.
type givenSecrets struct {
	mu      sync.Mutex
	key     [16]byte // makes tags and window hashes useless elsewhere; made with the first server
	seed    maphash.Seed
	servers map[uint64]*serverSecrets // by the keyed hash of the name, which would take more memory
	older   map[uint64]*serverSecrets

	sets  sharedSets
	clean cleanTexts
}

// server returns the secrets of a server; it is created if there is none yet.
func (g *givenSecrets) server(name string) *serverSecrets {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.servers == nil {
		_, _ = rand.Read(g.key[:]) // it never fails
		g.seed = maphash.MakeSeed()
		g.servers = map[uint64]*serverSecrets{}
	}
	id := g.hashOf(lowerASCII(name))
	s := g.servers[id]
	if s != nil {
		return s
	}
	if s = g.older[id]; s == nil {
		s = &serverSecrets{given: g}
	}
	if len(g.servers) >= maxServers {
		g.older, g.servers = g.servers, map[uint64]*serverSecrets{}
	}
	g.servers[id] = s
	g.clean.allow(moreCleanTexts + cleanTextsPerServer*(len(g.servers)+len(g.older)))
	return s
}

// setOf returns the set of one secret. It is shared, and never changed.
func (g *givenSecrets) setOf(text string) *secretSet {
	return g.sets.get(g.tagOf(text), func() *secretSet {
		set := &secretSet{isShared: true}
		g.addTo(set, text)
		return set
	})
}

// addTo adds a secret to a set.
func (g *givenSecrets) addTo(set *secretSet, text string) {
	tag := g.tagOf(text)
	hashes := []uint64{tag}
	for _, form := range searchedForms(text) {
		for _, window := range windowsOf(form) {
			hashes = append(hashes, g.hash(pack(window), len(window)))
			set.lengths |= 1 << len(window)
		}
	}
	set.add(hashes...)
	set.version += tag
	set.latest = g.quickHash(text)
}

// tagOf returns a keyed hash of a whole secret, which is kept among those of its
// windows.
func (g *givenSecrets) tagOf(secret string) uint64 {
	sum := sha256.Sum256(append(g.key[:], secret...))
	return binary.LittleEndian.Uint64(sum[:])
}

// quickHash returns a hash of a whole secret that says whether it is the latest one.
func (g *givenSecrets) quickHash(secret string) uint64 { return maphash.String(g.seed, secret) }

// hashOf returns a keyed hash of a text: without the key, a server cannot construct two
// texts with the same hash.
func (g *givenSecrets) hashOf(text string) uint64 {
	var room [16 + maxSearchedText]byte
	sum := sha256.Sum256(append(append(room[:0], g.key[:]...), text...))
	return binary.LittleEndian.Uint64(sum[:])
}

// hash mixes a window and its length with the key. Different windows of the same
// length never have the same hash.
func (g *givenSecrets) hash(window uint64, length int) uint64 {
	h := (window ^ binary.LittleEndian.Uint64(g.key[:8])) * (binary.LittleEndian.Uint64(g.key[8:]) | 1)
	return (h ^ h>>32) + uint64(length)
}

// serverSecrets holds the secrets that one server was given. Passwords are kept
// while there is room; tokens, which are renewed every hour, for 24 to 48 h.
type serverSecrets struct {
	given *givenSecrets

	mu        sync.RWMutex
	passwords generations
	tokens    *generations // nil: none was given yet
}

// add remembers a secret. It is called before the secret is sent: the server may
// know it from an earlier run of this process.
func (s *serverSecrets) add(secret mail.Secret, isToken bool, now time.Time) {
	if secret.IsZero() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	kept, maxAge := &s.passwords, time.Duration(0)
	if isToken {
		if s.tokens == nil {
			s.tokens = new(generations)
		}
		kept, maxAge = s.tokens, tokenMemory
	}
	kept.rotate(now, maxAge)
	text := secret.Reveal()
	// No secret is kept as it is: a server keeps those that have been replaced long ago.
	quick := s.given.quickHash(text)
	switch {
	case kept.current == nil:
		kept.current = s.given.setOf(text)
		return
	case kept.current.latest == quick: // as at nearly each probe
		return
	case kept.current.isShared:
		kept.current = kept.current.clone()
	}
	if kept.current.has(s.given.tagOf(text)) {
		kept.current.latest = quick
		return
	}
	s.given.addTo(kept.current, text)
}

// has reports whether bytes, folded like the forms of a secret (fold), hold a window
// of a secret.
func (s *serverSecrets) has(text []byte) bool {
	end, _ := s.find(text, 0)
	return end > 0
}

// find returns the end and the length of the first window of a secret that ends
// behind from; end 0: there is none.
func (s *serverSecrets) find(text []byte, from int) (end, length int) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	lengths, _ := s.describeLocked()
	if lengths == 0 {
		return 0, 0
	}
	var last uint64 // the last eight bytes, the newest lowest
	for end := 1; end <= len(text); end++ {
		last = last<<8 | uint64(text[end-1])
		if end <= from {
			continue
		}
		for left := lengths; left != 0; left &= left - 1 {
			length := bits.TrailingZeros16(left)
			if length > end {
				break
			}
			h := s.given.hash(last&(^uint64(0)>>(64-8*length)), length)
			if (s.passwords.has(h) || s.tokens.has(h)) &&
				(length > maxWholeWord || isWord(text, end-length, end)) {
				return end, length
			}
		}
	}
	return 0, 0
}

// lookUp returns the length of the shortest window (0: there is no secret), whether
// the text is known to be clean, and the version to pass to remember.
func (s *serverSecrets) lookUp(text string) (shortest int, isClean bool, version uint64) {
	s.mu.RLock()
	lengths, version := s.describeLocked()
	s.mu.RUnlock()
	if lengths == 0 {
		return 0, true, version
	}
	return bits.TrailingZeros16(lengths), s.given.clean.has(s.given.hashOf(text) + version), version
}

// remember notes that a text is clean of the secrets of a version, unless another
// secret was added during the search.
func (s *serverSecrets) remember(text string, version uint64) {
	s.mu.RLock()
	_, current := s.describeLocked()
	s.mu.RUnlock()
	if current == version {
		s.given.clean.note(s.given.hashOf(text) + version)
	}
}

// describeLocked returns the lengths of all windows (bit n: there is one of n bytes), and
// the version of the secrets: a number that is the same for each server that was given
// the same ones.
func (s *serverSecrets) describeLocked() (lengths uint16, version uint64) {
	passwords, version := s.passwords.describe()
	tokens, more := s.tokens.describe()
	return passwords | tokens, version + more
}

// isWord reports whether there is no letter or digit next to text[from:to].
func isWord(text []byte, from, to int) bool {
	return (from == 0 || !isAlnum(text[from-1])) && (to == len(text) || !isAlnum(text[to]))
}

func isAlnum(b byte) bool {
	return b >= 'a' && b <= 'z' || b >= '0' && b <= '9' || b >= 'A' && b <= 'Z' || b >= 0x80
}

// pack puts at most eight bytes into a number.
func pack(window string) (packed uint64) {
	for i := range len(window) {
		packed = packed<<8 | uint64(window[i])
	}
	return packed
}

// sharedSets holds the newest sets of one secret. A host and its address, and all servers
// with the same password, share one.
type sharedSets struct {
	mu     sync.Mutex
	recent [32]*secretSet
	oldest int
}

// get returns the set of the secret with a tag; it is made if there is none.
func (s *sharedSets) get(tag uint64, make func() *secretSet) *secretSet {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, set := range s.recent {
		if set != nil && set.version == tag {
			return set
		}
	}
	set := make()
	s.recent[s.oldest] = set
	s.oldest = (s.oldest + 1) % len(s.recent)
	return set
}

// cleanTexts remembers texts in a newer and an older generation: keyed hashes, each with
// the version of the secrets that the text holds none of.
type cleanTexts struct {
	mu           sync.RWMutex
	newer, older hashSet
	most         int // in one generation
}

// allow sets how many texts a generation may have.
func (c *cleanTexts) allow(most int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.most = most
}

// has reports whether a text was noted. It then belongs to the newer generation.
func (c *cleanTexts) has(h uint64) bool {
	c.mu.RLock()
	isNew, isOld := c.newer.has(h), c.older.has(h)
	c.mu.RUnlock()
	if isOld && !isNew {
		c.note(h)
	}
	return isNew || isOld
}

// note notes a text. If the newer generation is full, the older one is dropped.
func (c *cleanTexts) note(h uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if int(c.newer.used) >= c.most {
		c.newer, c.older = hashSet{}, c.newer
	}
	c.newer.add(h)
}

// generations holds secrets in a newer and an older set. A secret that is used again
// moves to the newer set; the older set is dropped as a whole.
type generations struct {
	current, previous *secretSet // nil: there is none yet
	began             int64      // the current one, in seconds since the Unix epoch
}

// rotate drops the older generation if the newer one is full or older than maxAge;
// 0: age does not matter.
func (g *generations) rotate(now time.Time, maxAge time.Duration) {
	full := g.current != nil && g.current.used > maxWindows || maxAge > 0 && now.Unix()-g.began > int64(maxAge/time.Second)
	if g.current != nil && !full {
		return
	}
	g.current, g.previous, g.began = nil, g.current, now.Unix()
}

func (g *generations) has(h uint64) bool { return g != nil && (g.current.has(h) || g.previous.has(h)) }

// describe returns the lengths of the windows (bit n: there is one of n bytes) and the
// version of the secrets.
func (g *generations) describe() (lengths uint16, version uint64) {
	if g == nil {
		return 0, 0
	}
	for _, set := range [...]*secretSet{g.current, g.previous} {
		if set != nil {
			lengths, version = lengths|set.lengths, version+set.version
		}
	}
	return lengths, version
}

// secretSet holds the windows and the tags of whole secrets. A nil one is empty.
type secretSet struct {
	hashSet
	lengths  uint16 // bit n: there is a window of n bytes
	isShared bool   // other servers have the same set
	latest   uint64 // quick hash of the last secret given
	version  uint64 // the sum of the tags: it stands for the secrets
}

// has reports whether a hash was added.
func (s *secretSet) has(h uint64) bool { return s != nil && s.hashSet.has(h) }

// clone returns a copy for one server alone.
func (s *secretSet) clone() *secretSet {
	own := *s
	own.table, own.isShared = slices.Clone(s.table), false
	return &own
}

// hashSet is a hash table with linear probing. A server usually knows one secret with a
// few dozen windows, for which a map would take three times the memory.
type hashSet struct {
	table []uint64 // 0: a free place
	used  uint32
}

// add adds hashes.
func (s *hashSet) add(hashes ...uint64) {
	wanted := int(s.used) + len(hashes)
	if fit := wanted + wanted/4 + 1; fit > len(s.table) {
		old := s.table
		if len(old) > 0 {
			fit = max(fit, len(old)+len(old)/2) // so that growing is rare
		}
		s.table, s.used = make([]uint64, fit), 0
		for _, h := range old {
			s.put(h)
		}
	}
	for _, h := range hashes {
		s.put(orOne(h))
	}
}

// put adds a hash, unless it is 0 or already there.
func (s *hashSet) put(h uint64) {
	if h == 0 {
		return
	}
	if at := s.place(h); s.table[at] == 0 {
		s.table[at] = h
		s.used++
	}
}

// has reports whether a hash was added.
func (s *hashSet) has(h uint64) bool {
	return len(s.table) > 0 && s.table[s.place(orOne(h))] != 0
}

// place returns where a hash is, or the free place where it belongs. The table is
// never full.
func (s *hashSet) place(h uint64) int {
	own, _ := bits.Mul64(h, uint64(len(s.table))) // spreads the hashes over any length
	at := int(own)
	for s.table[at] != 0 && s.table[at] != h {
		if at++; at == len(s.table) {
			at = 0
		}
	}
	return at
}

// orOne returns h, or 1 if h is 0, because 0 means a free place.
func orOne(h uint64) uint64 { return max(h, 1) }

// searchedForms returns the forms in which a secret is searched for: folded, its
// letters and digits alone, and both backwards.
func searchedForms(secret string) []string {
	backwards := []rune(secret)
	slices.Reverse(backwards)
	var forms []string
	for _, direction := range []string{secret, string(backwards)} {
		folded := fold(nil, []byte(direction))
		for _, form := range []string{string(folded), string(lettersOf(nil, folded))} {
			if form != "" && !slices.Contains(forms, form) {
				forms = append(forms, form)
			}
		}
	}
	// A short secret without its punctuation may be a part of any word.
	return slices.DeleteFunc(forms, func(form string) bool {
		return len(form) <= maxWholeWord && len(form) < len(secret)
	})
}

// windowsOf returns the parts of a form that are searched for. Parts that occur in
// ordinarySentences are left out, unless few others would remain.
func windowsOf(form string) []string {
	if len(form) <= secretWindow {
		return []string{form}
	}
	step := 1
	if len(form) > maxDense {
		step = sparseStep
	}
	var all, rare []string
	for at := 0; at+secretWindow <= len(form); at += step {
		window := form[at : at+secretWindow]
		all = append(all, window)
		if !ordinaryWindows()[window] {
			rare = append(rare, window)
		}
	}
	if 3*len(rare) < len(all) {
		return all
	}
	return rare
}

// ordinarySentences are sentences of many servers, folded. Eight letters of the
// password "correct horse" are in "incorrect user name": such a window is no sign
// of the secret.
const ordinarySentences = `
incorrect username or password (failure) incorrect user name or password. incorrect login or password
invalid credentials invalid username or password invalid login invalid password wrong password bad password
authentication failed authentication failure authentication unsuccessful authentication credentials invalid
authentication required authentication successful authenticated but not connected not authenticated
login failed login incorrect login denied logged in logged out logging out login completed login successful
password expired password has expired please change your password application-specific password required
please log in via your web browser user unknown unknown user no such user user disabled account disabled
account is disabled account has been locked account locked service temporarily unavailable service unavailable
try again later please try again temporary authentication failure temporary failure internal error occurred
internal server error permission denied access denied access not allowed not allowed not permitted
mailbox does not exist mailbox doesn't exist no such mailbox mailbox is full mailbox locked mailbox unavailable
server ready server closing connection server terminating connection server unavailable server busy
too many connections too many simultaneous connections maximum number of connections connection rate limit exceeded
support supported not supported unsupported mechanism unrecognized command command not recognized syntax error
welcome to the mail server greetings from hello pleased to meet you service ready esmtp postfix dovecot ready exim
microsoft exchange imap4 service is ready pop3 server ready good morning good afternoon have a nice day goodbye
sender address rejected recipient address rejected relay access denied message accepted for delivery queued
capability completed select completed examine completed namespace completed logout completed pre-login post-login
transport layer security start tls ready to start begin tls negotiation now encryption required starttls first
administrator contact your administrator postmaster security update company internet service provider mail.example.org`

// ordinaryWindows returns the windows of ordinarySentences, with and without the
// characters between words.
var ordinaryWindows = sync.OnceValue(func() map[string]bool {
	windows := map[string]bool{}
	for _, text := range []string{ordinarySentences, string(lettersOf(nil, []byte(ordinarySentences)))} {
		for at := 0; at+secretWindow <= len(text); at++ {
			windows[text[at:at+secretWindow]] = true
		}
	}
	return windows
})
