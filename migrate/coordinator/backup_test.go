package coordinator

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/transload/transload/internal/redisproc"
	"github.com/transload/transload/internal/redistest"
)

func TestBackup(t *testing.T) {
	t.Parallel()
	a, _, s := twoServers(t, nil, nil)
	seed(t, s.source, 10)
	c := coordinate(t, s)
	began := time.Now()
	for range 2 { // the second may fall into the second of the first
		r, err := c.Backup(t.Context())
		if err != nil || len(r.Saves) != 1 {
			t.Fatalf("got %+v, %v; want one save", r, err)
		}
		save := r.Saves[0]
		if info, err := os.Stat(save.Path); err != nil || info.ModTime().Before(began.Add(-time.Second)) || filepath.Dir(save.Path) != a.Dir() {
			t.Errorf("got %+v: %v; want a new file in %s", save, err, a.Dir())
		}
		if save.Keys != 40 || save.Age > 10 || save.At.Before(began.Add(-2*time.Second)) {
			t.Errorf("got %+v; want 40 keys, saved just now", save)
		}
	}
}

func TestBackupOfACluster(t *testing.T) {
	t.Parallel()
	set := redistest.Cluster(t, redistest.Options{Replicas: -1})
	s := sides{config(t, set), config(t, redistest.Standalone(t, redistest.Options{}))}
	r, err := coordinate(t, s).Backup(t.Context())
	if err != nil || len(r.Saves) != 3 {
		t.Fatalf("got %+v, %v; want a save of each master", r, err)
	}
	for _, save := range r.Saves {
		if _, err := os.Stat(save.Path); err != nil {
			t.Errorf("%+v: %v", save, err)
		}
	}
}

// TestBackupThatFails: a directory stands where the file is to be.
func TestBackupThatFails(t *testing.T) {
	a, _, s := twoServers(t, nil, nil)
	if err := os.MkdirAll(filepath.Join(a.Dir(), "dump.rdb", "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	c := coordinate(t, s, alone)
	for range 2 { // also if the one before failed
		if r, err := c.Backup(t.Context()); !errors.Is(err, ErrBackup) {
			t.Errorf("got %+v, %v; want ErrBackup", r, err)
		}
	}
	checked(t, c).wants(t, "persistence", "source", Refused, "last save failed")
}

func TestBackupIsRefused(t *testing.T) {
	a, _, s := twoServers(t, nil, nil)
	restrict(t, a, "-bgsave")
	s.source.Username, s.source.Password = "app", "pw"
	for name, one := range map[string]sides{"by rights": s, "by an embedded server": {embeddedConfig(t), s.target}} {
		t.Run(name, func(t *testing.T) {
			_, err := coordinate(t, one).Backup(t.Context())
			if r, ok := errors.AsType[*Refusal](err); !ok || r.Gate != "backup" || r.Next == "" {
				t.Errorf("got %v; want a refusal with the service's own way", err)
			}
		})
	}
}

// restrict makes the user app, with password pw, who may do all but what the
// rules take away.
func restrict(t *testing.T, s *redisproc.Server, rules ...string) {
	t.Helper()
	redistest.Do(t, s, append([]string{"ACL", "SETUSER", "app", "on", ">pw", "~*", "&*", "+@all"}, rules...)...)
}
