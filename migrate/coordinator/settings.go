package coordinator

import (
	"context"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/control"
	"github.com/transload/transload/internal/protocol"
)

// settings are what the operator told when the migration began. They are kept
// on the target, so that a coordinator that is started again does not need to
// be told again, and does not delete what it was told to keep.
type settings struct {
	TargetKeys TargetKeys
}

// settingsKey is the hash that holds them.
func settingsKey(name string) string { return control.Prefix(name) + "settings" }

const targetKeysField = "target-keys"

// keepSettings writes what was told now.
func (t *term) keepSettings(ctx context.Context) error {
	t.settings = settings{t.c.opts.TargetKeys}
	client := t.sides[protocol.Target].client
	if err := client.HSet(ctx, settingsKey(t.c.opts.Name), targetKeysField, string(t.settings.TargetKeys)).Err(); err != nil {
		return fmt.Errorf("coordinator: keep what was told: %w", err)
	}
	return nil
}

// readSettings reads what was told when the migration began.
func (t *term) readSettings(ctx context.Context) error {
	kept, err := t.sides[protocol.Target].client.HGet(ctx, settingsKey(t.c.opts.Name), targetKeysField).Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		return fmt.Errorf("coordinator: read what was told: %w", err)
	}
	t.settings = settings{TargetKeys(kept)}
	return nil
}

// keepExtras reports whether keys that only this side has must not be deleted.
func (t *term) keepExtras(s protocol.Side) bool {
	return s == protocol.Target && t.settings.TargetKeys == KeepKeys
}
