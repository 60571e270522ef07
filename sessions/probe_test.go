package sessions

import (
	"database/sql"
	"slices"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/redistest"
)

// A probe leaves nothing, on the server and in the database, and passes where a user
// may have one session.
func TestProbeLeavesNothing(t *testing.T) {
	var db *sql.DB
	m, s := mini(t, withSQL(t, &db), func(o *Options) { o.PerUser = 1 })
	for range 2 {
		if err := m.Probe(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if keys := s.Keys(); len(keys) != 0 || rows(t, db) != 0 {
		t.Errorf("got keys %q and %d rows; want none", keys, rows(t, db))
	}
}

// Each command that sessions need is needed by a probe too.
func TestProbeFindsWhatIsForbidden(t *testing.T) {
	t.Parallel()
	server := redistest.Standalone(t, redistest.Options{})
	admin := redistest.Client(t, server)
	probe := func(rights ...any) error {
		for _, command := range [][]any{append([]any{"acl", "setuser", "app", "reset", "on", "nopass", "allkeys"}, rights...), {"script", "flush"}} {
			if err := admin.Do(t.Context(), command...).Err(); err != nil {
				t.Fatal(err)
			}
		}
		c := redistest.Client(t, server, func(o *redis.Options) { o.Username, o.Password = "app", "any" })
		return managerOn(t, c, patient()).Probe(t.Context())
	}
	needs := []string{"eval", "evalsha", "watch", "hmget", "hset", "del", "pexpireat", "pexpire", "pttl", "time", "zadd", "zremrangebyscore", "zcard", "zrange"}
	var rights []any
	for _, command := range append(needs, "unwatch", "wait", "info", "zrem") { // which are done without, somehow
		rights = append(rights, "+"+command)
	}
	if err := probe(rights...); err != nil {
		t.Fatal(err)
	}
	for i, command := range needs {
		if probe(slices.Delete(slices.Clone(rights), i, i+1)...) == nil {
			t.Errorf("%s is forbidden: got no error", command)
		}
	}
}
