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

	"github.com/alicebob/miniredis/v2"

	"github.com/transload/transload/topology"
)

// A Server is an embedded Redis. It is safe for concurrent use.
type Server struct {
	mini     *miniredis.Miniredis
	addr     string
	password topology.Secret
	once     sync.Once
}

// Start starts a server on a free port of the loopback interface, and logs one
// warning. A nil logger drops it. Keys expire by the wall clock. The server asks
// for a password that Config knows, since any process of the machine can reach
// the port. The caller closes the server, after the clients.
func Start(logger *slog.Logger) (*Server, error) {
	mini := miniredis.NewMiniRedis()
	mini.ClockTTL(true)
	password := rand.Text()
	mini.RequireAuth(password)
	if err := mini.StartAddr("127.0.0.1:0"); err != nil {
		return nil, fmt.Errorf("embedded: start: %w", err)
	}
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	s := &Server{mini: mini, addr: mini.Addr(), password: topology.Secret(password)}
	logger.Warn("redis is disabled: an embedded one is used, and nothing in it is shared with other processes or kept",
		slog.String("addr", s.addr))
	return s, nil
}

// Config leads topology.Open to the server.
func (s *Server) Config() topology.Config {
	return topology.Config{Mode: topology.Standalone, Addrs: []string{s.addr}, Password: s.password}
}

// Addr returns the server's host:port.
func (s *Server) Addr() string { return s.addr }

// Close ends the server and all connections to it. It may be called twice.
func (s *Server) Close() error {
	s.once.Do(s.mini.Close)
	return nil
}
