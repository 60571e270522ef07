package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/transload/transload/internal/redisproc"
	"github.com/transload/transload/internal/redistest"
)

// TestRefusalsOfRealServers gives real servers in ways that an embedded one cannot
// be given: under another name, as a replica, as a node of a cluster.
func TestRefusalsOfRealServers(t *testing.T) {
	if testing.Short() {
		t.Skip("needs a real server")
	}
	t.Parallel()
	primary, replica := redistest.Standalone(t, redistest.Options{}), redistest.Standalone(t, redistest.Options{})
	node := redistest.Standalone(t, redistest.Options{Args: []string{"--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf"}})
	host, port, err := net.SplitHostPort(primary.Addr())
	if err != nil {
		t.Fatal(err)
	}
	redistest.Do(t, replica, "REPLICAOF", host, port)
	redistest.Do(t, primary, "SET", "sess:{1}", "mine")

	url := func(addr string) map[string]string { return map[string]string{"REDIS_TARGET_URL": "redis://" + addr} }
	for name, tt := range map[string]struct {
		target map[string]string
		text   string
	}{
		"the same by another name":   {url("localhost:" + port), "same"},
		"the same by another number": {url(primary.Addr() + "/3"), "same"},
		"the same by its socket":     {map[string]string{"REDIS_TARGET_URL": "unix://" + primary.Socket()}, "same"},
		"its replica":                {url(replica.Addr()), "is a replica of " + primary.Addr()},
		"a node of a cluster":        {url(node.Addr()), "is a node of a cluster"},
		"no sentinel":                {map[string]string{"REDIS_TARGET_SENTINELS": node.Addr()}, "sentinel was told"},
	} {
		for _, verb := range []string{"check", "shadow"} {
			r := command(t, redistest.Merge(primary.Env("REDIS"), tt.target), verb, "--no-members")
			if r.code != codeRefused {
				t.Errorf("%s, %s: got code %d, %s%s; want %d", name, verb, r.code, r.out, r.err, codeRefused)
			}
			r.wantError(t, tt.text)
		}
	}
	for server, want := range map[*redisproc.Server]string{primary: "1", node: "0"} { // nothing was left behind
		if got := fmt.Sprint(redistest.Do(t, server, "DBSIZE")); got != want {
			t.Errorf("%s: got %s keys, %v; want %s", server.Addr(), got, redistest.Do(t, server, "KEYS", "*"), want)
		}
	}
}

// TestTwoAtOnce starts shadow in two terminals at the same moment: one leads, and
// the other is refused.
func TestTwoAtOnce(t *testing.T) {
	t.Parallel()
	p := embeddedPair(t)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ends := make(chan result, 2)
	for range 2 {
		go func() { ends <- commandWith(ctx, p.env, "", "shadow", "--no-members") }()
	}
	refused := <-ends // the one that leads goes on
	refused.wantCode(t, codeRefused)
	refused.wantError(t, "another one runs")
	redistest.Eventually(t, time.Minute, func() error {
		st, err := p.status(t)
		if err == nil && (st.Coordinator == nil || !st.Sync.Done) {
			err = errors.New(statusLine(st))
		}
		return err
	})
	stop()
	leader := <-ends
	leader.wantCode(t, codeDone)
}
