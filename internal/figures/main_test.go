package figures

import (
	"os"
	"testing"

	"github.com/transload/transload/internal/redistest"
	"github.com/transload/transload/topology"
)

func TestMain(m *testing.M) { os.Exit(redistest.Main(m)) }

// config returns the settings of a server or a set.
func config(b *testing.B, s interface {
	Env(string) map[string]string
}) topology.Config {
	b.Helper()
	cfg, err := topology.FromEnv("REDIS", redistest.Getenv(s.Env("REDIS")))
	if err != nil {
		b.Fatal(err)
	}
	return cfg
}

// open returns a plain client, which ends with the benchmark.
func open(b *testing.B, cfg topology.Config) *topology.Client {
	b.Helper()
	c, err := topology.Open(cfg)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = c.Close() })
	return c
}
