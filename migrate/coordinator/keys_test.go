package coordinator

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/control"
	"github.com/transload/transload/internal/faultproxy"
	"github.com/transload/transload/internal/protocol"
	"github.com/transload/transload/internal/redisproc"
	"github.com/transload/transload/internal/redistest"
)

// A holder has a proxy keep back the first copy that is sent.
type holder struct {
	t      *testing.T
	server *redisproc.Server
	proxy  *faultproxy.Proxy
	held   chan []*faultproxy.Link
}

func (h *holder) DialHook(next redis.DialHook) redis.DialHook          { return next }
func (h *holder) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }
func (h *holder) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		if args := cmds[0].Args(); args[0] == "restore" && args[1] == "sess:{1}" && len(h.held) == 0 {
			h.held <- h.hold()
		}
		return next(ctx, cmds)
	}
}

// hold finds the connections for copies by their name.
func (h *holder) hold() (held []*faultproxy.Link) {
	for line := range strings.Lines(redistest.Do(h.t, h.server, "CLIENT", "LIST").(string)) {
		f := control.ClientFields(line)
		for _, l := range h.proxy.Links() {
			if strings.HasSuffix(f["name"], ".copy") && l.ServerAddr() == f["addr"] {
				l.Hold()
				held = append(held, l)
			}
		}
	}
	return held
}

// TestACopyLeftUnansweredIsEndedBeforeAHold: a proxy keeps a copy's bytes after the
// coordinator gave it up, and delivers them when the keys have moved.
func TestACopyLeftUnansweredIsEndedBeforeAHold(t *testing.T) {
	t.Parallel()
	src, dst := redistest.Standalone(t, redistest.Options{}), redistest.Standalone(t, redistest.Options{})
	proxy := redistest.Proxy(t, dst)
	proxy.KeepServer(true)
	s := sides{config(t, src), config(t, dst)}
	s.target.Addrs, s.target.ReadTimeout = []string{proxy.Addr()}, 300*time.Millisecond
	sy := syncing(t, s)
	h := &holder{t: t, server: dst, proxy: proxy, held: make(chan []*faultproxy.Link, 1)}
	sy.t.keys[protocol.Target].client.AddHook(h)
	redistest.Do(t, src, "SET", "sess:{1}", "old")
	redistest.Eventually(t, 20*time.Second, func() error {
		if !sy.t.hasOrphans() {
			return errors.New("no copy has been left unanswered")
		}
		return nil
	})
	d := &driver{s: sy, t: sy.t, giver: protocol.Source, hold: 5 * time.Second}
	out := protocol.Output{Kind: protocol.DoWrite}
	out.Change.New.Move = &protocol.Move{ID: "m", From: protocol.Source, Stage: protocol.Held}
	err := d.stage(t.Context(), out)
	defer d.resume()
	if err != nil {
		t.Fatal(err)
	}
	redistest.Do(t, dst, "SET", "sess:{1}", "proven")
	for _, l := range <-h.held {
		l.Release()
		redistest.Eventually(t, 10*time.Second, func() error {
			select {
			case <-l.Done():
				return nil
			default:
				return errors.New("a connection for copies from before the hold lives")
			}
		})
	}
	if got := redistest.Do(t, dst, "GET", "sess:{1}"); got != "proven" {
		t.Errorf("got %v; want what was there when the hold was proven", got)
	}
}
