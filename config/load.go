// Package config turns the YAML file into connections to probe. It is the only
// package that knows YAML; docs/configuration.md is its reference.
package config

import (
	"errors"
	"path/filepath"

	"mailprobe/mail"
	"mailprobe/oauth"
)

// Config is a whole configuration, validated and complete. It is immutable.
type Config struct {
	Pool        Pool
	Metrics     Metrics
	Connections []*mail.Connection // in the order of the file; names are unique
}

// Pool bounds the probes at once.
type Pool struct {
	MaxInFlight        int // at least 1
	MaxInFlightPerHost int // at least 1
}

// Metrics says how durations are told.
type Metrics struct {
	Histograms Histograms
}

// Histograms is a word of `metrics.histograms`.
type Histograms string

// The words of `metrics.histograms`.
const (
	BothHistograms    Histograms = "both"
	NativeHistograms  Histograms = "native"
	ClassicHistograms Histograms = "classic"
	NoHistograms      Histograms = "none"
)

// Tokens makes, or finds, the token source of some OAuth2 settings: the method
// Source of an oauth.Sources. Equal settings shall get the same source, also
// after a reload, because it holds the one token of all its connections.
type Tokens func(oauth.Settings) (mail.TokenSource, error)

// Loader returns the configuration and its warnings, or Faults.
type Loader func() (*Config, []Finding, error)

// Load reads and validates a configuration. What is wrong comes as Faults, all
// of it at once; what is merely unwise comes as warnings, sorted by line, also
// beside an error. Neither ever holds a secret's value. Without tokens each
// Load has token sources of its own.
func Load(path string, tokens Tokens) (*Config, []Finding, error) {
	raw, err := readBounded(path, maxFile)
	if err != nil {
		return nil, nil, Faults{{File: path, Text: withoutPath(err)}}
	}
	return Parse(path, raw, tokens)
}

// Parse is Load for a text that is not in a file. name stands for
// the file in findings, and relative paths are beside it.
func Parse(name string, raw []byte, tokens Tokens) (*Config, []Finding, error) {
	if tokens == nil {
		tokens = new(oauth.Sources).Source
	}
	r := &reader{file: name, dir: filepath.Dir(name), set: map[string]mark{}}
	r.top = r.set
	var config *Config
	if root := r.parse(raw); root != nil {
		config = r.config(root, tokens)
	}
	warnings := r.warnings.sorted()
	if len(r.faults.list) > 0 {
		return nil, warnings, Faults(r.faults.sorted())
	}
	return config, warnings, nil
}

// withoutPath is the cause alone, where the place names the file already.
func withoutPath(err error) string {
	if cause := errors.Unwrap(err); cause != nil {
		return cause.Error()
	}
	return err.Error()
}

// file is the whole document.
type file struct {
	pool        Pool
	metrics     Metrics
	strict      bool
	defaults    *node
	connections *node
}

func freshFile() *file {
	return &file{pool: *freshPool(), metrics: *freshMetrics()}
}

func freshPool() *Pool       { return &Pool{MaxInFlight: 4096, MaxInFlightPerHost: 10} }
func freshMetrics() *Metrics { return &Metrics{Histograms: BothHistograms} }

var fileBlock = block[file]{
	meaning:  "Configuration of mailprobe.",
	fresh:    freshFile,
	extra:    "x-",
	required: []string{"connections"},
	fields: []field[file]{
		{name: "pool", is: nested(poolBlock, func(f *file) *Pool { return &f.pool }), def: "as below",
			meaning: "How many probes may run at once. Read at the start only, not at a reload.", example: "{max_in_flight: 1000}"},
		{name: "metrics", is: nested(metricsBlock, func(f *file) *Metrics { return &f.metrics }), def: "as below",
			meaning: "How durations are exposed. Read at the start only, not at a reload.", example: "{histograms: native}"},
		{name: "strict_permissions", is: boolean(func(f *file) *bool { return &f.strict }), def: "`false`",
			meaning: "Refuse secret files that every user of the machine can read, instead of warning about them.", example: "true"},
		{name: "defaults", is: raw("mapping", defaultsSchema, func(f *file) **node { return &f.defaults }), def: "none",
			meaning: "Any field of a connection except name. A connection's own value wins, even a blank one; labels, tls_config and oauth2 are merged field by field. A default that does not apply to a connection is ignored there.", example: "{interval: 5m}"},
		{name: "connections", is: raw("list of mappings", connectionsSchema, func(f *file) **node { return &f.connections }), def: "required",
			meaning: "The connections to probe.", example: "[{name: mx, protocol: smtp, encryption: starttls, port: 25, host: mx.example.org}]"},
	},
}

var poolBlock = block[Pool]{
	meaning: "How many probes may run at once.",
	fresh:   freshPool,
	fields: []field[Pool]{
		{name: "max_in_flight", is: number(1, 1_000_000, func(p *Pool) *int { return &p.MaxInFlight }), def: "`4096`",
			meaning: "Probes at once, in total; lowered to what the file descriptor limit allows.", example: "1000"},
		{name: "max_in_flight_per_host", is: number(1, 1_000_000, func(p *Pool) *int { return &p.MaxInFlightPerHost }), def: "`10`",
			meaning: "Probes at once to one host, so that a dead one cannot take every slot.", example: "5"},
	},
}

var metricsBlock = block[Metrics]{
	meaning: "How durations are exposed.",
	fresh:   freshMetrics,
	fields: []field[Metrics]{
		{name: "histograms", is: oneOf(same(BothHistograms, NativeHistograms, ClassicHistograms, NoHistograms), func(m *Metrics) *Histograms { return &m.Histograms }), def: "`both`",
			meaning: "Kinds of histograms to expose.", example: "native"},
	},
}

// config reads the document. What it gives is only good without faults.
func (r *reader) config(root *node, tokens Tokens) *Config {
	f := freshFile()
	if isNull(root) {
		r.fault(place{}, "contains no configuration: the file is empty or has only comments")
		return nil
	}
	fileBlock.read(r, root, place{}, f)
	if !isMapping(root) {
		return nil // said, and nothing in it can be judged
	}
	r.strict = f.strict
	defaults := freshEntry()
	if f.defaults != nil {
		at := place{line: f.defaults.Line, where: "defaults"}
		r.set = defaults.set
		connectionBlock.read(r, f.defaults, at, defaults)
		if m, given := defaults.set["name"]; given {
			r.fault(at.sub("name").on(m.line), "cannot have a default")
			delete(defaults.set, "name")
		}
	}
	b := newBuilder(r, tokens)
	b.inlineSecret = !defaults.password.IsZero() || !defaults.oauth2.clientSecret.IsZero()
	connections := b.connections(f.connections, defaults)
	r.warnLoad(f.pool, connections)
	if b.inlineSecret {
		r.checkMode(r.file, place{})
	}
	return &Config{Pool: f.pool, Metrics: f.metrics, Connections: connections}
}
