package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"text/tabwriter"
	"time"
	"unicode/utf8"

	"github.com/transload/transload/migrate/coordinator"
)

// sayEvery is how often a progress line is printed where it cannot be drawn over
// itself.
const sayEvery = 5 * time.Second

// A screen prints for people or for programs: one value, computed once, is
// either a table or JSON. On a terminal the progress line is drawn over itself;
// elsewhere a line is printed when the stage changes, and at most once in
// sayEvery while only its figures do. It is safe for concurrent use.
type screen struct {
	json     bool
	terminal bool

	mu     sync.Mutex
	out    io.Writer
	drawn  int // letters of the progress line that stands now
	last   string
	stage  string
	lastAt time.Time
}

func newScreen(out io.Writer, asJSON bool) *screen {
	return &screen{out: out, json: asJSON, terminal: isTerminal(out)}
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// say prints one line, unless the output is JSON.
func (s *screen) say(format string, args ...any) {
	if s.json {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wipe()
	fmt.Fprintf(s.out, format+"\n", args...)
}

// follow shows how a verb goes on: it is coordinator.Options.Progress.
func (s *screen) follow(p coordinator.Progress) { s.progress(p.Stage, progressLine(p)) }

// progressLine puts a progress into one line.
func progressLine(p coordinator.Progress) string {
	var b strings.Builder
	b.WriteString(p.Stage)
	if p.Text != "" {
		b.WriteString(": " + p.Text)
	}
	if p.Keys > 0 {
		fmt.Fprintf(&b, ", %s keys", grouped(p.Keys))
	}
	if p.Total > 0 {
		fmt.Fprintf(&b, " of about %s", grouped(p.Total))
	}
	if p.Rate > 0 {
		fmt.Fprintf(&b, ", %s/s", grouped(int64(p.Rate)))
	}
	if p.ETA > 0 {
		fmt.Fprintf(&b, ", %s left", time.Duration(p.ETA*float64(time.Second)).Round(time.Second))
	}
	return b.String()
}

// progress shows what is going on now.
func (s *screen) progress(stage, line string) {
	if s.json || line == "" {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.terminal {
		s.wipe()
		fmt.Fprint(s.out, line)
		s.drawn = utf8.RuneCountInString(line)
		return
	}
	if line == s.last || stage == s.stage && time.Since(s.lastAt) < sayEvery {
		return
	}
	s.stage, s.last, s.lastAt = stage, line, time.Now()
	fmt.Fprintln(s.out, line)
}

// wipe takes the progress line away. mu is held.
func (s *screen) wipe() {
	if s.drawn > 0 {
		fmt.Fprint(s.out, "\r\x1b[K") // clears the line
		s.drawn = 0
	}
}

// done takes the progress line away, before something else is printed.
func (s *screen) done() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wipe()
}

// value prints v as JSON, or by table.
func (s *screen) value(v any, table func(w io.Writer)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wipe()
	if s.json {
		e := json.NewEncoder(s.out)
		e.SetIndent("", "  ")
		e.SetEscapeHTML(false)
		return e.Encode(v)
	}
	w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	table(w)
	return w.Flush()
}

// frame shows a state that is looked at again and again: on a terminal in place
// of the one before, elsewhere as one line when it has changed, and as JSON one
// document a line.
func (s *screen) frame(v any, line string, table func(w io.Writer)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.json:
		e := json.NewEncoder(s.out)
		e.SetEscapeHTML(false)
		return e.Encode(v)
	case !s.terminal:
		if line != s.last {
			s.last = line
			fmt.Fprintf(s.out, "%s  %s\n", time.Now().Format(time.TimeOnly), line)
		}
		return nil
	}
	fmt.Fprint(s.out, "\x1b[H\x1b[2J") // home, clear
	w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	table(w)
	return w.Flush()
}

// grouped writes a number with commas, as 1,234,567.
func grouped(n int64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// counted writes a number with its noun, in the plural unless it is one.
func counted(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return fmt.Sprintf("%d %s", n, noun)
}
