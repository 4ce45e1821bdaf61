package web

// This file serves the status page. Connections that are down come first; those that
// are down for the same cause form one group.

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
	Troubled                 int // mailboxes of connections that are up
	BrokenRoutes             int
	Share                    ring
	Shard                    string           // this process's part of the connections, such as 0/3; empty: all
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
	Gap        bool // numbers before this one are left out
}

// serveOverview serves the status page.
func (s *site) serveOverview(w http.ResponseWriter, r *http.Request) {
	s.render(w, r, "overview.html", func() any { return s.newOverview(r.URL.Query()) })
}

func (s *site) newOverview(query url.Values) *overview {
	o := &overview{head: s.newHead(""), atAddress: map[string]int{}, Query: query.Get("q"), Filter: query.Get("state"), Shard: s.Shard}
	var found []history.Snapshot
	now := o.Now
	for m := range s.History.Summaries("") {
		o.count(&m, now)
		if o.shows(&m) && matches(&m, o.Query) {
			found = append(found, m)
		}
	}
	for _, route := range s.History.Routes() {
		if route.State() == history.StateDown {
			o.BrokenRoutes++
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
	if troubled(m) {
		o.Troubled++
	}
	if c := newCertificateDays(m, now); c != nil && (o.Nearest == nil || c.NotAfter.Before(o.Nearest.NotAfter)) {
		o.Nearest = c
	}
}

// filterMail is the choice of what is up and has a mailbox to look at.
const filterMail = "mail"

func (o *overview) shows(m *history.Snapshot) bool {
	switch o.Filter {
	case "":
		return true
	case filterMail:
		return troubled(m)
	}
	return string(m.State()) == o.Filter
}

// troubled reports whether a connection works, and its mailbox needs a look.
func troubled(m *history.Snapshot) bool {
	return m.State() == history.StateUp && needsLook(m.Last)
}

// Headline is the state of everything in one sentence.
func (o *overview) Headline() string {
	switch {
	case o.Total == 0 && o.Shard != "":
		return "No connection is in share " + o.Shard
	case o.Total == 0:
		return "No connection is configured"
	case o.Down == 1:
		return "One connection is down"
	case o.Down > 0:
		return strconv.Itoa(o.Down) + " connections are down"
	case o.Unknown == o.Total:
		return "The first probes are running"
	}
	var but []string
	switch {
	case o.Troubled == 1:
		but = append(but, "one mailbox needs a look")
	case o.Troubled > 1:
		but = append(but, strconv.Itoa(o.Troubled)+" mailboxes need a look")
	}
	switch {
	case o.BrokenRoutes == 1:
		but = append(but, "one route is broken")
	case o.BrokenRoutes > 1:
		but = append(but, strconv.Itoa(o.BrokenRoutes)+" routes are broken")
	}
	if len(but) > 0 {
		return "Connections are up, but " + strings.Join(but, " and ")
	}
	if o.Unknown > 0 {
		return "All is well so far"
	}
	return "All is well"
}

// sumUp fills in what follows from the sums.
func (o *overview) sumUp() {
	o.Share = newRing(o.Up, o.Down, o.Unknown)
	o.Icon = "up"
	if o.Down > 0 || o.BrokenRoutes > 0 {
		o.Icon = "down"
	}
}

// tabs returns the tabs. Their links keep the search and lead to the first page.
func (o *overview) tabs() []tab {
	make := func(word, filter string, count int) tab {
		return tab{word, o.href(filter, 1), count, filter == o.Filter}
	}
	tabs := []tab{make("All", "", o.Total), make("Down", string(history.StateDown), o.Down), make("Up", string(history.StateUp), o.Up)}
	if o.Troubled > 0 || o.Filter == filterMail {
		tabs = append(tabs, make("Mailbox needs a look", filterMail, o.Troubled))
	}
	if o.Unknown > 0 {
		tabs = append(tabs, make("Not probed yet", string(history.StateUnknown), o.Unknown))
	}
	return tabs
}

// page returns one page of the connections found, and fills in the page numbers.
func (o *overview) page(found []history.Snapshot, number int) []history.Snapshot {
	last := max(1, (len(found)+pageRows-1)/pageRows)
	number = min(max(number, 1), last)
	if last > 1 {
		shown := 0
		for n := 1; n <= last; n++ {
			if n == 1 || n == last || n >= number-3 && n <= number+3 {
				o.Pages = append(o.Pages, link{strconv.Itoa(n), o.href(o.Filter, n), n == number, n > shown+1})
				shown = n
			}
		}
	}
	from := (number - 1) * pageRows
	return found[from:min(len(found), from+pageRows)]
}

// href returns the link to this page with another tab or page number.
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
	return map[history.State]int{history.StateDown: 0, history.StateUnknown: 2, history.StateUp: 3}[s]
}

// byUrgency sorts connections that are down first, the newest failure on top; then
// those whose mailbox needs a look; then those never probed; then the rest by name.
func byUrgency(a, b history.Snapshot) int {
	place := func(m *history.Snapshot) int {
		if troubled(m) {
			return 1
		}
		return rank(m.State())
	}
	order := cmp.Compare(place(&a), place(&b))
	if order == 0 && a.State() == history.StateDown {
		order = b.Since.Compare(a.Since)
	}
	return order
}
