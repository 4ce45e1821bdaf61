package mailtest

// This file parses the scripts of scripted servers. It opens no connection; play.go plays
// the scripts.
//
// A script consists of lines. Empty ones and those that begin with # are skipped.
//
//	S: text              send text and CRLF; {tag} becomes the last tag captured
//	SEND "text"          send a Go string literal as it is
//	RAW "bytes"          the same below TLS
//	REPEAT n LINE        do the sending LINE n times; n may be forever
//	C: pattern           the client must send such a line; case does not matter, *
//	                     stands for any text, \* for a star, {tag} captures a word
//	C?: pattern          the same, or the client closes, which ends the script
//	C~ regexp            the same with a regular expression; case does not matter
//	READ n               read n bytes (1 by default), whatever they are
//	EOF                  the client must close without sending more
//	DELAY 50ms           wait
//	SPLIT n [5ms]        from here on send in pieces of n bytes, with a pause
//	                     between them; 0 ends it
//	SPLIT @n             the next sending is cut once, after n bytes
//	DRIP 10ms            the same as SPLIT 1 10ms
//	SPLITWIRE n [5ms]    SPLIT below TLS: the handshake, too, comes in pieces
//	TLS [name]           do a handshake as the server, with the named configuration
//	LOOP n ... END       do the lines between n times; n may be forever
//	DO name              call a Go function of the options
//	BYE imap|pop3|smtp   answer LOGOUT or QUIT, then close
//	STALL                send nothing, read until the client closes
//	DEAF                 send nothing and read nothing until the server is closed
//	SHUT                 end our direction (FIN) and go on reading
//	CLOSE                end the connection with close_notify where TLS is up, and
//	                     FIN, which is also what the end of the script does
//	CUT                  end it with FIN alone
//	RESET                end it with RST

