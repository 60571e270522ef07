package contract

import (
	"os"
	"testing"

	"github.com/transload/transload/internal/redistest"
	"github.com/transload/transload/topology"
)

// targets are what a standalone server is moved to. They are not the shared ones: a
// target is its migration's alone.
var targets = map[string]func(*testing.T) topology.Config{
	"sentinel": func(t *testing.T) topology.Config { return Config(t, redistest.Sentinel(t, redistest.Options{})) },
	"cluster":  func(t *testing.T) topology.Config { return Config(t, redistest.Cluster(t, redistest.Options{})) },
}

// left out, unless LONG is set: a Cluster takes long to start, and the member is the
// same.
func leftOut(mode string) bool { return mode == "cluster" && os.Getenv("LONG") == "" }

// Config leads to a server or a set of them.
func Config(t *testing.T, s interface {
	Env(string) map[string]string
}) topology.Config {
	t.Helper()
	cfg, err := topology.FromEnv("REDIS", redistest.Getenv(s.Env("REDIS")))
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// through runs a suite in each phase of a migration.
func through(t *testing.T, target func(*testing.T) topology.Config, suite Suite) {
	m := Begin(t, 1, Config(t, redistest.Standalone(t, redistest.Options{})), target(t))
	for _, step := range []struct {
		phase string
		enter func(*testing.T)
	}{
		{"off", func(*testing.T) {}},
		{"shadow", m.Shadow},
		{"cutover", func(t *testing.T) { m.Cutover(t, 50) }},
		{"soak", func(t *testing.T) { m.Cutover(t, 100) }},
		{"done", m.Finish},
	} {
		step.enter(t)
		m.reaches(t, step.phase)
		if !t.Run(step.phase, func(t *testing.T) { suite(t, m.Members[0]) }) {
			return // what fails after that says nothing new
		}
	}
}
