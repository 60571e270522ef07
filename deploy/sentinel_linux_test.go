package deploy

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/transload/transload/internal/redistest"
)

// TestPrimaryFails kills the primary of a set under an app that writes: another is
// promoted, the app writes on by itself, what it wrote is there, and the old primary
// comes back as a replica, without having been a primary for a moment.
func TestPrimaryFails(t *testing.T) {
	t.Parallel()
	s := startSet(t)
	app := s.open(s.env("app"))
	if err := app.Set(t.Context(), "sess:{1}", "a", 0).Err(); err != nil {
		t.Fatal(err)
	}
	s.everywhere(1)
	old, began := s.nodes[0], time.Now()
	old.kill(t)
	redistest.Eventually(t, within, func() error { return app.Set(t.Context(), "sess:{2}", "b", 0).Err() })
	t.Logf("writes were away for %d ms", time.Since(began).Milliseconds())
	old.start(t)
	promoted := s.primary()
	if promoted == old {
		t.Fatal("the old primary leads again")
	}
	if got, err := app.MGet(t.Context(), "sess:{1}").Result(); err != nil || got[0] != "a" {
		t.Errorf("got %v, %v; want what was written before", got, err)
	}
	if !strings.Contains(old.logTail(200), "begins as replica localhost") {
		t.Errorf("the old primary did not begin as a replica:\n%s", old.logTail(40))
	}
	for _, p := range s.sentinels {
		text, err := os.ReadFile(filepath.Join(p.data, "sentinel.conf"))
		if err != nil || !strings.Contains(string(text), "sentinel monitor "+master+" "+strings.ReplaceAll(promoted.addr, ":", " ")) {
			t.Errorf("%s has not written down who leads: %v\n%s", p.name, err, text)
		}
	}
}

// TestEmptyPrimary restarts a primary faster than the sentinels notice, without its
// data: it must not lead for a moment, since its replicas would copy its emptiness.
func TestEmptyPrimary(t *testing.T) {
	t.Parallel()
	s := startSet(t)
	app := s.open(s.env("app"))
	for i := range 100 {
		if err := app.Set(t.Context(), fmt.Sprintf("sess:{%d}", i), "x", 0).Err(); err != nil {
			t.Fatal(err)
		}
	}
	s.everywhere(100)
	s.nodes[0].kill(t)
	if err := os.RemoveAll(s.nodes[0].data); err != nil {
		t.Fatal(err)
	}
	s.nodes[0].start(t)
	if p := s.primary(); p == s.nodes[0] {
		t.Fatal("the empty server leads")
	}
	s.everywhere(100)
	if log := s.nodes[0].log(); !strings.Contains(log, "has no data") || strings.Contains(lastStart(log), "as primary") {
		t.Errorf("the empty server did not wait:\n%s", lastStart(log))
	}
}

func lastStart(log string) string { return log[strings.LastIndex(log, "start.sh: this"):] }

// TestEverythingKilled kills all six processes at once and starts them again: the
// primary of before leads, with its data.
func TestEverythingKilled(t *testing.T) {
	t.Parallel()
	s := startSet(t)
	app := s.open(s.env("app"))
	if err := app.Set(t.Context(), "sess:{1}", "a", 0).Err(); err != nil {
		t.Fatal(err)
	}
	for _, p := range s.all() {
		p.kill(t)
	}
	s.start(s.all()...)
	s.primary()
	redistest.Eventually(t, within, func() error { return app.Set(t.Context(), "sess:{2}", "b", 0).Err() })
	if got, err := app.Get(t.Context(), "sess:{1}").Result(); err != nil || got != "a" {
		t.Errorf("got %q, %v; want what was there before", got, err)
	}
}

// TestEverythingLost does the same and takes all data away, sentinels' too: a set
// that is deployed from scratch takes writes again without anybody's help.
func TestEverythingLost(t *testing.T) {
	t.Parallel()
	s := startSet(t)
	app := s.open(s.env("app"))
	for _, p := range s.all() {
		p.kill(t)
		if err := os.RemoveAll(p.data); err != nil {
			t.Fatal(err)
		}
	}
	began := time.Now()
	s.start(s.all()...)
	redistest.Eventually(t, within, func() error { return app.Set(t.Context(), "sess:{2}", "b", 0).Err() })
	t.Logf("writes were back %d ms after the start", time.Since(began).Milliseconds())
	s.whole(0)
}
