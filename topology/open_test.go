package topology_test

import (
	"errors"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/transload/transload/topology"
)

// TestOpenDoesNotDial opens clients to a listener that counts, and to an address
// that swallows what is sent to it. TestMain looks for what they leave behind.
func TestOpenDoesNotDial(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var dialled atomic.Int32
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			dialled.Add(1)
			conn.Close()
		}
	}()
	for _, addr := range []string{l.Addr().String(), "192.0.2.1:6379", "no-such-host.invalid:6379"} {
		for _, mode := range []topology.Mode{topology.Standalone, topology.Sentinel, topology.Cluster} {
			start := time.Now()
			c, err := topology.Open(topology.Config{Mode: mode, Addrs: []string{addr}, SentinelMaster: "m"})
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Close(); err != nil {
				t.Error(err)
			}
			if d := time.Since(start); d > time.Second {
				t.Errorf("%s %s: Open and Close took %v", mode, addr, d)
			}
		}
	}
	l.Close()
	<-done
	if n := dialled.Load(); n != 0 {
		t.Errorf("Open dialled %d times", n)
	}
}

func TestCloseAfterFailedDials(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // a port that nobody listens on any more
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	for _, mode := range []topology.Mode{topology.Standalone, topology.Sentinel, topology.Cluster} {
		c, err := topology.Open(topology.Config{Mode: mode, Addrs: []string{l.Addr().String()}, SentinelMaster: "m", PoolSize: 2,
			DialTimeout: 300 * time.Millisecond}, topology.WithoutRetries())
		if err != nil {
			t.Fatal(err)
		}
		for range 4 {
			if err := c.Ping(t.Context()).Err(); err == nil {
				t.Errorf("%s: somebody answered", mode)
			}
		}
		if err := c.CheckMode(t.Context()); err == nil || !strings.Contains(err.Error(), l.Addr().String()) {
			t.Errorf("%s: check mode: got %v", mode, err)
		}
		if _, err := c.Nodes(t.Context()); err == nil {
			t.Errorf("%s: nodes of nobody", mode)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	for name, tt := range map[string]struct {
		cfg  topology.Config
		want string
	}{
		"no mode":          {topology.Config{Addrs: []string{"h:1"}}, "Mode"},
		"unknown mode":     {topology.Config{Mode: "ring", Addrs: []string{"h:1"}}, "Mode"},
		"no address":       {topology.Config{Mode: topology.Cluster}, "Addrs"},
		"address in short": {topology.Config{Mode: topology.Cluster, Addrs: []string{"h"}}, "Addrs"},
		"no master":        {topology.Config{Mode: topology.Sentinel, Addrs: []string{"h:1"}}, "SentinelMaster"},
		"time-out":         {topology.Config{Mode: topology.Sentinel, Addrs: []string{"h:1"}, SentinelMaster: "m", DialTimeout: time.Microsecond}, "DialTimeout"},
	} {
		_, err := topology.Open(tt.cfg)
		fe, ok := errors.AsType[*topology.FieldError](err)
		if !ok || fe.Name != tt.want {
			t.Errorf("%s: got %v; want a fault of %s", name, err, tt.want)
		}
	}
	good := topology.Config{Mode: topology.Standalone, Addrs: []string{"h:1"}}
	if _, err := topology.Open(good, topology.WithName("a b")); !errors.Is(err, topology.ErrOption) {
		t.Errorf("a name with a space: got %v; want ErrOption", err)
	}
}

func TestDefaults(t *testing.T) {
	for name, tt := range map[string]struct {
		cfg        topology.Config
		dial, read time.Duration
	}{
		"standalone":               {topology.Config{Mode: topology.Standalone}, 5 * time.Second, 500 * time.Millisecond},
		"sentinel":                 {topology.Config{Mode: topology.Sentinel}, 5 * time.Second, 500 * time.Millisecond},
		"sentinel that reads long": {topology.Config{Mode: topology.Sentinel, ReadTimeout: 2 * time.Second}, 5 * time.Second, 2 * time.Second},
		"cluster":                  {topology.Config{Mode: topology.Cluster, DialTimeout: time.Second}, time.Second, 500 * time.Millisecond},
	} {
		tt.cfg.Addrs, tt.cfg.SentinelMaster = []string{"127.0.0.1:1"}, "m"
		c, err := topology.Open(tt.cfg)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		defer c.Close()
		if got := c.Config(); got.DialTimeout != tt.dial || got.ReadTimeout != tt.read || got.PoolSize == 0 {
			t.Errorf("%s: got %v", name, got)
		}
	}
}

func TestLibraryLogGoesToTheLogger(t *testing.T) {
	var out strings.Builder
	log := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	c, err := topology.Open(topology.Config{Mode: topology.Standalone, Addrs: []string{"127.0.0.1:1"}}, topology.WithLogger(log))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.Ping(t.Context()).Err()
	if got := out.String(); !strings.Contains(got, `level=DEBUG msg="go-redis says"`) || !strings.Contains(got, "failed to dial") {
		t.Errorf("got log %q", got)
	}
}
