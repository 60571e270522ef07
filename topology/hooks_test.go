package topology

import (
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/redistest"
)

// TestNoCommandOfAnUnsentPipelineLooksDone sends pipelines and transactions over
// connections whose handshake the server refuses: each command has the error.
func TestNoCommandOfAnUnsentPipelineLooksDone(t *testing.T) {
	t.Parallel()
	for name, env := range map[string]map[string]string{
		"standalone": redistest.Standalone(t, redistest.Options{Password: "right"}).Env("REDIS"),
		"sentinel":   redistest.Sentinel(t, redistest.Options{Password: "right"}).Env("REDIS"),
		"cluster":    redistest.Cluster(t, redistest.Options{Password: "right"}).Env("REDIS"),
	} {
		t.Run(name, func(t *testing.T) {
			env["REDIS_PASSWORD"] = "wrong"
			cfg, err := FromEnv("REDIS", redistest.Getenv(env))
			if err != nil {
				t.Fatal(err)
			}
			c, err := Open(cfg)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			for what, p := range map[string]redis.Pipeliner{"pipeline": c.Pipeline(), "transaction": c.TxPipeline()} {
				cmds := []redis.Cmder{p.Set(t.Context(), "{k}1", 1, 0), p.Incr(t.Context(), "{k}2")}
				_, err := p.Exec(t.Context())
				for _, cmd := range cmds {
					if err == nil || cmd.Err() == nil {
						t.Errorf("%s: Exec got %v, %s got %v; want the refusal in both", what, err, cmd.Name(), cmd.Err())
					}
				}
			}
		})
	}
}
