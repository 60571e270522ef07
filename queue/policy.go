package queue

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// policyEach is how often a server's policy is looked at again: it may be changed,
// and a migration leads to another server.
const policyEach = time.Minute

// keeps is the one policy under which no key is thrown away.
const keeps = "noeviction"

// A policy knows whether the Redis keeps what it is given when it is full.
type policy struct {
	c   redis.UniversalClient
	log *slog.Logger

	mu     sync.Mutex
	asking bool
	asked  time.Time
	told   bool // that it cannot tell
	err    error
}

func newPolicy(c redis.UniversalClient, log *slog.Logger) *policy { return &policy{c: c, log: log} }

// allows returns ErrEvicts for a Redis that evicts, and nil where nobody can tell. It
// asks once a minute; while somebody asks, others are told what was known before.
func (p *policy) allows(ctx context.Context) error {
	p.mu.Lock()
	known := !p.asked.IsZero()
	if known && (p.asking || time.Since(p.asked) < policyEach) {
		defer p.mu.Unlock()
		return p.err
	}
	p.asking = true
	p.mu.Unlock()
	found, err := ask(ctx, p.c)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asking = false
	if err != nil && !answered(err) {
		return err // Redis is away: what is asked next will tell
	}
	p.asked, p.err = time.Now(), nil
	switch {
	case err != nil || found == "":
		p.cannotTell(err)
	case found != keeps:
		p.err = fmt.Errorf("%w (it is %s now)", ErrEvicts, found)
	}
	return p.err
}

func (p *policy) cannotTell(err error) {
	if !p.told {
		p.told = true
		p.log.Warn("nobody can tell whether this redis evicts keys: see that its maxmemory-policy is noeviction", "workload", workload, "op", "check", "err", err)
	}
}

// ask returns the policy of the primaries; if they differ, one that evicts.
func ask(ctx context.Context, c redis.UniversalClient) (string, error) {
	var mu sync.Mutex
	var worst string
	look := func(ctx context.Context, node *redis.Client) error {
		found, err := policyOf(ctx, node)
		mu.Lock()
		defer mu.Unlock()
		if worst == "" || found != keeps {
			worst = found
		}
		return err
	}
	switch c := c.(type) {
	case interface { // go-redis's client of a cluster
		ForEachMaster(ctx context.Context, f func(context.Context, *redis.Client) error) error
	}:
		err := c.ForEachMaster(ctx, look)
		return worst, err
	case interface { // topology.Client
		EachMaster(ctx context.Context, f func(context.Context, string, *redis.Client) error) error
	}:
		err := c.EachMaster(ctx, func(ctx context.Context, _ string, node *redis.Client) error { return look(ctx, node) })
		return worst, err
	}
	return policyOf(ctx, c)
}

func policyOf(ctx context.Context, c interface {
	Info(ctx context.Context, section ...string) *redis.StringCmd
}) (string, error) {
	text, err := c.Info(ctx, "memory").Result()
	for line := range strings.Lines(text) {
		if v, ok := strings.CutPrefix(line, "maxmemory_policy:"); ok {
			return strings.TrimSpace(v), nil
		}
	}
	return "", err
}
