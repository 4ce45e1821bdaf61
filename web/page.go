package web

// This file serves the pages for people. They need no script: the policy
// allows none. Every word of a server or of the configuration goes through
// html/template.

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"mailprobe/history"
	"mailprobe/mail"
)

// pageRows is how many connections a page lists; further ones are on further pages.
const pageRows = 100

// pageRefresh is how often a page loads itself again, in seconds.
const pageRefresh = 30

//go:embed page
var pageFiles embed.FS

// style is the one style sheet, inside every page: a proxy can put the site
// under any path, and the policy knows the sheet by its hash. Read only.
var style = mustRead("page/style.css")

// contentSecurityPolicy allows our own sheet, the icon, and forms to ourselves.
var contentSecurityPolicy = "default-src 'none'; style-src 'sha256-" + hashOf(style) +
	"'; img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// pages are the templates, parsed once; read only.
var pages = template.Must(template.New("").Funcs(template.FuncMap{
	"style":      func() template.HTML { return template.HTML("<style>" + style + "</style>") }, // #nosec G203 -- ours
	"refresh":    func() int { return pageRefresh },
	"phaseWords": mail.Phases,
}).ParseFS(pageFiles, "page/*.html"))

func mustRead(name string) string {
	content, err := pageFiles.ReadFile(name)
	if err != nil {
		panic(err) //nolint:forbidigo // the page is compiled in: a broken one never leaves the build
	}
	return string(content)
}

func hashOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// overview is the data of the status page.
type overview struct {
	Icon                     string // favicon class: up or down
	Root                     string // relative path to the site's root
	Metrics                  string
	Now                      time.Time
	Total, Up, Down, Unknown int
	Held                     int
	Share                    ring
	Nearest                  *certificateDays // the certificate that ends first
	Query, Filter            string
	Tabs                     []tab
	Attention, Rest          []row
	Found                    int
	Pages                    []link
}

// tab chooses connections by their state.
type tab struct {
	Word, Href string
	Count      int
	Current    bool
}

// link is one entry of the page numbers.
type link struct {
	Text, Href string
	Current    bool
}

// serveOverview is the status page: what is down first.
func (s *site) serveOverview(w http.ResponseWriter, r *http.Request) {
	s.render(w, r, "overview.html", func() any { return s.newOverview(r.URL.Query()) })
}

func (s *site) newOverview(query url.Values) *overview {
	now := s.Now()
	o := &overview{Now: now, Metrics: strings.TrimPrefix(s.TelemetryPath, "/"),
		Query: query.Get("q"), Filter: query.Get("state")}
	var found []history.Snapshot
	for m := range s.History.Summaries("") {
		o.count(&m, now)
		if (o.Filter == "" || string(m.State()) == o.Filter) && matches(&m, o.Query) {
			found = append(found, m)
		}
	}
	o.sumUp()
	slices.SortStableFunc(found, byUrgency)
	o.Found = len(found)
	o.Tabs = o.tabs()
	page, _ := strconv.Atoi(query.Get("page"))
	for _, m := range o.page(found, page) {
		m, known := s.History.GetSamples(m.Connection.Name)
		if !known {
			continue // a reload came between
		}
		row := newRow(&m, now)
		if m.State() == history.StateDown {
			o.Attention = append(o.Attention, row)
		} else {
			o.Rest = append(o.Rest, row)
		}
	}
	return o
}

// count adds a connection to the sums, whether it is shown or not.
func (o *overview) count(m *history.Snapshot, now time.Time) {
	o.Total++
	switch m.State() {
	case history.StateUp:
		o.Up++
	case history.StateDown:
		o.Down++
	default:
		o.Unknown++
		return
	}
	if m.Last.Auth.Withheld() {
		o.Held++
	}
	if c := newCertificateDays(m, now); c != nil && (o.Nearest == nil || c.NotAfter.Before(o.Nearest.NotAfter)) {
		o.Nearest = c
	}
}

// sumUp fills in what follows from the sums.
func (o *overview) sumUp() {
	o.Share = newRing(o.Up, o.Down, o.Unknown)
	o.Icon = "up"
	if o.Down > 0 {
		o.Icon = "down"
	}
}

// tabs keep the search and drop the page.
func (o *overview) tabs() []tab {
	make := func(word, filter string, count int) tab {
		return tab{word, o.href(filter, 1), count, filter == o.Filter}
	}
	tabs := []tab{make("All", "", o.Total), make("Down", string(history.StateDown), o.Down), make("Up", string(history.StateUp), o.Up)}
	if o.Unknown > 0 {
		tabs = append(tabs, make("Not probed yet", string(history.StateUnknown), o.Unknown))
	}
	return tabs
}

// page cuts one page out of what was found, and fills in the page numbers.
func (o *overview) page(found []history.Snapshot, number int) []history.Snapshot {
	last := max(1, (len(found)+pageRows-1)/pageRows)
	number = min(max(number, 1), last)
	if last > 1 {
		for n := 1; n <= last; n++ {
			if n == 1 || n == last || n >= number-3 && n <= number+3 {
				o.Pages = append(o.Pages, link{strconv.Itoa(n), o.href(o.Filter, n), n == number})
			}
		}
	}
	from := (number - 1) * pageRows
	return found[from:min(len(found), from+pageRows)]
}

// href is this page with another choice.
func (o *overview) href(filter string, page int) string {
	v := url.Values{}
	for key, value := range map[string]string{"q": o.Query, "state": filter} {
		if value != "" {
			v.Set(key, value)
		}
	}
	if page > 1 {
		v.Set("page", strconv.Itoa(page))
	}
	return "?" + v.Encode()
}

// matches reports whether a connection has the words searched for in its name,
// host, protocol, labels or reason.
func matches(m *history.Snapshot, query string) bool {
	if query == "" {
		return true
	}
	c := m.Connection
	words := []string{c.Name, c.Address(), string(c.Protocol), c.Encryption.Word()}
	for _, l := range c.Labels {
		words = append(words, l.Name+"="+l.Value)
	}
	if m.Last != nil && m.Last.Failure != nil {
		words = append(words, string(m.Last.Failure.Reason), string(m.Last.Failure.Phase))
	}
	text := strings.ToLower(strings.Join(words, "\n"))
	for word := range strings.FieldsSeq(strings.ToLower(query)) {
		if !strings.Contains(text, word) {
			return false
		}
	}
	return true
}

// byUrgency puts down first, the newest trouble on top; then what was never
// probed; then the rest by name.
func byUrgency(a, b history.Snapshot) int {
	rank := map[history.State]int{history.StateDown: 0, history.StateUnknown: 1, history.StateUp: 2}
	order := cmp.Compare(rank[a.State()], rank[b.State()])
	if order == 0 && a.State() == history.StateDown {
		order = b.Since.Compare(a.Since)
	}
	return order
}

// tooBusy is said when too many pages are being read at once.
const tooBusy = "too many pages at once, try again"

// render makes a page and sends it. The page is written as a whole, so that a
// fault in the middle of it shows no half page.
func (s *site) render(w http.ResponseWriter, r *http.Request, name string, data func() any) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	sent := s.answers.send(w, r, func() []byte {
		var page bytes.Buffer
		if err := pages.ExecuteTemplate(&page, name, data()); err != nil {
			s.Log.Error("page cannot be rendered", "name", name, "err", err)
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			w.WriteHeader(http.StatusInternalServerError)
			return []byte("internal error\n")
		}
		return page.Bytes()
	})
	if !sent {
		w.Header().Set("Retry-After", "5")
		refuse(w, http.StatusServiceUnavailable, tooBusy)
	}
}
