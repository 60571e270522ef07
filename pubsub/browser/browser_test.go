// Package browser tries the browser client of package pubsub in a browser. `make
// browser` runs it; it needs a Chromium and a redis-server.
package browser

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/transload/transload/internal/redistest"
	"github.com/transload/transload/pubsub"
	"github.com/transload/transload/topology"
)

func TestMain(m *testing.M) {
	if os.Getenv("BROWSER") == "" {
		fmt.Println("left out: make browser runs it, or BROWSER=1")
		return
	}
	os.Exit(m.Run())
}

// chromium starts a browser and opens a page in it.
func chromium(t *testing.T, url string) context.Context {
	t.Helper()
	path := os.Getenv("CHROMIUM")
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path == "" {
			path, _ = exec.LookPath(name)
		}
	}
	if path == "" {
		t.Fatal("no Chromium: apt-get install chromium (Debian), or CHROMIUM=/path/to/it")
	}
	opts := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]), chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.WSURLReadTimeout(2*time.Minute))
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), opts...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx, chromedp.Navigate(url)); err != nil {
		t.Fatalf("chromium: %v", err)
	}
	return ctx
}

// A view is what the page has seen.
type view struct {
	States []string           `json:"states"`
	Chat   []any              `json:"chat"`
	Fleet  map[string]float64 `json:"fleet"`
	Age    float64            `json:"age"`
	Code   int                `json:"code"`
	Denied string             `json:"denied"`
	Map    string             `json:"map"` // as a user sees it
}

func (v view) String() string { b, _ := json.Marshal(v); return string(b) }

func look(ctx context.Context) (view, error) {
	return chromedp.Run(ctx, chromedp.Evaluate[view](`({...window.seen, map: document.getElementById("map").textContent})`))
}

// sees waits until the page shows something.
func sees(t *testing.T, ctx context.Context, what string, ok func(view) bool) view {
	t.Helper()
	var v view
	eventually(t, func() (err error) {
		if v, err = look(ctx); err != nil {
			return err
		}
		if !ok(v) {
			return fmt.Errorf("%s: the page shows %v", what, v)
		}
		return nil
	})
	return v
}

func eventually(t *testing.T, f func() error) {
	t.Helper()
	redistest.Eventually(t, time.Minute, f)
}

// TestBrowser has a page live through what happens to an app.
func TestBrowser(t *testing.T) {
	set := redistest.Sentinel(t, redistest.Options{})
	cfg, err := topology.FromEnv("REDIS", redistest.Getenv(set.Env("REDIS")))
	if err != nil {
		t.Fatal(err)
	}
	client, err := topology.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := free.Addr().String()
	_ = free.Close()
	one := start(t, client, addr)
	publish(t, one.hub, "pos:fleet", "truck-1", 0)
	ctx := chromium(t, "http://"+addr+"/")
	chat := func(v view) string { return strings.Trim(strings.ReplaceAll(fmt.Sprint(v.Chat), " ", ","), "[]") }

	sees(t, ctx, "the snapshot", func(v view) bool { return v.Map == "truck-1 0" && v.Denied == "forbidden" })
	for i := range 5 {
		publish(t, one.hub, "pos:fleet", "truck-1", i+1)
		publish(t, one.hub, "pos:fleet", "truck-2", 10*i)
	}
	publish(t, one.hub, "chat:load", "", "a")
	sees(t, ctx, "moves", func(v view) bool { return v.Map == "truck-1 5; truck-2 40" && chat(v) == "a" })
	if err := one.hub.Remove(t.Context(), "pos:fleet", "truck-2"); err != nil {
		t.Fatal(err)
	}
	sees(t, ctx, "an arrival", func(v view) bool { return v.Map == "truck-1 5" })
	t.Log("the page saw vehicles move")

	// The process is deployed anew; what is said meanwhile by another one is not missed.
	elsewhere := start(t, client, "127.0.0.1:0")
	one.stop()
	sees(t, ctx, "that the server has gone", func(v view) bool { return v.States[len(v.States)-1] == "connecting" })
	publish(t, elsewhere.hub, "chat:load", "", "b")
	publish(t, elsewhere.hub, "chat:load", "", "c")
	publish(t, elsewhere.hub, "pos:fleet", "truck-1", 6)
	two := start(t, client, addr)
	sees(t, ctx, "a restart", func(v view) bool { return v.Map == "truck-1 6" && chat(v) == "a,b,c" })
	publish(t, two.hub, "chat:load", "", "d")
	sees(t, ctx, "what is new", func(v view) bool { return chat(v) == "a,b,c,d" })
	t.Log("the page went on where it was after a restart of its server")

	if err := set.Primaries(t.Context())[0].Freeze(); err != nil {
		t.Fatal(err)
	}
	v := sees(t, ctx, "that it is old", func(v view) bool { return v.States[len(v.States)-1] == "degraded" })
	t.Logf("the page was told that it shows what is %.1f s old", v.Age/1000)
	publish(t, elsewhere.hub, "chat:load", "", "e")
	publish(t, elsewhere.hub, "pos:fleet", "truck-1", 7)
	v = sees(t, ctx, "the failover", func(v view) bool {
		return v.Map == "truck-1 7" && strings.HasSuffix(chat(v), "e") && v.States[len(v.States)-1] == "live"
	})
	if got := chat(v); got != "a,b,c,d,gap,e" { // that nothing was lost nobody can know
		t.Errorf("got %s; want a,b,c,d,gap,e", got)
	}
	t.Log("the page saw a failover through")

	if err := elsewhere.hub.Disconnect(t.Context(), pubsub.Peer{Session: "s1"}); err != nil {
		t.Fatal(err)
	}
	v = sees(t, ctx, "the logout", func(v view) bool { return v.States[len(v.States)-1] == "closed" })
	if v.Code != 1008 {
		t.Errorf("got code %d; want 1008", v.Code)
	}
}
