package coordinator

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/control"
	"github.com/transload/transload/internal/protocol"
)

// stamp marks the next change of either record.
func (t *term) stamp(recs readings) protocol.Stamp {
	return protocol.Stamp{
		Epoch:  protocol.NextEpoch(recs[protocol.Source].Record, recs[protocol.Target].Record),
		Writer: t.id, Nonce: rand.Text(),
	}
}

// begin takes the migration from off to shadow: the source's record first, for
// a target's record alone would not make a member mirror anything.
func (t *term) begin(ctx context.Context) error {
	p, roll, err := t.agreedPlan(ctx)
	if err != nil {
		return err
	}
	if err := t.mayBegin(ctx); err != nil {
		return err
	}
	if err := t.keepSettings(ctx); err != nil {
		return err
	}
	why := fmt.Sprintf("%s; %d entries on the rolls", t.why(), len(roll))
	for _, s := range protocol.Sides {
		recs, err := t.readBoth(ctx)
		if err != nil {
			return err
		}
		if recs[s].Record.Phase.Leased() {
			continue
		}
		next, err := protocol.Begin(recs[s].Record, t.c.opts.Name, s, p.digest, p.names(), t.stamp(recs))
		if err != nil {
			return fmt.Errorf("coordinator: %w", err)
		}
		if _, err := t.change(ctx, protocol.Change{Side: s, Old: recs[s].Record, New: next}, why); err != nil {
			return err
		}
	}
	return nil
}

// mayBegin refuses sides between which nothing can be migrated.
func (t *term) mayBegin(ctx context.Context) error {
	recs, err := t.readBoth(ctx)
	if err != nil {
		return err
	}
	if recs[protocol.Source].RunID == recs[protocol.Target].RunID {
		return refuse("sides", "set REDIS_TARGET_* to the Redis that is to be moved to",
			"source and target are the same server (run id %s)", recs[protocol.Source].RunID)
	}
	lost, err := lostData(ctx, t.sides[protocol.Source])
	if err != nil {
		return err
	}
	if !recs[protocol.Target].Record.Empty() && !lost || t.c.opts.TargetKeys != RefuseKeys {
		return nil // it was this source's target before, or its keys were spoken of
	}
	foreign, err := foreignKeys(ctx, t.sides[protocol.Target].client, 5)
	if err != nil {
		return fmt.Errorf("coordinator: look for keys on the target: %w", err)
	}
	if len(foreign) > 0 {
		return refuse("foreign keys", "empty the target, or say --target-keys=keep or --target-keys=delete",
			"the target holds keys already, such as %s", strings.Join(foreign, ", "))
	}
	return nil
}

// errEnough ends a walk that has found what it wanted.
var errEnough = errors.New("enough")

// foreignKeys returns up to n names of keys that are no migration's own.
func foreignKeys(ctx context.Context, client eachMaster, n int) (found []string, err error) {
	names := make(chan string, n)
	err = client.EachMaster(ctx, func(ctx context.Context, _ string, node *redis.Client) error {
		return scanNode(ctx, node, "", func(keys []string) error {
			for _, key := range keys {
				if strings.HasPrefix(key, control.Reserved) {
					continue
				}
				select {
				case names <- key:
				default:
					return errEnough
				}
			}
			return ctx.Err()
		})
	})
	close(names)
	for key := range names {
		found = append(found, key)
	}
	if errors.Is(err, errEnough) {
		err = nil
	}
	return found, err
}

// load makes the term ready to keep the sides equal: what was left behind is
// ended, and plan and settings are known. begin lets it start the migration.
func (t *term) load(ctx context.Context, mayBegin bool) error {
	recs, err := t.recover(ctx)
	if err != nil {
		return err
	}
	src := recs[protocol.Source].Record
	switch {
	case src.Phase == protocol.Done:
		return refuse("phase", "remove the migrating client from the app; `migrate forget` removes the records",
			"the migration is done")
	case src.Phase.Leased():
	case mayBegin:
		if err := t.begin(ctx); err != nil {
			return err
		}
	default:
		return refuse("phase", "run `migrate shadow` first", "the migration has not begun")
	}
	if recs, err = t.readBoth(ctx); err != nil {
		return err
	}
	if err := t.readSettings(ctx); err != nil {
		return err
	}
	if err := t.compressAgain(ctx); err != nil {
		t.log.Warn("what an earlier coordinator has set on the source was not put back", "op", "sync", "err", err)
	}
	p, _, err := t.agreedPlan(ctx)
	if err != nil {
		return err
	}
	if want := recs[protocol.Source].Record.Plan; p.digest != want {
		return refuse("members", "deploy the workloads that the migration was begun with, or roll back to off and begin anew",
			"the members' workloads (%s) are not those of the migration (%s)", p.digest, want)
	}
	v := &view{plan: p}
	for _, s := range protocol.Sides {
		v.rec[s] = recs[s].Record
		if err := t.lookForLoss(ctx, s); err != nil {
			return err
		}
	}
	t.mu.Lock()
	t.plan, t.syncer = p, newSyncer(t, v)
	t.mu.Unlock()
	return nil
}
