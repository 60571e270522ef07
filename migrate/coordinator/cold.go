package coordinator

import (
	"context"
	"fmt"

	"github.com/transload/transload/internal/command"
	"github.com/transload/transload/internal/protocol"
)

// emptyCold deletes, on the side that is about to take slots, what it has of
// workloads that begin cold. It may have served them before: its values are as
// old as that, and a cache that is rolled back must miss, not lie. Nobody writes
// them there before the move: the other side has the authority, and cold
// workloads are not mirrored.
func (t *term) emptyCold(ctx context.Context, taker protocol.Side, goal map[string]int) error {
	p := t.plan
	cold := false
	for _, w := range p.workloads {
		_, moves := goal[w.Name]
		cold = cold || w.Cold && moves
	}
	if !cold {
		return nil
	}
	recs := t.known()
	v := &view{plan: p, rec: [3]protocol.Record{protocol.Source: recs[protocol.Source].Record, protocol.Target: recs[protocol.Target].Record}}
	want := func(key string) bool {
		if !p.router.Cold(key) || v.authority(key) != taker.Other() {
			return false
		}
		cut, moves := goal[p.router.Workload(key)]
		return moves && (int(command.Slot(key)) < cut) == (taker == protocol.Target)
	}
	err := t.syncer.each(ctx, taker, want, func(ctx context.Context, keys []string) error {
		if err := t.mine(); err != nil {
			return err
		}
		pipe := t.keys[taker].client.Pipeline()
		for _, key := range keys {
			pipe.Unlink(ctx, key)
		}
		_, err := pipe.Exec(ctx)
		if err != nil && !isReply(err) {
			t.orphaned() // it may be carried out later, and is waited for
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("coordinator: empty the cold workloads of the %v: %w", taker, err)
	}
	return nil
}
