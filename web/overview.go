package web

// This file is the status page: what is down first, and one group for what is
// down for one cause.

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"mailprobe/history"
)

// overview is the data of the status page.
type overview struct {
	head
	Icon                     string // favicon class: up or down
	Total, Up, Down, Unknown int
	Held                     int
	Share                    ring
	Nearest                  *certificateDays // the certificate that ends first
	Query, Filter            string
	Tabs                     []tab
	Attention                []group
	Rest                     []listItem
	Found                    int
	Pages                    []link

	atAddress map[string]int // how many connections are configured
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
	o := &overview{head: s.newHead(""), atAddress: map[string]int{}, Query: query.Get("q"), Filter: query.Get("state")}
	var found []history.Snapshot
	now := o.Now
	for m := range s.History.Summaries("") {
		o.count(&m, now)
		if (o.Filter == "" || string(m.State()) == o.Filter) && matches(&m, o.Query) {
			found = append(found, m)
		}
	}
	o.sumUp()
	slices.SortStableFunc(found, byUrgency)
	groups := groupByCause(found)
	o.Found = len(found)
	o.Tabs = o.tabs()
	page, _ := strconv.Atoi(query.Get("page"))
	for _, m := range o.page(found, page) {
		m, known := s.History.GetSamples(m.Connection.Name)
		if !known {
			continue // a reload came between
		}
		item := newListItem(&m, now)
		if m.State() == history.StateDown {
			o.attend(item, causeOf(&m), groups)
		} else {
			o.Rest = append(o.Rest, item)
		}
	}
	return o
}

// count adds a connection to the sums, whether it is shown or not.
func (o *overview) count(m *history.Snapshot, now time.Time) {
	o.Total++
	o.atAddress[m.Connection.Address()]++
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

// rank is the place of a state on the pages.
func rank(s history.State) int {
	return map[history.State]int{history.StateDown: 0, history.StateUnknown: 1, history.StateUp: 2}[s]
}

// byUrgency puts down first, the newest trouble on top; then what was never
// probed; then the rest by name.
func byUrgency(a, b history.Snapshot) int {
	order := cmp.Compare(rank(a.State()), rank(b.State()))
	if order == 0 && a.State() == history.StateDown {
		order = b.Since.Compare(a.Since)
	}
	return order
}
