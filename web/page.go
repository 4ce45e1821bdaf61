package web

// This file serves the pages for people. They work without a script. The content
// security policy allows one script, ours, which refreshes the page unless the user is
// typing. All text from servers and from the configuration is escaped by html/template.

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"html/template"
	"net/http"
	"strings"
	"time"

	"mailprobe/internal/human"
	"mailprobe/mail"
)

// pageRows is how many connections a page lists; further ones are on further pages.
const pageRows = 100

// pageRefresh is how often a page loads itself again, in seconds.
const pageRefresh = 30

//go:embed page
var pageFiles embed.FS

// style is the only style sheet. Every page contains it, so that it needs no URL: a
// proxy may serve the site under any path. The policy allows it by its hash. Read only.
var style = mustRead("page/style.css")

// script is the only script; it refreshes the page. Read only.
var script = mustRead("page/refresh.js")

// contentSecurityPolicy allows our own sheet and script, by their hashes, the
// icon, and forms to ourselves.
var contentSecurityPolicy = "default-src 'none'; style-src 'sha256-" + hashOf(style) +
	"'; script-src 'sha256-" + hashOf(script) +
	"'; img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// pages are the templates, parsed once; read only.
var pages = template.Must(template.New("").Funcs(template.FuncMap{
	"style":      func() template.HTML { return template.HTML("<style>" + style + "</style>") },    // #nosec G203 -- ours
	"script":     func() template.HTML { return template.HTML("<script>" + script + "</script>") }, // #nosec G203 -- ours
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

// head is the data that every page has.
type head struct {
	Root     string // relative path to the site's root; empty: this is it
	Metrics  string // path of the metrics, relative to the root
	Now      time.Time
	Fault    string // of the last reload; empty: it succeeded
	FaultAge string
}

func (s *site) newHead(root string) head {
	h := head{Root: root, Metrics: strings.TrimPrefix(s.TelemetryPath, "/"), Now: s.Now()}
	if s.ReloadFault != nil {
		if at, err := s.ReloadFault(); err != nil {
			h.Fault, h.FaultAge = err.Error(), human.Elapsed(h.Now.Sub(at))
		}
	}
	return h
}

// missing is the data of the page that answers 404.
type missing struct {
	head
	Icon, Text string
}

// notFound answers 404: for browsers a page with a link back, for other clients a line
// of text. root is the relative path to the site's root.
func (s *site) notFound(w http.ResponseWriter, r *http.Request, root, text string) {
	if !strings.Contains(r.Header.Get("Accept"), "text/html") {
		refuse(w, http.StatusNotFound, "not found")
		return
	}
	s.renderStatus(w, r, http.StatusNotFound, "missing.html", func() any { return missing{s.newHead(root), "down", text} })
}

// tooBusy is the answer while too many pages are being rendered or read.
const tooBusy = "too many pages at once, try again"

// render renders a page and sends it. Nothing is sent before the page is complete, so
// that an error in the middle shows no half page.
func (s *site) render(w http.ResponseWriter, r *http.Request, name string, data func() any) {
	s.renderStatus(w, r, http.StatusOK, name, data)
}

func (s *site) renderStatus(w http.ResponseWriter, r *http.Request, status int, name string, data func() any) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	sent := s.answers.send(w, r, func() []byte {
		var page bytes.Buffer
		if err := pages.ExecuteTemplate(&page, name, data()); err != nil {
			s.Log.Error("page cannot be rendered", "name", name, "err", err)
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			w.WriteHeader(http.StatusInternalServerError)
			return []byte("internal error\n")
		}
		w.WriteHeader(status)
		return page.Bytes()
	})
	if !sent {
		w.Header().Set("Retry-After", "5")
		refuse(w, http.StatusServiceUnavailable, tooBusy)
	}
}
