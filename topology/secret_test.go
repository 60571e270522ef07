package topology_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/transload/transload/topology"
)

// sentinelled is a Config with a secret in every field that may hold one.
func sentinelled(mode topology.Mode) topology.Config {
	c := topology.Config{Mode: mode, Addrs: []string{"127.0.0.1:1"}, Username: "app", Password: "s3cr3t-1"}
	switch mode {
	case topology.Sentinel:
		c.SentinelMaster, c.SentinelUsername, c.SentinelPassword = "m", "su", "s3cr3t-2"
	case topology.Standalone:
		c.Reader = topology.Reader{Addr: "127.0.0.1:2", Username: "ro", Password: "s3cr3t-3"}
	}
	return c
}

func TestSecretsDoNotShow(t *testing.T) {
	t.Parallel()
	for _, mode := range []topology.Mode{topology.Standalone, topology.Sentinel, topology.Cluster} {
		c := sentinelled(mode)
		client, err := topology.Open(c)
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		var out bytes.Buffer
		nested := struct{ Config topology.Config }{c}
		for _, v := range []any{c, &c, client, nested, c.Password, c.Reader, client.Config()} {
			for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
				fmt.Fprintf(&out, verb+"\n", v)
			}
		}
		for _, h := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
			slog.New(h).Info("opened", "config", c, "nested", nested, "password", c.Password, "client", client, "pointer", &c)
		}
		if err := json.NewEncoder(&out).Encode(nested); err != nil {
			t.Error(err)
		}
		_, err = client.Ping(t.Context()).Result() // nobody listens
		fmt.Fprintf(&out, "%v %+v\n", err, err)
		fmt.Fprintln(&out, client.CheckMode(t.Context()))
		for line := range strings.Lines(out.String()) {
			if strings.Contains(line, "s3cr3t") || strings.Contains(line, fmt.Sprintf("%x", "s3cr3t")) {
				t.Errorf("%s: a secret shows: %s", mode, line)
			}
		}
		if !strings.Contains(out.String(), "127.0.0.1:1") || !strings.Contains(out.String(), "***") {
			t.Errorf("%s: neither address nor stars: %s", mode, out.String())
		}
	}
}

func TestStringOfADisabledConfig(t *testing.T) {
	var c topology.Config
	if got, want := c.String(), "redis disabled"; got != want || c.LogValue().String() != want {
		t.Errorf("got %q and %q; want %q", got, c.LogValue(), want)
	}
}

func TestURLErrorsHideTheURL(t *testing.T) {
	for _, url := range []string{
		"redis://:s3cr3t@h:port", "redis://:s3cr3t@h:1:2", "redis://:s3cr3t\x7f@h", "redis://:s3cr3t%zz@h", "redis://s3cr3t",
		"://s3cr3t", "http://u:s3cr3t@h", "redis://u:s3cr3t/x@h", "redis://u:s3cr3t?x@h", "redis://u:s3cr3t#x@h",
		"redis://u:1?s3cr3t=1", "redis://u:1?db=s3cr3t", "redis://h/s3cr3t", "redis://h?x=s3cr3t%zz", "redis:s3cr3t@h",
		"redis://s3cr3t@h", "redis://[s3cr3t]:6379", "redis://s3cr3t~:1", "redis://h:0?s3cr3t;", "unix://s3cr3t/run", "s3cr3t",
	} {
		for _, name := range []string{"URL", "READER_URL", "HOST", "SENTINELS", "CLUSTER_NODES"} {
			env := []string{"ENABLED=true", name + "=" + url}
			if name == "READER_URL" { // without it, it is not looked at
				env = append(env, "READ_FROM=replica")
			}
			c, err := topology.FromEnv("REDIS", vars(env...))
			if err != nil && strings.Contains(err.Error(), "s3cr3t") {
				t.Errorf("%s=%q: the error holds it: %v", name, url, err)
			}
			if err == nil && url != "redis://s3cr3t" && url != "s3cr3t" { // these are hosts
				t.Errorf("%s=%q: no fault; got %v", name, url, c)
			}
		}
	}
}
