package topology_test

import (
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/redistest"
)

func TestQuorum(t *testing.T) {
	t.Parallel()
	set := redistest.Sentinel(t, redistest.Options{})
	c := open(t, set.Env("REDIS"), nil)
	got := c.Quorum(t.Context())
	if len(got) != 3 {
		t.Fatalf("got %+v; want three answers", got)
	}
	for _, q := range got {
		if q.Err != nil || !strings.HasPrefix(q.Says, "OK 3 usable") {
			t.Errorf("%s: got %q, %v; want it to agree", q.Addr, q.Says, q.Err)
		}
	}
	for _, s := range set.Sentinels[1:] {
		if err := s.Kill(); err != nil {
			t.Fatal(err)
		}
	}
	redistest.Eventually(t, 30*time.Second, func() error {
		left := c.Quorum(t.Context())[0]
		if redis.HasErrorPrefix(left.Err, "NOQUORUM") {
			return nil
		}
		return errString(left.Says)
	})
	if dead := c.Quorum(t.Context())[1]; dead.Err == nil {
		t.Errorf("got %+v of a sentinel that is dead; want an error", dead)
	}
}

type errString string

func (e errString) Error() string { return "the one that is left says " + string(e) }

func TestQuorumElsewhereIsNone(t *testing.T) {
	t.Parallel()
	c := open(t, redistest.Standalone(t, redistest.Options{}).Env("REDIS"), nil)
	if got := c.Quorum(t.Context()); got != nil {
		t.Errorf("got %v of a standalone server; want nothing", got)
	}
}
