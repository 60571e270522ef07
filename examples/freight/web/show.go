package web

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/transload/transload/examples/freight/app"
	"github.com/transload/transload/examples/freight/atlas"
	"github.com/transload/transload/sessions"
)

// A frame is what every page has, and its own view.
type frame struct {
	Page     string
	User     string
	Visitor  app.Visitor
	Degraded bool
	View     any
}

var helpers = template.FuncMap{
	"city":   app.CityName,
	"cities": atlas.Cities,
	"date":   func(t time.Time) string { return t.Format("2 Jan 2006") },
	"ago":    ago,
	"euro":   func(n int64) string { return thousands(n) + "\u00a0€" },
	"kg":     func(n int64) string { return thousands(n) + "\u00a0kg" },
	"km":     func(n int64) string { return thousands(n) + "\u00a0km" },
	"x":      func(c atlas.City) float64 { x, _ := atlas.XY(c.Lat, c.Lon); return x },
	"y":      func(c atlas.City) float64 { _, y := atlas.XY(c.Lat, c.Lon); return y },
}

// parse reads every page, each within the layout.
func parse() (map[string]*template.Template, error) {
	names, err := fs.Glob(files, "templates/*.html")
	if err != nil {
		return nil, err
	}
	all := map[string]*template.Template{}
	for _, name := range names {
		page := strings.TrimSuffix(path.Base(name), ".html")
		if page == "layout" {
			continue
		}
		t, err := template.New("layout.html").Funcs(helpers).ParseFS(files, "templates/layout.html", name)
		if err != nil {
			return nil, fmt.Errorf("web: %w", err)
		}
		all[page] = t
	}
	return all, nil
}

// show answers with a page, or with its view as JSON.
func (s *Server) show(w http.ResponseWriter, r *http.Request, status int, page string, view any) {
	if wantsJSON(r) {
		answer(w, status, view)
		return
	}
	session, state := sessions.From(r.Context())
	f := frame{Page: page, Visitor: s.visitor(r), Degraded: state == sessions.Degraded, View: view}
	if session != nil {
		f.User = session.User
	}
	var b bytes.Buffer
	if err := s.pages[page].Execute(&b, f); err != nil {
		s.log.Warn("a page was not made", "op", "http", "err", err)
		http.Error(w, "Something went wrong on our side.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // the client has gone
}

func answer(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		http.Error(w, "{}", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // the client has gone
}

func wantsJSON(r *http.Request) bool {
	return strings.HasPrefix(r.Header.Get("Accept"), "application/json")
}

func ago(t time.Time) string {
	d := time.Since(t)
	switch {
	case d < time.Minute:
		return "just now"
	case d < time.Hour:
		return fmt.Sprintf("%d min ago", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h ago", int(d.Hours()))
	}
	return t.Format("2 Jan")
}

// thousands sets a number with thin spaces, as 12 500.
func thousands(n int64) string {
	text := fmt.Sprint(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "\u202f" + text[i:]
	}
	return text
}
