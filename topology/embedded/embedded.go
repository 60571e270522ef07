// Package embedded runs a Redis inside the process, for where none is to be had:
// development, demonstrations, and an app whose Redis is disabled.
//
// It is miniredis behind a loopback listener. Nothing is shared between
// processes and nothing outlives this one; Start says so in one warning. What
// miniredis lacks is told in errors of commands: among it DUMP of anything but
// strings, WAIT, ROLE, CLIENT LIST and TRACKING, functions, and eviction.
package embedded

import (
	"crypto/rand"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/transload/transload/topology"
)

// clockStep is how often the server's clock is set. Left to itself, miniredis ages
// and sorts all keys before each command that touches one: with 1,500 keys, half
// of what a busy server did was sorting. Between two steps it does nothing of
// the kind, and no expiry is off: TIME stands still as well.
const clockStep = 5 * time.Millisecond

// A Server is an embedded Redis. It is safe for concurrent use.
type Server struct {
	mini     *miniredis.Miniredis
	addr     string
	password topology.Secret
	stop     chan struct{}
	clock    sync.WaitGroup
	once     sync.Once
}

// Start starts a server on a free port of the loopback interface, and logs one
// warning. A nil logger drops it. Keys expire by the wall clock. The server asks
// for a password that Config knows, since any process of the machine can reach
// the port. The caller closes the server, after the clients.
func Start(logger *slog.Logger) (*Server, error) {
	mini := miniredis.NewMiniRedis()
	mini.SetTime(now())
	mini.ClockTTL(true)
	password := rand.Text()
	mini.RequireAuth(password)
	if err := mini.StartAddr("127.0.0.1:0"); err != nil {
		return nil, fmt.Errorf("embedded: start: %w", err)
	}
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	s := &Server{mini: mini, addr: mini.Addr(), password: topology.Secret(password), stop: make(chan struct{})}
	s.clock.Go(s.tick)
	logger.Warn("redis is disabled: an embedded one is used, and nothing in it is shared with other processes or kept",
		slog.String("addr", s.addr))
	return s, nil
}

// now returns the time in whole milliseconds: miniredis adds the whole ones of
// the time and of what a key has to live, and would tell another expiry from
// moment to moment.
func now() time.Time { return time.Now().Truncate(time.Millisecond) }

// tick sets the clock until the server is closed.
func (s *Server) tick() {
	t := time.NewTicker(clockStep)
	defer t.Stop()
	for {
		select {
		case <-s.stop:
			return
		case <-t.C:
			s.mini.SetTime(now())
		}
	}
}

// Config leads topology.Open to the server.
func (s *Server) Config() topology.Config {
	return topology.Config{Mode: topology.Standalone, Addrs: []string{s.addr}, Password: s.password}
}

// Addr returns the server's host:port.
func (s *Server) Addr() string { return s.addr }

// Close ends the server and all connections to it. It may be called twice.
func (s *Server) Close() error {
	s.once.Do(func() {
		close(s.stop)
		s.clock.Wait()
		s.mini.Close()
	})
	return nil
}
