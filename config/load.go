// Package config turns the YAML file into connections to probe. It is the only
// package that knows YAML; docs/configuration.md is its reference.
package config

import (
	"errors"
	"slices"
	"strings"

	"mailprobe/mail"
	"mailprobe/oauth"
)

// Config is a whole configuration, validated and complete. It is immutable.
type Config struct {
	Pool        Pool
	Metrics     Metrics
	Connections []*mail.Connection // in the order of the files; names are unique
	Disabled    []*mail.Connection // those with `enabled: false`: checked, never probed
	Routes      []*mail.Route      // in the order of the files; names are unique
}

// Pool bounds how many probes run at the same time.
type Pool struct {
	MaxInFlight        int // at least 1
	MaxInFlightPerHost int // at least 1
}

// Metrics selects the kind of histogram that durations are exported as.
type Metrics struct {
	Histograms mail.Histograms
}

// Tokens returns the token source for OAuth2 settings, usually the method Source
// of an oauth.Sources. Equal settings must get the same source, also after a
// reload: the source holds the token that all these connections share.
type Tokens func(oauth.Settings) (mail.TokenSource, error)

// Loader returns the configuration and its warnings, or Faults.
type Loader func() (*Config, []Finding, error)

// Load reads and validates a configuration: a file, a directory of *.yml and
// *.yaml files, or a glob pattern. The error is Faults, with everything that is
// wrong. The findings are warnings, sorted by file and line; they are returned
// with an error too. Neither contains a secret. With nil tokens, each Load makes
// token sources of its own.
func Load(path string, tokens Tokens) (*Config, []Finding, error) {
	return newFileLoader(path, tokens).load()
}

// CheckSyntax is Load without reading secret, certificate and key files, for
// machines that do not have them. The connections cannot be probed.
func CheckSyntax(path string) (*Config, []Finding, error) {
	l := newFileLoader(path, nil)
	l.reader.syntaxOnly = true
	return l.load()
}

// Parse is Load for a text that is not in a file. Findings show name as the file,
// and relative paths start in name's directory.
func Parse(name string, raw []byte, tokens Tokens) (*Config, []Finding, error) {
	l := newFileLoader(name, tokens)
	l.texts = map[string][]byte{name: raw}
	return l.load()
}

// fileLoader reads the files of one configuration.
type fileLoader struct {
	path   string // as given
	reader *reader
	tokens Tokens
	files  *mail.SecretFiles
	texts  map[string][]byte // used in place of the content of these files; usually nil
	added  string            // a file to read although it does not exist yet; empty: none

	mayBeEmpty bool // a configuration without connections is no fault
}

func newFileLoader(path string, tokens Tokens) *fileLoader {
	if tokens == nil {
		tokens = new(oauth.Sources).Source
	}
	return &fileLoader{path: path, tokens: tokens, files: new(mail.SecretFiles), reader: newReader(path)}
}

func (l *fileLoader) load() (*Config, []Finding, error) {
	r := l.reader
	config := l.config()
	warnings := r.warnings.sorted()
	if len(r.faults.list) > 0 {
		return nil, warnings, Faults(r.faults.sorted())
	}
	return config, warnings, nil
}

// config reads all files. The returned value is complete only if there are no
// faults.
func (l *fileLoader) config() *Config {
	documents := l.documents()
	r := l.reader
	r.file = l.path
	if len(documents) == 0 {
		return &Config{}
	}
	config := &Config{Pool: documents[0].pool, Metrics: documents[0].metrics}
	for _, d := range documents { // strict_permissions may be in any of the files
		r.strict = r.strict || d.strict
		if d.has("pool") {
			config.Pool = d.pool
		}
		if d.has("metrics") {
			config.Metrics = d.metrics
		}
	}
	b := newBuilder(r, l.tokens, l.files)
	for _, d := range documents {
		b.document(d)
	}
	config.Connections, config.Disabled = b.enabled, b.disabled
	for _, d := range documents {
		b.routes(d)
	}
	config.Routes = b.routeList
	r.file = l.path
	if !l.mayBeEmpty && !slices.ContainsFunc(documents, func(d *file) bool { return d.has("connections") }) {
		r.fault(position{field: "connections"}, "is missing")
	}
	r.warnLoad(config.Pool, config.Connections)
	r.warnRoutes(config.Routes)
	return config
}

