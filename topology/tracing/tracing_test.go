package tracing_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/redis/go-redis/extra/redisotel/v9"
	"github.com/redis/go-redis/v9"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/transload/transload/internal/redistest"
	"github.com/transload/transload/topology"
	"github.com/transload/transload/topology/tracing"
)

// spans runs commands in every mode and returns the spans that they made.
func spans(t *testing.T, env map[string]string, opts ...redisotel.TracingOption) tracetest.SpanStubs {
	t.Helper()
	kept := tracetest.NewInMemoryExporter()
	provider := trace.NewTracerProvider(trace.WithSyncer(kept))
	cfg, err := topology.FromEnv("REDIS", redistest.Getenv(env))
	if err != nil {
		t.Fatal(err)
	}
	c, err := topology.Open(cfg, tracing.With(append(opts, redisotel.WithTracerProvider(provider))...))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for i := range 10 {
		if err := c.Set(t.Context(), fmt.Sprint("sess:", i), "v4lue", 0).Err(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.TxPipelined(t.Context(), func(p redis.Pipeliner) error { p.Get(t.Context(), "sess:1"); return nil }); err != nil {
		t.Fatal(err)
	}
	return kept.GetSpans()
}

func TestSpans(t *testing.T) {
	for name, start := range map[string]func(t *testing.T, o redistest.Options) map[string]string{
		"standalone": func(t *testing.T, o redistest.Options) map[string]string {
			o.Username = "app"
			return redistest.Standalone(t, o).Env("REDIS")
		},
		"sentinel": func(t *testing.T, o redistest.Options) map[string]string {
			o.SentinelPassword = "s3cr3t-s"
			return redistest.Sentinel(t, o).Env("REDIS")
		},
		"cluster": func(t *testing.T, o redistest.Options) map[string]string { return redistest.Cluster(t, o).Env("REDIS") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env := start(t, redistest.Options{Password: "s3cr3t-d"})
			for _, full := range []bool{false, true} {
				var names []string
				text := ""
				for _, s := range spans(t, env, redisotel.WithDBStatement(full)) {
					names = append(names, s.Name)
					text += fmt.Sprintf("%s %v %v %v\n", s.Name, s.Attributes, s.Events, s.Status)
				}
				if n := len(slices.DeleteFunc(slices.Clone(names), func(s string) bool { return s != "set" })); n < 10 {
					t.Errorf("got %d spans of SET in %q; want ten", n, names)
				}
				for _, want := range []string{"redis.dial", "redis.pipeline multi get exec"} {
					if !slices.Contains(names, want) {
						t.Errorf("got %q; want %s among them", names, want)
					}
				}
				if slices.Contains(names, "role") || slices.Contains(names, "info") {
					t.Errorf("got %q; want none of the client's own checks", names)
				}
				if strings.Contains(text, "s3cr3t") || strings.Contains(text, "hello") {
					t.Errorf("a handshake shows: %s", text)
				}
				if strings.Contains(text, "v4lue") != full {
					t.Errorf("values in spans: got %v; want %v", !full, full)
				}
			}
		})
	}
}
