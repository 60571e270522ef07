package topology_test

import (
	"strings"
	"testing"

	"github.com/transload/transload/internal/redistest"
	"github.com/transload/transload/topology"
)

// TestCheckModeNamesTLS: with TLS at one end alone the error names the server and
// the setting.
func TestCheckModeNamesTLS(t *testing.T) {
	t.Parallel()
	plain, secure := redistest.Standalone(t, redistest.Options{}), redistest.Standalone(t, redistest.Options{TLS: true})
	for name, tt := range map[string]struct {
		addr string
		tls  bool
		want string
	}{
		"TLS told to a plain server": {plain.Addr(), true, "perhaps it speaks no TLS, which REDIS_TLS or a rediss:// URL asks for"},
		"plain told to a TLS server": {secure.Addr(), false, "perhaps it wants TLS: set REDIS_TLS=true, or write rediss:// in its URL"},
	} {
		t.Run(name, func(t *testing.T) {
			scheme := map[bool]string{false: "redis://", true: "rediss://"}[tt.tls]
			cfg, err := topology.FromEnv("REDIS", vars("URL="+scheme+tt.addr, "DIAL_TIMEOUT=1s"))
			if err != nil {
				t.Fatal(err)
			}
			c, err := topology.Open(cfg, topology.WithoutRetries())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { c.Close() })
			err = c.CheckMode(t.Context())
			if err == nil || !strings.Contains(err.Error(), tt.addr) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v; want %s and %q", err, tt.addr, tt.want)
			}
		})
	}
}
