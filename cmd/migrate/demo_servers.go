package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/transload/transload/internal/redisproc"
	"github.com/transload/transload/topology"
	"github.com/transload/transload/topology/embedded"
)

// demoModes are what the target of a demonstration may be.
var demoModes = []string{"embedded", "sentinel", "cluster"}

// demoPatience is the members' and the coordinator's time-out for one reply. It is
// far above the default: whether a busy laptop is slow is not what is shown.
const demoPatience = 5 * time.Second

// A stage is what a demonstration plays on: two Redis, and how the app finds
// them.
type stage struct {
	mode           string
	source, target topology.Config
	env            map[string]string // of members that are processes
	described      [2]string
	closers        []io.Closer
}

// setStage starts the servers. The caller closes the stage.
func setStage(ctx context.Context, mode string) (*stage, error) {
	s := &stage{mode: mode, env: map[string]string{}}
	var err error
	if mode == "embedded" {
		err = s.embedded()
	} else {
		err = s.real(ctx, mode)
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *stage) embedded() error {
	for _, cfg := range []*topology.Config{&s.source, &s.target} {
		srv, err := embedded.Start(nil)
		if err != nil {
			return err
		}
		s.closers = append(s.closers, srv)
		*cfg = srv.Config()
		cfg.ReadTimeout = demoPatience
	}
	s.described = [2]string{"a Redis inside this process", "another one"}
	return nil
}

// real starts processes: a standalone source, and the target in its mode.
func (s *stage) real(ctx context.Context, mode string) error {
	source, err := redisproc.Standalone(ctx, redisproc.Options{})
	if err != nil {
		return err
	}
	s.closers = append(s.closers, source)
	start, what := redisproc.Sentinel, "a primary with two replicas, watched by three Sentinels"
	if mode == "cluster" {
		start, what = redisproc.Cluster, "a Cluster of three primaries, with a replica each"
	}
	target, err := start(ctx, redisproc.Options{})
	if err != nil {
		return err
	}
	s.closers = append(s.closers, target)
	s.described = [2]string{"one redis-server", what}
	for _, env := range []map[string]string{source.Env("REDIS"), target.Env("REDIS_TARGET")} {
		for k, v := range env {
			s.env[k] = v
		}
	}
	s.env["REDIS_READ_TIMEOUT"], s.env["REDIS_TARGET_READ_TIMEOUT"] = demoPatience.String(), demoPatience.String()
	getenv := func(name string) string { return s.env[name] }
	if s.source, err = topology.FromEnv("REDIS", getenv); err != nil {
		return err
	}
	s.target, err = topology.FromEnv("REDIS_TARGET", getenv)
	return err
}

// retire ends the source: the app must not need it any more.
func (s *stage) retire() error {
	source := s.closers[0]
	s.closers = s.closers[1:]
	if err := source.Close(); err != nil {
		return fmt.Errorf("demo: end the source: %w", err)
	}
	return nil
}

// Close ends the servers.
func (s *stage) Close() (err error) {
	for _, c := range s.closers {
		err = errors.Join(err, c.Close())
	}
	s.closers = nil
	return err
}