// documents parses the files and returns those that are mappings. It reports the
// others, and files that cannot be read, as faults.
func (l *fileLoader) documents() []*file {
	paths := []string{l.path}
	if l.texts[l.path] == nil {
		var err error
		paths, err = expand(l.path)
		if l.mayBeEmpty && errors.Is(err, errNoFiles) {
			paths, err = nil, nil
		}
		if l.added != "" && !slices.Contains(paths, l.added) {
			paths, err = append(paths, l.added), nil
		}
		if err != nil {
			l.reader.fault(position{}, withoutPath(err))
			return nil
		}
	}
	left := int64(maxFile)
	var documents []*file
	for _, path := range paths {
		l.reader.enter(path)
		raw, given := l.texts[path]
		if !given {
			var err error
			if raw, err = l.reader.seen.read(path, maxFile); err != nil {
				l.reader.fault(position{}, strings.TrimPrefix(withoutPath(err), path+": "))
				continue
			}
		}
		if left -= int64(len(raw)); left < 0 {
			l.reader.faultf(position{}, "all files together are larger than %d KiB", maxFile>>10)
			continue
		}
		if root := l.reader.parse(raw); root != nil {
			if d := l.document(root, len(paths) > 1 || l.mayBeEmpty); d != nil {
				documents = append(documents, d)
			}
		}
	}
	return documents
}

// document reads the top level of one file. It returns nil if the file is empty,
// which is a fault unless the file is oneOfMany.
func (l *fileLoader) document(root *node, oneOfMany bool) *file {
	r := l.reader
	f := freshFile()
	f.path, f.set = r.file, map[string]origin{}
	switch {
	case isNull(root) && oneOfMany:
		r.warnf(position{}, "contains no configuration: the file is empty or has only comments")
		return nil
	case isNull(root):
		r.fault(position{}, "contains no configuration: the file is empty or has only comments")
		return nil
	}
	r.set = f.set
	fileBlock.read(r, root, position{}, f)
	for _, name := range []string{"pool", "metrics", "strict_permissions"} {
		given, is := f.set[name]
		if other, twice := r.top[name]; is && twice {
			r.faultf(position{line: given.line, field: name}, "is for all files, and set in %s:%d already", other.file, other.line)
		}
	}
	for name, given := range f.set {
		given.file = r.file
		r.top[name] = given
	}
	if !isMapping(root) {
		return nil // reported by parse
	}
	return f
}

// withoutPath returns the cause of a file error without the file's name, which
// the finding shows already.
func withoutPath(err error) string {
	if cause := errors.Unwrap(err); cause != nil {
		return cause.Error()
	}
	return err.Error()
}

// file is one document.
type file struct {
	path string
	set  map[string]origin // the fields written at its top

	pool        Pool
	metrics     Metrics
	strict      bool
	defaults    *node
	connections *node
	routes      *node
}

// has reports whether a field is written at the top of the document.
func (f *file) has(field string) bool { _, given := f.set[field]; return given }

func freshFile() *file {
	return &file{pool: *freshPool(), metrics: *freshMetrics()}
}

func freshPool() *Pool       { return &Pool{MaxInFlight: 4096, MaxInFlightPerHost: 10} }
func freshMetrics() *Metrics { return &Metrics{Histograms: mail.HistogramsBoth} }

var fileBlock = block[file]{
	meaning:  "Configuration of mailprobe.",
	fresh:    freshFile,
	extra:    "x-",
	inner:    connectionBlock.names,
	required: []string{"connections"},
	fields: []field[file]{
		{name: "pool", is: nested(poolBlock, func(f *file) *Pool { return &f.pool }), def: "as below",
			meaning: "How many probes may run at once. Read at the start only, not at a reload.", example: "{max_in_flight: 1000}"},
		{name: "metrics", is: nested(metricsBlock, func(f *file) *Metrics { return &f.metrics }), def: "as below",
			meaning: "How durations are exposed. Read at the start only, not at a reload.", example: "{histograms: native}"},
		{name: "strict_permissions", is: boolean(func(f *file) *bool { return &f.strict }), def: "`false`",
			meaning: "Refuse secret files that every user of the machine can read, instead of warning about them.", example: "true"},
		{name: "defaults", is: raw("mapping", defaultsSchema, func(f *file) **node { return &f.defaults }), def: "none",
			meaning: "Any field of a connection except name. A connection's own value wins, even a blank one; labels, tls_config and oauth2 are merged field by field. A default that does not apply to a connection is ignored there. Of several files, each has its own.", example: "{interval: 5m}"},
		{name: "connections", is: raw("list of mappings", connectionsSchema, func(f *file) **node { return &f.connections }), def: "required",
			meaning: "The connections to probe. Of several files, one must have it.", example: "[{name: mx, protocol: smtp, encryption: starttls, port: 25, host: mx.example.org}]"},
		{name: "routes", is: raw("list of mappings", routesSchema, func(f *file) **node { return &f.routes }), def: "none",
			meaning: "Messages to send and to look for.", example: "[{name: path, send: out, from: probe@example.org, to: probe@example.org, receive: inbox}]"},
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
		{name: "histograms", is: oneOf(same(mail.HistogramsBoth, mail.HistogramsNative, mail.HistogramsClassic, mail.HistogramsNone), func(m *Metrics) *mail.Histograms { return &m.Histograms }), def: "`both`",
			meaning: "Kinds of histograms to expose.", example: "native"},
	},
}
