package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/transload/transload/examples/freight/app"
	"github.com/transload/transload/examples/freight/link"
	"github.com/transload/transload/examples/freight/store"
	"github.com/transload/transload/examples/freight/web"
)

// Bounds of the end, requests and sockets first, then jobs; and of a client that says
// nothing.
const (
	drainWithin = 5 * time.Second
	headWithin  = 10 * time.Second // a request's head
	readWithin  = time.Minute      // a whole request, and its answer; sockets have bounds of their own
	idleFor     = 2 * time.Minute
)

// serve runs the app until ctx is done, and lets then end what is under way.
func serve(ctx context.Context, getenv func(string) string, errOut io.Writer) (err error) {
	set, err := read(getenv)
	if err != nil {
		return err
	}
	closing := func(f func() error) { err = errors.Join(err, f()) }
	defer closing(set.remove)
	log := slog.New(slog.NewTextHandler(errOut, &slog.HandlerOptions{Level: set.level}))
	db, err := store.Open(ctx, set.database)
	if err != nil {
		return err
	}
	defer closing(db.Close)
	if set.demo > 0 {
		if err := db.Demo(ctx, set.demo); err != nil {
			return fmt.Errorf("demo users: %w", err)
		}
	}
	redis, err := link.Open(ctx, getenv, log)
	if err != nil {
		return err
	}
	defer closing(redis.Close)
	a, err := app.New(app.Options{Store: db, Link: redis, Keys: set.keys, Logger: log})
	if err != nil {
		return err
	}
	defer closing(a.Close)
	s, err := web.New(a, set.proxies, log)
	if err != nil {
		return err
	}
	return live(ctx, set, a, s, errOut)
}

// live listens, works and, at the end, drains: sockets are told to go elsewhere and
// requests are answered while the app still works behind them.
func live(ctx context.Context, set settings, a *app.App, s *web.Server, errOut io.Writer) error {
	public, err := s.Public()
	if err != nil {
		return err
	}
	servers, err := listen(ctx, door{"FREIGHT_ADDR", set.addr, public}, door{"FREIGHT_ADMIN", set.admin, s.Engineers()})
	if err != nil {
		return err
	}
	fmt.Fprintf(errOut, "freight: http://%s for users (%s), http://%s for engineers\n", shown(set.addr), redisOf(a), shown(set.admin))
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- a.Run(work) }()
	select {
	case <-ctx.Done():
	case err = <-ended: // it says what is wrong with Redis
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainWithin)
	defer cancel()
	err = errors.Join(err, s.Sockets().Drain(drain))
	for _, srv := range servers {
		err = errors.Join(err, srv.Shutdown(drain))
	}
	if stop(); ctx.Err() != nil {
		err = errors.Join(err, <-ended)
	}
	return err
}

// A door is an address that a setting names, and what is behind it.
type door struct {
	setting, addr string
	handler       http.Handler
}

// listen serves at every door, or at none.
func listen(ctx context.Context, doors ...door) (servers []*http.Server, err error) {
	var wg sync.WaitGroup // of those that could be begun, if one could not
	defer func() {
		if err != nil {
			for _, srv := range servers {
				err = errors.Join(err, srv.Close())
			}
			wg.Wait()
		}
	}()
	for _, d := range doors {
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", d.addr)
		if err != nil {
			return servers, fmt.Errorf("%s: %w", d.setting, err)
		}
		srv := &http.Server{Handler: d.handler, ReadHeaderTimeout: headWithin, ReadTimeout: readWithin, IdleTimeout: idleFor}
		servers = append(servers, srv)
		wg.Go(func() { _ = srv.Serve(l) }) // ends with Shutdown
	}
	return servers, nil
}

// shown is an address as a browser takes it.
func shown(addr string) string {
	if strings.HasPrefix(addr, ":") || strings.HasPrefix(addr, "127.0.0.1:") {
		return "localhost:" + addr[strings.LastIndex(addr, ":")+1:]
	}
	return addr
}

// redisOf says in a word which Redis is used.
func redisOf(a *app.App) string {
	switch {
	case a.Link.Embedded:
		return "a Redis inside the process: nothing is shared or kept"
	case a.Link.Migrating():
		return "ready to migrate"
	}
	return string(a.Link.Sides[0].Mode())
}
