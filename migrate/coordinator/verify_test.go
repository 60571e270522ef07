package coordinator

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/redistest"
)

// TestVerify makes each kind of difference, one at a time: a comparison that
// could not fail would prove nothing.
func TestVerify(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("needs a real server")
	}
	s := kinds["standalone"](t)
	seed(t, s.source, 300)
	c := coordinate(t, s, func(o *Options) { o.NoMembers = true })
	stop := shadowing(t, c)
	waitShadow(t, c)
	rep, err := c.Verify(t.Context(), VerifyRequest{})
	if err != nil || rep.Compared < 1200 {
		t.Fatalf("got %+v, %v; want 1,200 keys and no difference", rep, err)
	}
	stop() // else the coordinator would repair what follows
	dst := client(t, s.target)
	for name, tt := range map[string]struct {
		spoil    func() error
		key      string
		workload string
		kind     string
	}{
		"missing": {func() error { return dst.Del(t.Context(), "sess:{7}").Err() }, "sess:{7}", "sessions", "missing"},
		"extra":   {func() error { return dst.Set(t.Context(), "rl:new", 1, 0).Err() }, "rl:new", "ratelimit", "extra"},
		"value":   {func() error { return dst.RPush(t.Context(), "l:3", "x").Err() }, "l:3", "other", "value"},
		"expiry":  {func() error { return dst.Expire(t.Context(), "sess:{9}", time.Minute).Err() }, "sess:{9}", "sessions", "expiry"},
		"type": {func() error {
			_, err := dst.TxPipelined(t.Context(), func(p redis.Pipeliner) error {
				p.Del(t.Context(), "h:4")
				p.Set(t.Context(), "h:4", 1, 0)
				return nil
			})
			return err
		}, "h:4", "other", "type"},
	} {
		t.Run(name, func(t *testing.T) {
			if err := tt.spoil(); err != nil {
				t.Fatal(err)
			}
			rep, err := c.Verify(t.Context(), VerifyRequest{})
			if !errors.Is(err, ErrDiffer) {
				t.Fatalf("got %v; want ErrDiffer", err)
			}
			found := false
			for _, d := range rep.Examples {
				found = found || (d.Key == tt.key && d.Workload == tt.workload && len(d.Kind) >= len(tt.kind) && d.Kind[:len(tt.kind)] == tt.kind)
			}
			if !found {
				t.Errorf("got %+v; want %s of %s to be %s", rep.Examples, tt.key, tt.workload, tt.kind)
			}
		})
	}
	redistest.Eventually(t, 30*time.Second, func() error { // a sample of all keys finds some of it
		rep, err := c.Verify(t.Context(), VerifyRequest{Sample: 2000})
		if !errors.Is(err, ErrDiffer) {
			return fmt.Errorf("got %+v, %v; want ErrDiffer", rep, err)
		}
		return nil
	})
}

func TestVerifyRefusesOff(t *testing.T) {
	s := kinds["embedded"](t)
	c := coordinate(t, s)
	var r *Refusal
	if _, err := c.Verify(t.Context(), VerifyRequest{}); !errors.As(err, &r) {
		t.Fatalf("got %v; want a refusal", err)
	}
}
