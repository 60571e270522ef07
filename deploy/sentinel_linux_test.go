package deploy

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/redistest"
)

// TestPrimaryFails kills the primary of a set under an app that writes: another is
// promoted, the app writes on by itself, what it wrote is there, and the old primary
// comes back as a replica, without having been a primary for a moment.
func TestPrimaryFails(t *testing.T) {
	t.Parallel()
	news := newNotices(t)
	s := startSet(t, "NOTIFY_URL="+news.URL)
	app := s.open(s.env("app"))
	if err := app.Set(t.Context(), "sess:{1}", "a", 0).Err(); err != nil {
		t.Fatal(err)
	}
	s.everywhere(1)
	for _, p := range s.all() {
		healthy(t, p, "live", true)
		healthy(t, p, "ready", true)
	}
	old, began := s.nodes[0], time.Now()
	old.kill(t)
	redistest.Eventually(t, within, func() error { return app.Set(t.Context(), "sess:{2}", "b", 0).Err() })
	t.Logf("writes were away for %d ms", time.Since(began).Milliseconds())
	healthy(t, old, "live", false)
	redistest.Eventually(t, within, func() error { return news.holds("+switch-master freight-master localhost") })
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
	long(t)
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
	long(t)
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

// TestTLS has servers and sentinels speak TLS alone, and moves the primary.
func TestTLS(t *testing.T) {
	long(t)
	t.Parallel()
	certs := redistest.Standalone(t, redistest.Options{TLS: true}).Certs() // good for localhost
	dir := t.TempDir()
	for from, to := range map[string]string{certs.CA: "ca.crt", certs.Cert: "tls.crt", certs.Key: "tls.key"} {
		if err := os.Symlink(from, filepath.Join(dir, to)); err != nil {
			t.Fatal(err)
		}
	}
	s := newSet(t, 3, 3, "TLS=yes", "TLS_DIR="+dir)
	s.tls = redistest.TLSConfig(t, certs)
	s.start(s.all()...)
	s.whole(0)
	app := s.open(redistest.Merge(s.env("app"), map[string]string{"REDIS_TLS": "true", "REDIS_TLS_CA": certs.CA}))
	if err := app.Set(t.Context(), "sess:{1}", "a", 0).Err(); err != nil {
		t.Fatal(err)
	}
	sentinel := redis.NewSentinelClient(s.options("operator", s.sentinels[0]))
	defer sentinel.Close()
	if err := sentinel.Failover(t.Context(), master).Err(); err != nil {
		t.Fatal(err)
	}
	redistest.Eventually(t, within, func() error { // the old one is told ten seconds later
		if s.role(s.nodes[1]) != "master" && s.role(s.nodes[2]) != "master" {
			return errors.New("nobody was promoted")
		}
		return app.Set(t.Context(), "sess:{2}", "b", 0).Err()
	})
}

// TestRestore does what docs/recovery.md says of a set that begins with a file.
func TestRestore(t *testing.T) {
	long(t)
	t.Parallel()
	s := newSet(t, 3, 3)
	from := redistest.Standalone(t, redistest.Options{})
	redistest.Do(t, from, "SET", "sess:{kept}", "a")
	redistest.Do(t, from, "SAVE")
	_, block, ok := strings.Cut(page(t, "../docs/recovery.md"), "```sh\n")
	block, _, _ = strings.Cut(block, "```")
	if !ok || !strings.Contains(block, "appendonly yes") {
		t.Fatal("docs/recovery.md has no commands")
	}
	if err := os.Mkdir(s.nodes[0].data, 0o700); err != nil {
		t.Fatal(err)
	}
	block = strings.NewReplacer("dump-2026-01-20.rdb", filepath.Join(from.Dir(), "dump.rdb"),
		"/var/lib/redis-0", s.nodes[0].data, "/tmp/restore.sock", filepath.Join(from.Dir(), "r")).Replace(block)
	if out, err := with(t, nil, "-ec", block); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	s.start(s.all()...)
	s.everywhere(1)
	if got, err := s.as("operator", s.primary()).Get(t.Context(), "sess:{kept}").Result(); err != nil || got != "a" {
		t.Errorf("got %q, %v; want what the file held", got, err)
	}
}
