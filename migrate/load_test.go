package migrate

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/transload/transload/internal/load"
	"github.com/transload/transload/internal/protocol"
	"github.com/transload/transload/internal/redistest"
)

// TestLoad moves authority to and fro under the load of three members, by hand:
// the proof inside each hold is a copy of all keys.
func TestLoad(t *testing.T) {
	t.Parallel()
	for name, target := range map[string]func(*testing.T) interface {
		Env(string) map[string]string
	}{
		"standalone": func(t *testing.T) interface {
			Env(string) map[string]string
		} {
			return redistest.Standalone(t, redistest.Options{Password: "two"})
		},
		"cluster": func(t *testing.T) interface {
			Env(string) map[string]string
		} {
			return redistest.Cluster(t, redistest.Options{})
		},
	} {
		t.Run(name, func(t *testing.T) {
			source := redistest.Standalone(t, redistest.Options{})
			p := newPair(t, envConfig(t, source.Env("REDIS")), envConfig(t, target(t).Env("REDIS")))
			var members []*Client
			var journals []*load.Journal
			ctx, stop := context.WithCancel(t.Context())
			var wg sync.WaitGroup
			defer wg.Wait()
			defer stop()
			for i := range 3 {
				c := p.member(func(o *Options) { o.ShadowReads = 0.1 })
				j := load.NewJournal(fmt.Sprint("m", i))
				members, journals = append(members, c), append(journals, j)
				wg.Go(func() { load.Run(ctx, c, j, load.Options{Member: fmt.Sprint("m", i), Rate: 300}) })
			}
			p.shadow(members...)
			pause(ctx, 300*time.Millisecond)
			for _, step := range []struct {
				from    protocol.Side
				percent int
			}{
				{protocol.Source, 10}, {protocol.Source, 50}, {protocol.Source, 100},
				{protocol.Target, 0}, {protocol.Source, 100},
			} {
				mv := p.prepare(step.from, everything(step.percent))
				mv.hold()
				mv.flip()
				p.obeyed(members...)
				pause(ctx, 300*time.Millisecond)
			}
			stop()
			wg.Wait()
			v, err := load.Check(t.Context(), p.client[protocol.Target], journals...)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%+v", v)
			if !v.OK() || v.Acknowledged < 500 {
				t.Errorf("got %+v; want all acknowledged writes", v)
			}
			if len(v.Errors) > 0 {
				t.Errorf("the app saw errors: %v", v.Errors)
			}
		})
	}
}
