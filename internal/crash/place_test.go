package crash

import (
	"context"
	"testing"

	"github.com/transload/transload/internal/protocol"
	"github.com/transload/transload/internal/redisproc"
	"github.com/transload/transload/internal/redistest"
	"github.com/transload/transload/topology"
)

// A place is the Redis of one side, in some mode.
type place struct {
	set     *redisproc.Set      // nil for a standalone server
	servers []*redisproc.Server // data servers, then Sentinels
	env     func(prefix string) map[string]string
}

func standalone(t *testing.T, o redistest.Options) *place {
	t.Helper()
	s := redistest.Standalone(t, o)
	return &place{servers: []*redisproc.Server{s}, env: s.Env}
}

func sentinel(t *testing.T, o redistest.Options) *place {
	t.Helper()
	s := redistest.Sentinel(t, o)
	return &place{set: s, servers: s.Servers(), env: s.Env}
}

func cluster(t *testing.T, o redistest.Options) *place {
	t.Helper()
	s := redistest.Cluster(t, o)
	return &place{set: s, servers: s.Servers(), env: s.Env}
}

// modes are what a target may be. The short form takes the first.
var modes = []struct {
	name  string
	start func(*testing.T, redistest.Options) *place
}{{"standalone", standalone}, {"sentinel", sentinel}, {"cluster", cluster}}

// primary returns the server that answers for everything, or one of a cluster's.
func (p *place) primary(ctx context.Context) *redisproc.Server {
	if p.set == nil {
		return p.servers[0]
	}
	if list := p.set.Primaries(ctx); len(list) > 0 {
		return list[0]
	}
	return nil
}

// prefixes of the variables that lead to each side.
var prefixes = map[protocol.Side]string{protocol.Source: "REDIS", protocol.Target: "REDIS_TARGET"}

func config(t *testing.T, env map[string]string, s protocol.Side) topology.Config {
	t.Helper()
	cfg, err := topology.FromEnv(prefixes[s], redistest.Getenv(env))
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// open returns a plain client, which ends with the test.
func open(t *testing.T, cfg topology.Config) *topology.Client {
	t.Helper()
	c, err := topology.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}
