package drill

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/redisproc"
	"github.com/transload/transload/internal/redistest"
)

// prepared returns a planned failover that could begin, on a set of its own.
func prepared(t *testing.T) (*redisproc.Set, *relay) {
	t.Helper()
	set := redistest.Sentinel(t, redistest.Options{DownAfter: 5 * time.Second}) // a pause of two seconds
	r := &relay{Handover: &Handover{client: client(t, config(t, set.Env("REDIS")))}, peers: map[string]*redis.Client{}}
	t.Cleanup(r.close)
	if err := r.prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.Began = time.Now()
	return set, r
}

// wantAsBefore fails the test unless the old primary takes writes at once, and the
// error says of a step that it failed, and in which state that leaves things.
func wantAsBefore(t *testing.T, set *redisproc.Set, err error, step, state string) {
	t.Helper()
	he, ok := errors.AsType[*HandoverError](err)
	if !ok || he.Step != step || !strings.Contains(he.State, state) {
		t.Fatalf("got %v; want that %q failed, and %q", err, step, state)
	}
	began := time.Now()
	redistest.Do(t, set.Nodes[0], "SET", "k", "v")
	if took := time.Since(began); took > 500*time.Millisecond {
		t.Errorf("a write took %v afterwards; want that the pause was ended", took)
	}
}

// TestReplicaThatHangsIsFoundBeforeAnythingMoves freezes a replica after all has
// been looked at: it never says that it is in step.
func TestReplicaThatHangsIsFoundBeforeAnythingMoves(t *testing.T) {
	t.Parallel()
	set, r := prepared(t)
	if err := set.Nodes[1].Freeze(); err != nil {
		t.Fatal(err)
	}
	wantAsBefore(t, set, r.handOver(t.Context()), "wait until the replicas have every write", "nothing has changed")
}

// TestSentinelThatHangs does not say that nothing will happen: it was told.
func TestSentinelThatHangs(t *testing.T) {
	set, r := prepared(t)
	if err := set.Sentinels[0].Freeze(); err != nil { // the first that could lead does
		t.Fatal(err)
	}
	wantAsBefore(t, set, r.handOver(t.Context()), "SENTINEL FAILOVER", "should the sentinel promote a replica after all")
}

// TestPromotionAfterThePause has writes go on at the old primary and says that
// what it acknowledged is lost; and the old primary ends up as a replica.
func TestPromotionAfterThePause(t *testing.T) {
	set, r := prepared(t)
	if err := r.begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	err := r.tooLate(t.Context(), errors.New("not within the pause"))
	he, ok := errors.AsType[*HandoverError](err)
	if !ok || !strings.Contains(he.State, "the pause had ended before") {
		t.Fatalf("got %v; want that the pause had ended before the promotion", err)
	}
	if got := redistest.Do(t, set.Nodes[0], "ROLE").([]any)[0]; got != "slave" {
		t.Errorf("the old primary says %v; want that it was made a replica at once", got)
	}
	if r.New == "" || r.New == r.Old {
		t.Errorf("got %q promoted; want one of the replicas", r.New)
	}
}

// TestHandoverRefusals begins nothing where something is in the way.
func TestHandoverRefusals(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		hurt    func(*testing.T, *redisproc.Set)
		promote string
		gate    string
	}{
		"a replica is not in touch": {
			hurt: func(t *testing.T, s *redisproc.Set) { redistest.Do(t, s.Nodes[1], "REPLICAOF", "127.0.0.1", "1") },
			gate: "replica",
		},
		"the one to promote is unknown": {promote: "127.0.0.1:1", gate: "replica"},
		"most sentinels are away": {
			hurt: func(t *testing.T, s *redisproc.Set) {
				for _, n := range s.Sentinels[1:] {
					if err := n.Kill(); err != nil {
						t.Fatal(err)
					}
				}
			},
			gate: "sentinels",
		},
		"too little time for a pause": {
			hurt: func(t *testing.T, s *redisproc.Set) {
				for _, n := range s.Sentinels {
					redistest.Do(t, n, "SENTINEL", "SET", redisproc.DefaultMaster, "down-after-milliseconds", "400")
				}
			},
			gate: "down-after-milliseconds",
		},
	} {
		t.Run(name, func(t *testing.T) {
			set := redistest.Sentinel(t, redistest.Options{DownAfter: 20 * time.Second}) // nobody else is to mend it
			if tt.hurt != nil {
				tt.hurt(t, set)
			}
			c := client(t, config(t, set.Env("REDIS")))
			h := &Handover{Promote: tt.promote}
			err := h.Run(t.Context(), c)
			if r, ok := errors.AsType[*Refusal](err); !ok || r.Gate != tt.gate || r.Next == "" {
				t.Errorf("got %v; want a refusal for %s, with a next step", err, tt.gate)
			}
			redistest.Do(t, set.Nodes[0], "SET", "k", "v")
		})
	}
}

// TestHandoverNeedsRights asks, with a user that may not pause: nothing is begun.
func TestHandoverNeedsRights(t *testing.T) {
	set := redistest.Sentinel(t, redistest.Options{Username: "app", Password: "s3cret"})
	redistest.Do(t, set.Nodes[0], "ACL", "SETUSER", "app", "-client|pause")
	c := client(t, config(t, set.Env("REDIS")))
	err := (&Handover{}).Run(t.Context(), c)
	if r, ok := errors.AsType[*Refusal](err); !ok || r.Gate != "rights" || !strings.Contains(r.Next, "+client|pause") {
		t.Errorf("got %v; want a refusal for rights that names them", err)
	}
}

func TestStandaloneHasNobodyToHandOverTo(t *testing.T) {
	s := redistest.Standalone(t, redistest.Options{})
	err := (&Handover{}).Run(t.Context(), client(t, config(t, s.Env("REDIS"))))
	if r, ok := errors.AsType[*Refusal](err); !ok || r.Gate != "mode" {
		t.Errorf("got %v; want a refusal for the mode", err)
	}
}
