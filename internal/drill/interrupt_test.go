package drill

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/transload/transload/internal/redisproc"
	"github.com/transload/transload/internal/redistest"
	"github.com/transload/transload/topology"
)

// TestInterruptedAtEachStep ends the context of a planned failover right after
// each of its steps, while the load goes on: nothing that was acknowledged is
// lost, and the error says who is the primary.
func TestInterruptedAtEachStep(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		mode  topology.Mode
		step  string // none: before the first
		moved bool
		long  bool // for make real
	}{
		{topology.Sentinel, "", false, true},
		{topology.Sentinel, "writes held", false, false},
		{topology.Sentinel, "replicas in step", false, true},
		{topology.Sentinel, "SENTINEL FAILOVER", true, false},
		{topology.Sentinel, "promoted", true, true},
		{topology.Sentinel, "old primary follows, writes go on", true, true},
		{topology.Cluster, "", false, true},
		{topology.Cluster, "CLUSTER FAILOVER", true, false},
		{topology.Cluster, "promoted", true, true},
	} {
		if tt.long && os.Getenv("LONG") == "" {
			continue
		}
		t.Run(fmt.Sprintf("%s %s", tt.mode, tt.step), func(t *testing.T) {
			set := starts[tt.mode](t, redistest.Options{DownAfter: 5 * time.Second})
			cfg := config(t, set.Env("REDIS"))
			control := client(t, cfg)
			load := StartLoad(t.Context(), client(t, cfg), LoadOptions{})
			defer load.Stop()
			if err := warm(t.Context(), load); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			h := &Handover{seen: func(step string) {
				if step == tt.step {
					cancel()
				}
			}}
			if tt.step == "" {
				cancel()
			}
			wantInterrupted(t, h.Run(ctx, control), h, tt.moved)
			wantNoLoss(t, load, control)
		})
	}
}

// wantInterrupted fails the test unless the error says who is the primary, and
// the servers say the same.
func wantInterrupted(t *testing.T, err error, h *Handover, moved bool) {
	t.Helper()
	want := "nothing has changed"
	if moved {
		want = h.New + " is the primary"
	}
	i, ok := errors.AsType[*Interrupted](err)
	if !ok || !strings.Contains(i.State, want) || !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v; want that it was interrupted, and %q", err, want)
	}
	if h.Old == "" || !moved {
		return
	}
	for addr, role := range map[string]topology.Role{h.New: topology.Master, h.Old: topology.Replica} {
		rdb, err := h.client.Node(addr)
		if err != nil {
			t.Fatal(err)
		}
		defer rdb.Close()
		if err := is(t.Context(), rdb, role); err != nil {
			t.Errorf("%v; want %s", err, role)
		}
	}
}

// wantNoLoss lets the load go on for a while, and looks for every write.
func wantNoLoss(t *testing.T, load *Load, control *topology.Client) {
	t.Helper()
	after := time.Now()
	err := poll(t.Context(), patient, probeEvery, func() error {
		if !load.AnsweredSince(after) {
			return errors.New("the app gets no answer" + load.trouble())
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := pause(t.Context(), quiet); err != nil {
		t.Fatal(err)
	}
	load.Stop()
	loss, err := load.Check(t.Context(), control)
	if err != nil || loss.Lost > 0 || loss.Acknowledged == 0 {
		t.Errorf("got %d lost of %d, %v; want none lost", loss.Lost, loss.Acknowledged, err)
	}
	t.Logf("lost %d of %d", loss.Lost, loss.Acknowledged)
}

// TestInterruptedWhileSteering puts the priority back: it ends while the sentinel
// has not yet seen the new one.
func TestInterruptedWhileSteering(t *testing.T) {
	set := redistest.Sentinel(t, redisproc.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	priority := func() any { return redistest.Do(t, set.Nodes[1], "CONFIG", "GET", "replica-priority").([]any)[1] }
	h := &Handover{Promote: set.Nodes[1].Addr()}
	c := client(t, config(t, set.Env("REDIS")))
	ended := make(chan error, 1)
	go func() { ended <- h.Run(ctx, c) }()
	err := poll(t.Context(), patient, probeEvery, func() error {
		if got := priority(); got != "1" {
			return fmt.Errorf("replica-priority is %v", got)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	wantInterrupted(t, <-ended, h, false)
	if got := priority(); got != "100" {
		t.Errorf("got replica-priority %v; want it put back to 100", got)
	}
}
