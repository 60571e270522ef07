package coordinator

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/redistest"
)

// compresses waits until a server says that it compresses, or that it does not.
func compresses(t *testing.T, c redis.UniversalClient, want string) {
	t.Helper()
	redistest.Eventually(t, time.Minute, func() error {
		got, err := c.ConfigGet(t.Context(), compression).Result()
		if err != nil || got[compression] != want {
			return fmt.Errorf("got %v, %w; want %s", got, err, want)
		}
		return nil
	})
}

// TestCompression: the source does not compress while an empty target is filled,
// and does again afterwards, even if the coordinator is killed in between. One that
// never did is left alone.
func TestCompression(t *testing.T) {
	t.Parallel()
	s, env := pairEnv(t)
	fill(t, s, worthTelling+2000)
	src, dst := client(t, s.source), client(t, s.target)
	if err := dst.ConfigSet(t.Context(), compression, "no").Err(); err != nil {
		t.Fatal(err)
	}
	compresses(t, src, "yes")
	p := startProcess(t, "shadow", env, map[string]string{"TEST_RATE": "1000"})
	compresses(t, src, "no")
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	c := coordinate(t, s, func(o *Options) { o.NoMembers, o.Rate = true, 6000 })
	if err := c.leading(t.Context(), "look", func(ctx context.Context, lead *term) error { return lead.load(ctx, false) }); err != nil {
		t.Fatal(err)
	}
	compresses(t, src, "yes")
	stop := shadowing(t, c)
	compresses(t, src, "no") // most keys are lacking yet
	waitShadow(t, c)
	compresses(t, src, "yes")
	if kept, err := src.HGetAll(t.Context(), settingsKey("default")).Result(); err != nil || len(kept) > 0 {
		t.Errorf("got %v, %v; want nothing to be put back", kept, err)
	}
	compresses(t, dst, "no")
	stop()
}

// TestCompressionThatMayNotBeSet: a source whose CONFIG may be read and not set is
// left as it is, with nothing noted that a later coordinator would try to put back.
func TestCompressionThatMayNotBeSet(t *testing.T) {
	t.Parallel()
	s := pair(t)
	fill(t, s, worthTelling+1000)
	src := client(t, s.source)
	if err := src.Do(t.Context(), "ACL", "SETUSER", "half", "on", ">secret", "~*", "&*", "+@all", "-config|set").Err(); err != nil {
		t.Fatal(err)
	}
	s.source.Username, s.source.Password = "half", "secret"
	c := coordinate(t, s, func(o *Options) { o.NoMembers = true })
	shadowing(t, c)
	waitShadow(t, c)
	compresses(t, src, "yes")
	if kept, err := src.HGetAll(t.Context(), settingsKey("default")).Result(); err != nil || len(kept) > 0 {
		t.Errorf("got %v, %v; want nothing to be put back", kept, err)
	}
}
