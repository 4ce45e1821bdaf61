package web

// This file is the JSON API, version 1; see docs/api.md.

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"

	"mailprobe/history"
	"mailprobe/mail"
)

// connectionJSON is a connection with its history. The user name is left out, because
// it is personal data.
type connectionJSON struct {
	Name          string            `json:"name"`
	State         history.State     `json:"state"`
	Since         time.Time         `json:"since,omitzero"`
	Protocol      mail.Protocol     `json:"protocol"`
	Encryption    mail.Encryption   `json:"encryption"`
	Host          string            `json:"host"`
	Port          int               `json:"port"`
	Labels        map[string]string `json:"labels,omitempty"`
	Interval      float64           `json:"interval_seconds"`
	Spacing       float64           `json:"spacing_seconds,omitempty"` // only where it is not the interval
	Timeout       float64           `json:"timeout_seconds"`
	ProbeOnScrape bool              `json:"probe_on_scrape"`
	Last          *history.Result   `json:"last,omitempty"`

	// Only in the answer for a single connection.
	LastSuccess *history.Result `json:"last_success,omitempty"`
	LastFailure *history.Result `json:"last_failure,omitempty"`
	History     []sampleJSON    `json:"history,omitempty"`
	Failures    []sampleJSON    `json:"failures,omitempty"`
	Changes     []sampleJSON    `json:"changes,omitempty"`
}

// sampleJSON is one outcome in brief.
type sampleJSON struct {
	Time     time.Time   `json:"time"`
	Up       bool        `json:"up"`
	Duration float64     `json:"duration_seconds"`
	Phase    mail.Phase  `json:"phase,omitempty"`
	Reason   mail.Reason `json:"reason,omitempty"`
	Text     string      `json:"text,omitempty"`
	First    time.Time   `json:"first,omitzero"`  // of failures alone
	Count    int         `json:"count,omitempty"` // likewise
}

func newConnectionJSON(m *history.Snapshot) connectionJSON {
	c := m.Connection
	j := connectionJSON{
		Name: c.Name, State: m.State(), Since: m.Since.UTC(),
		Protocol: c.Protocol, Encryption: c.Encryption, Host: c.Host, Port: c.EffectivePort(),
		Interval: c.Interval.Seconds(), Timeout: c.Timeout.Seconds(), ProbeOnScrape: c.ProbeOnScrape,
		Last: history.NewResult(m.Last, false),
	}
	if m.Last != nil && m.Last.Spacing() > c.Interval {
		j.Spacing = m.Last.Spacing().Seconds()
	}
	for _, l := range c.Labels {
		if j.Labels == nil {
			j.Labels = map[string]string{}
		}
		j.Labels[l.Name] = l.Value
	}
	return j
}

// badLimit answers ?limit= that is not a number from 1 on.
const badLimit = "limit is not a positive number"

// serveConnections lists the connections, sorted by name: all, or ?limit= of
// them behind the name ?after=.
func (s *site) serveConnections(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	limit := math.MaxInt
	if query.Has("limit") {
		n, err := strconv.Atoi(query.Get("limit"))
		if err != nil || n < 1 {
			refuse(w, http.StatusBadRequest, badLimit)
			return
		}
		limit = n
	}
	after := query.Get("after")
	s.sendList(w, r, listKey{"connections", fmt.Sprint(limit, " ", after)}, func(out *bufio.Writer) bool {
		return s.writeConnections(out, after, limit)
	})
}

// writeConnections writes limit connections behind the name after. It reports
// whether all of it was written.
func (s *site) writeConnections(out *bufio.Writer, after string, limit int) bool {
	var last, next string
	items := func(yield func(any) bool) {
		for snapshot := range s.History.Summaries(after) {
			if limit == 0 {
				next = last
				return
			}
			limit--
			last = snapshot.Connection.Name
			if !yield(newConnectionJSON(&snapshot)) {
				return
			}
		}
	}
	_, _ = out.WriteString(`{"connections":`) // a bufio.Writer keeps its first error
	if !s.answers.streamList(out, items) {
		return false // the client has left
	}
	if next != "" {
		quoted, _ := json.Marshal(next) // a string always can
		_, _ = out.WriteString(`,"next":` + string(quoted))
	}
	_, err := out.WriteString("}\n")
	return err == nil
}

// serveConnection serves everything that is known of one connection.
func (s *site) serveConnection(w http.ResponseWriter, r *http.Request) {
	m, ok := s.History.Get(r.PathValue("name"))
	if !ok {
		refuse(w, http.StatusNotFound, unknownConnection)
		return
	}
	j := newConnectionJSON(&m)
	j.LastSuccess, j.LastFailure = history.NewResult(m.LastSuccess, true), history.NewResult(m.LastFailure, true)
	for _, b := range m.Samples {
		j.History = append(j.History, newSampleJSON(b))
	}
	for _, f := range m.Failures {
		item := newSampleJSON(f.Sample)
		item.Text, item.First, item.Count = f.Text, f.First.UTC(), f.Count
		j.Failures = append(j.Failures, item)
	}
	for _, b := range m.Changes {
		j.Changes = append(j.Changes, newSampleJSON(b))
	}
	s.writeJSON(w, j)
}

func newSampleJSON(b history.Sample) sampleJSON {
	return sampleJSON{Time: b.At.UTC(), Up: b.Up(), Duration: b.Duration.Seconds(), Phase: b.Phase, Reason: b.Reason}
}

// writeJSON escapes < and > too, so that no browser takes it for a page.
func (s *site) writeJSON(w http.ResponseWriter, v any) {
	out := s.answers.jsonWriter(w)
	_ = json.NewEncoder(out).Encode(v) // the client may have left
	_ = out.Flush()
}
