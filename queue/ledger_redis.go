package queue

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

//go:embed ledger.lua
var ledgerLua string

var ledgerScript = redis.NewScript(ledgerLua)

// DefaultKeep is how long a ledger keeps a note.
const DefaultKeep = 7 * 24 * time.Hour

// replicaWait is how long a RedisLedger waits for a replica to have a note.
const replicaWait = 500 * time.Millisecond

// A RedisLedger keeps effects in a Redis, each under a key of its own,
// asynq:{once:HASH}, which a migration moves with the queues. It waits for a replica
// (WAIT 1) where there is one. What a failover loses all the same can be applied
// twice; for money use a database.
type RedisLedger struct {
	c    redis.UniversalClient
	keep time.Duration
}

// NewRedisLedger makes a ledger that keeps notes for a time, which must be longer
// than any job can wait for a run; 0 means DefaultKeep. It dials nothing.
func NewRedisLedger(c redis.UniversalClient, keep time.Duration) (*RedisLedger, error) {
	if keep == 0 {
		keep = DefaultKeep
	}
	if c == nil || keep < time.Minute {
		return nil, fmt.Errorf("%w: NewRedisLedger: it needs a client, and notes that are kept for 1m or longer, not %v", ErrOption, keep)
	}
	return &RedisLedger{c, keep}, nil
}

// Begin implements Ledger.
func (l *RedisLedger) Begin(ctx context.Context, effect, owner string, claim time.Duration) (Progress, error) {
	n, err := l.note(ctx, "begin", effect, owner, claim)
	return Progress(n), err
}

// Retake implements Ledger.
func (l *RedisLedger) Retake(ctx context.Context, effect, owner string, claim time.Duration) (bool, error) {
	n, err := l.note(ctx, "retake", effect, owner, claim)
	return n == 1, err
}

// Commit implements Ledger.
func (l *RedisLedger) Commit(ctx context.Context, effect, owner string) error {
	_, err := l.note(ctx, "commit", effect, owner, 0)
	return err
}

// Release implements Ledger.
func (l *RedisLedger) Release(ctx context.Context, effect, owner string) error {
	_, err := l.note(ctx, "release", effect, owner, 0)
	return err
}

func (l *RedisLedger) note(ctx context.Context, verb, effect, owner string, claim time.Duration) (n int64, err error) {
	sum := sha256.Sum256([]byte(effect))
	key := "asynq:{once:" + hex.EncodeToString(sum[:16]) + "}"
	err = l.c.Watch(ctx, func(tx *redis.Tx) (err error) {
		n, err = ledgerScript.Run(ctx, tx, []string{key}, verb, owner, claim.Milliseconds(), l.keep.Milliseconds()).Int64()
		if err == nil {
			_, err = confirmed(ctx, tx, replicaWait) // without an answer it is noted again: a failover may have lost it
		}
		return err
	}, key)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return n, nil
}
