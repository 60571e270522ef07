// Package link is the freight app's way to Redis: the server that REDIS_* leads to, in
// any mode; with REDIS_TARGET_* a client that is ready to be moved; and with neither a
// Redis inside the process.
package link

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/migrate"
	"github.com/transload/transload/topology"
	"github.com/transload/transload/topology/embedded"
)

// A Link is a client, and what there is to know of the servers behind it.
type Link struct {
	// Client is what the workloads are given.
	Client redis.UniversalClient
	// Sides are a client for each Redis, to watch it: the only one, or source and
	// target.
	Sides []*topology.Client
	// Embedded says that the only Redis is inside the process.
	Embedded bool

	moving *migrate.Client // with a target; else nil
	server *embedded.Server
}

// Open reads the settings and makes the clients. It waits for no server.
func Open(ctx context.Context, getenv func(string) string, log *slog.Logger) (*Link, error) {
	l := &Link{}
	source, err := topology.FromEnv("REDIS", getenv)
	if errors.Is(err, topology.ErrDisabled) {
		source, err = l.embed(log)
	}
	if err != nil {
		return nil, err
	}
	target, err := topology.FromEnv("REDIS_TARGET", getenv)
	switch {
	case errors.Is(err, topology.ErrDisabled):
		err = l.settle(source, log)
	case err == nil:
		err = l.move(ctx, getenv("MIGRATE_NAME"), source, target, log)
	}
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// embed starts a Redis inside the process.
func (l *Link) embed(log *slog.Logger) (cfg topology.Config, err error) {
	if l.server, err = embedded.Start(log); err != nil {
		return cfg, err
	}
	l.Embedded = true
	return l.server.Config(), nil
}

// settle uses one Redis. Commands fail at once while it does not answer: each workload
// has something better to do than to wait.
func (l *Link) settle(cfg topology.Config, log *slog.Logger) error {
	by := migrate.NewRouter(migrate.DefaultWorkloads())
	c, err := topology.Open(cfg, topology.WithName("freight"), topology.WithLogger(log), topology.WithSide("source"),
		topology.WithMetrics(), topology.WithBreaker("source", by.Names(), by.Workload))
	if err != nil {
		return fmt.Errorf("redis: %w", err)
	}
	l.Client, l.Sides = c, []*topology.Client{c}
	return nil
}

// move uses two, and a client of each to see how they are.
func (l *Link) move(ctx context.Context, name string, source, target topology.Config, log *slog.Logger) error {
	c, err := migrate.Open(ctx, migrate.Options{Name: name, Source: source, Target: target, Version: "freight 1", Breaker: true, Logger: log})
	if err != nil {
		return err
	}
	l.Client, l.moving = c, c
	for _, side := range []struct {
		name string
		cfg  topology.Config
	}{{"source", source}, {"target", target}} {
		w, err := topology.Open(side.cfg, topology.WithName("freight-watch"), topology.WithSide(side.name), topology.WithoutReplicas())
		if err != nil {
			return fmt.Errorf("redis: %s: %w", side.name, err)
		}
		l.Sides = append(l.Sides, w)
	}
	return nil
}

// Phase says how far a migration has come; "off" where there is none.
func (l *Link) Phase() string {
	if l.moving == nil {
		return "off"
	}
	return l.moving.Phase()
}

// Migrating reports whether there are two sides.
func (l *Link) Migrating() bool { return l.moving != nil }

// Percent says how much of a workload the target answers for.
func (l *Link) Percent(workload string) int {
	if l.moving == nil {
		return 0
	}
	return int(math.Round(l.moving.Share(workload) * 100))
}

// Breakers returns the state of each workload's breaker on each side.
func (l *Link) Breakers() []topology.BreakerState {
	if l.moving != nil {
		return l.moving.Breakers()
	}
	return l.Sides[0].Breakers()
}

// Collectors are those of the servers, and of the migration.
func (l *Link) Collectors() (all []prometheus.Collector) {
	for _, s := range l.Sides {
		all = append(all, s.Metrics())
	}
	if l.moving != nil {
		all = append(all, l.moving.Metrics())
	}
	return all
}

// Close ends the clients, and the embedded server.
func (l *Link) Close() (err error) {
	if l.moving != nil {
		err = l.moving.Close()
	}
	for _, s := range l.Sides {
		err = errors.Join(err, s.Close())
	}
	if l.server != nil {
		err = errors.Join(err, l.server.Close())
	}
	return err
}