import (
	"errors"
	"fmt"
	"math"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Script is a parsed script. It may be played by several connections at once.
type Script struct {
	Name  string
	steps []step
}

// step is one line of a script, ready to be played.
type step struct {
	line int
	text string
	do   func(*player) error
}

// forever is a count that never ends.
const forever = math.MaxInt

// ParseScript reads a script. Its errors begin with the name and the number of
// the line.
func ParseScript(name, text string) (*Script, error) {
	p := &parser{lines: strings.Split(text, "\n")}
	steps, err := p.block(false)
	if err != nil {
		return nil, fmt.Errorf("%s:%d: %w", name, p.at, err)
	}
	return &Script{Name: name, steps: steps}, nil
}

// MustScript is ParseScript for tests: it panics where ParseScript would return
// an error.
func MustScript(text string) *Script {
	script, err := ParseScript("script", text)
	if err != nil {
		panic(err)
	}
	return script
}

// LoadScript reads a script from a file.
func LoadScript(path string) (*Script, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return ParseScript(path, string(text))
}

// parser walks over the lines of a script.
type parser struct {
	lines []string
	at    int // number of the last line taken
}

// take returns the next line that is not empty and no comment.
func (p *parser) take() (string, bool) {
	for p.at < len(p.lines) {
		line := strings.TrimSuffix(p.lines[p.at], "\r")
		p.at++
		trimmed := strings.TrimLeft(line, " \t")
		if trimmed != "" && trimmed[0] != '#' {
			return trimmed, true
		}
	}
	return "", false
}

// block reads steps up to END, or up to the end of the script.
func (p *parser) block(nested bool) ([]step, error) {
	var steps []step
	for {
		line, ok := p.take()
		switch {
		case !ok && nested:
			return nil, errors.New("LOOP without END")
		case !ok:
			return steps, nil
		case strings.TrimSpace(line) == "END" && nested:
			return steps, nil
		}
		number := p.at
		do, err := p.parse(line)
		if err != nil {
			return nil, err
		}
		steps = append(steps, step{line: number, text: line, do: do})
	}
}

// word reads the argument of one directive.
type word func(arg string) (func(*player) error, error)

// parse reads one line.
func (p *parser) parse(line string) (func(*player) error, error) {
	name, arg, _ := strings.Cut(line, " ")
	switch name {
	case "LOOP": // needs the lines that follow
		return p.loop(arg)
	case "S:", "C:", "C?:", "C~": // their argument is taken with its blanks
	default:
		arg = strings.TrimSpace(arg)
	}
	read := words()[strings.TrimSpace(name)]
	if read == nil {
		return nil, fmt.Errorf("unknown word %q", name)
	}
	return read(arg)
}

// words are all directives but LOOP.
func words() map[string]word {
	return map[string]word{
		"S:":        parseSay,
		"SEND":      parseSend,
		"RAW":       parseRaw,
		"REPEAT":    parseRepeat,
		"C:":        parseGlob(false),
		"C?:":       parseGlob(true),
		"C~":        parseRegexp,
		"READ":      parseRead,
		"EOF":       bare((*player).eof),
		"DELAY":     parseDelay,
		"SPLIT":     parseSplit,
		"DRIP":      parseDrip,
		"SPLITWIRE": parseSplitWire,
		"TLS":       parseTLS,
		"DO":        parseDo,
		"BYE":       parseBye,
		"STALL":     bare((*player).stall),
		"DEAF":      bare((*player).deaf),
		"SHUT":      bare((*player).shut),
		"CLOSE":     bare((*player).finish),
		"CUT":       bare((*player).fin),
		"RESET":     bare((*player).reset),
	}
}

// bare is a directive without an argument.
func bare(do func(*player) error) word {
	return func(arg string) (func(*player) error, error) {
		if arg != "" {
			return nil, fmt.Errorf("nothing may follow here: %q", arg)
		}
		return do, nil
	}
}

func parseSay(arg string) (func(*player) error, error) {
	return func(p *player) error { return p.send(p.expand(arg) + "\r\n") }, nil
}

func parseSend(arg string) (func(*player) error, error) {
	text, err := strconv.Unquote(arg)
	if err != nil {
		return nil, fmt.Errorf("%s is not a Go string", arg)
	}
	return func(p *player) error { return p.send(p.expand(text)) }, nil
}

func parseRaw(arg string) (func(*player) error, error) {
	text, err := strconv.Unquote(arg)
	if err != nil {
		return nil, fmt.Errorf("%s is not a Go string", arg)
	}
	return func(p *player) error { return p.sendRaw(text) }, nil
}

// parseRepeat parses REPEAT. Small texts are joined to blocks, so that a million of them
// need few writes; with SPLIT each is sent separately.
func parseRepeat(arg string) (func(*player) error, error) {
	number, line, _ := strings.Cut(arg, " ")
	count, err := parseCount(number)
	if err != nil {
		return nil, err
	}
	name, text, _ := strings.Cut(strings.TrimLeft(line, " "), " ")
	switch name {
	case "S:":
		text += "\r\n"
	case "SEND":
		if text, err = strconv.Unquote(strings.TrimSpace(text)); err != nil {
			return nil, fmt.Errorf("%s is not a Go string", line)
		}
	default:
		return nil, fmt.Errorf("only S: and SEND can be repeated, not %q", name)
	}
	if text == "" {
		return nil, errors.New("repeating nothing")
	}
	return func(p *player) error { return p.repeat(p.expand(text), count) }, nil
}

func parseGlob(optional bool) word {
	return func(arg string) (func(*player) error, error) {
		var pattern strings.Builder
		pattern.WriteString("(?is)^")
		for rest := arg; rest != ""; {
			switch {
			case strings.HasPrefix(rest, "{tag}"):
				pattern.WriteString(`(?P<tag>\S+)`)
				rest = rest[len("{tag}"):]
			case strings.HasPrefix(rest, `\*`):
				pattern.WriteString(`\*`)
				rest = rest[2:]
			case rest[0] == '*':
				pattern.WriteString(".*")
				rest = rest[1:]
			default:
				_, size := utf8.DecodeRuneInString(rest)
				pattern.WriteString(regexp.QuoteMeta(rest[:size]))
				rest = rest[size:]
			}
		}
		compiled, err := regexp.Compile(pattern.String() + "$")
		if err != nil {
			return nil, fmt.Errorf("%q cannot be matched: %w", arg, err) // {tag} twice, or not UTF-8
		}
		return func(p *player) error { return p.hear(compiled, arg, optional) }, nil
	}
}

func parseRegexp(arg string) (func(*player) error, error) {
	compiled, err := regexp.Compile("(?is)" + arg)
	if err != nil {
		return nil, err
	}
	return func(p *player) error { return p.hear(compiled, arg, false) }, nil
}

func parseRead(arg string) (func(*player) error, error) {
	if arg == "" {
		arg = "1"
	}
	count, err := parseCount(arg)
	if err != nil {
		return nil, err
	}
	return func(p *player) error { return p.skip(count) }, nil
}

func parseDelay(arg string) (func(*player) error, error) {
	d, err := parsePause(arg)
	return func(p *player) error { return p.wait(d) }, err
}

func parseSplit(arg string) (func(*player) error, error) {
	if at, found := strings.CutPrefix(arg, "@"); found {
		offset, err := parseCount(at)
		return func(p *player) error { p.cut = offset; return nil }, err
	}
	pace, err := parsePace(arg)
	return func(p *player) error { p.pace = pace; return nil }, err
}

func parseDrip(arg string) (func(*player) error, error) {
	pause, err := parsePause(arg)
	return func(p *player) error { p.pace = pace{size: 1, pause: pause}; return nil }, err
}

func parseSplitWire(arg string) (func(*player) error, error) {
	pace, err := parsePace(arg)
	return func(p *player) error { p.wire.pace = pace; return nil }, err
}

func parseTLS(arg string) (func(*player) error, error) {
	return func(p *player) error { return p.startTLS(arg) }, nil
}

func parseDo(arg string) (func(*player) error, error) {
	if arg == "" {
		return nil, errors.New("DO needs a name")
	}
	return func(p *player) error { return p.call(arg) }, nil
}

func parseBye(arg string) (func(*player) error, error) {
	if !slices.Contains([]string{IMAP, POP3, SMTP}, arg) {
		return nil, fmt.Errorf("BYE needs imap, pop3 or smtp, not %q", arg)
	}
	return func(p *player) error { return p.bye(arg) }, nil
}

// loop reads the lines up to END.
func (p *parser) loop(arg string) (func(*player) error, error) {
	count, err := parseCount(strings.TrimSpace(arg))
	if err != nil {
		return nil, err
	}
	body, err := p.block(true)
	if err != nil {
		return nil, err
	}
	if len(body) == 0 {
		return nil, errors.New("LOOP around nothing")
	}
	return func(player *player) error {
		for range count {
			if err := player.steps(body); err != nil {
				return err
			}
		}
		return nil
	}, nil
}

func parseCount(text string) (int, error) {
	if text == "forever" {
		return forever, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("%q is not a count", text)
	}
	return n, nil
}

func parsePause(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return 0, fmt.Errorf("%q is not a time such as 50ms", text)
	}
	return d, nil
}

func parsePace(text string) (pace, error) {
	number, rest, both := strings.Cut(text, " ")
	size, err := parseCount(number)
	if err != nil || !both {
		return pace{size: size}, err
	}
	pause, err := parsePause(strings.TrimSpace(rest))
	return pace{size: size, pause: pause}, err
}
