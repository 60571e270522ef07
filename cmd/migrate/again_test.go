package main

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/migrate"
	"github.com/transload/transload/topology/embedded"
)

// onTo makes a pair whose source is the target of p, as after a first migration.
func (p pair) onTo(t *testing.T) pair {
	t.Helper()
	third, err := embedded.Start(nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { third.Close() })
	cfg := third.Config()
	cfg.ReadTimeout = p.source.ReadTimeout
	next := pair{source: p.target, target: cfg, env: map[string]string{
		"REDIS_TARGET_URL": "redis://" + third.Addr(), "REDIS_TARGET_PASSWORD": string(cfg.Password), "REDIS_TARGET_READ_TIMEOUT": "5s",
	}}
	for _, name := range []string{"_URL", "_PASSWORD", "_READ_TIMEOUT"} {
		next.env["REDIS"+name] = p.env["REDIS_TARGET"+name]
	}
	return next
}

// read asks one process of the app for a key.
func (p pair) read(t *testing.T, name, key string) (string, error) {
	t.Helper()
	c, err := migrate.Open(t.Context(), migrate.Options{Name: name, Source: p.source, Target: p.target, Version: "v1"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	return c.Get(ctx, key).Result()
}

// TestSecondMigration leaves a Redis that an earlier migration went to. Its record of
// that must not be taken for the source's: it says that another Redis answers.
func TestSecondMigration(t *testing.T) {
	t.Parallel()
	first := embeddedPair(t)
	if err := first.client(t, first.source).Set(t.Context(), "k", "v", 0).Err(); err != nil {
		t.Fatal(err)
	}
	stop := first.shadow(t, "--no-members")
	first.run(t, "cutover", "--to", "100", "--execute", "--no-members", "--max-p99", "1m", "--hold", "2s").wantCode(t, codeDone)
	commandWith(t.Context(), first.env, "default\n", "finish", "--min-soak", "0", "--no-members").wantCode(t, codeDone)
	stop()

	second := first.onTo(t)
	if got, err := second.read(t, "default", "k"); err == nil || errors.Is(err, redis.Nil) || !strings.Contains(err.Error(), "MIGRATE_NAME") {
		t.Errorf("under the same name the app got %q, %v; want an error that names MIGRATE_NAME", got, err)
	}
	for _, verb := range []string{"check", "shadow"} {
		r := second.run(t, verb, "--no-members")
		r.wantCode(t, codeRefused)
		r.wantError(t, "MIGRATE_NAME")
	}
	if got, err := second.read(t, "second", "k"); got != "v" {
		t.Errorf("under another name the app got %q, %v; want v", got, err)
	}
	commandWith(t.Context(), first.env, "", "forget", "--yes", "--quiet", "0").wantCode(t, codeDone)
	if got, err := second.read(t, "default", "k"); got != "v" {
		t.Errorf("after forget the app got %q, %v; want v", got, err)
	}
	second.shadow(t, "--no-members")()
}
