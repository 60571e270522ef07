package coordinator

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/protocol"
)

// TestGroups changes consumer groups in ways that no feed reports, past the
// client, and moves the streams. Their groups are compared before the hold and in
// it, and come across.
func TestGroups(t *testing.T) {
	t.Parallel()
	s := pair(t)
	src, dst := client(t, s.source), client(t, s.target)
	ctx := t.Context()
	for _, key := range []string{"st:{a}", "st:{b}"} {
		for range 5 {
			if err := src.XAdd(ctx, &redis.XAddArgs{Stream: key, Values: []any{"k", "v"}}).Err(); err != nil {
				t.Fatal(err)
			}
		}
	}
	startApp(t, s, 1, 0)
	c := coordinate(t, s)
	stop := shadowing(t, c)
	waitShadow(t, c)
	// None of these is named by the source's feed.
	if err := src.XGroupCreate(ctx, "st:{a}", "workers", "0").Err(); err != nil {
		t.Fatal(err)
	}
	read, err := src.XReadGroup(ctx, &redis.XReadGroupArgs{Group: "workers", Consumer: "w1", Streams: []string{"st:{a}", ">"}, Count: 3}).Result()
	if err != nil {
		t.Fatal(err)
	}
	if err := src.XAck(ctx, "st:{a}", "workers", read[0].Messages[0].ID).Err(); err != nil {
		t.Fatal(err)
	}
	c2 := coordinate(t, s, func(o *Options) { o.Limits.MinShadow = -1 })
	res, err := c2.Cutover(ctx, CutoverRequest{To: []int{100}, Care: Care{AcceptBypass: true}})
	if err != nil || res.Phase != protocol.Soak {
		t.Fatalf("cutover: got %+v, %v; want soak", res, err)
	}
	stop()
	if p, err := dst.XPending(ctx, "st:{a}", "workers").Result(); err != nil || p.Count != 2 {
		t.Errorf("pending on the target: got %+v, %v; want 2", p, err)
	}
	if g, err := dst.XInfoGroups(ctx, "st:{b}").Result(); err != nil || len(g) != 0 {
		t.Errorf("groups of the other stream: got %+v, %v; want none", g, err)
	}
}

// TestPlainStreams: streams without a group are not compared in a hold, and do
// not shut the gate that keeps it short.
func TestPlainStreams(t *testing.T) {
	t.Parallel()
	s := pair(t)
	src, ctx := client(t, s.source), t.Context()
	p := src.Pipeline()
	for i := range 3000 {
		p.XAdd(ctx, &redis.XAddArgs{Stream: fmt.Sprintf("st:{%d}", i), Values: []any{"k", "v"}})
	}
	p.XGroupCreate(ctx, "st:{1}", "workers", "0")
	if _, err := p.Exec(ctx); err != nil {
		t.Fatal(err)
	}
	startApp(t, s, 1, 0)
	c := coordinate(t, s)
	stop := shadowing(t, c)
	defer stop()
	waitShadow(t, c)
	preview, err := coordinate(t, s).PreviewCutover(ctx, CutoverRequest{To: []int{100}, Care: Care{AcceptBypass: true}})
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(preview.Gates, func(g Gate) bool { return g.Name == "hold" })
	if i < 0 || !strings.Contains(preview.Gates[i].Figure, " 1 streams with groups ") {
		t.Errorf("got gates %+v; want one stream with groups in that of the hold", preview.Gates)
	}
}
