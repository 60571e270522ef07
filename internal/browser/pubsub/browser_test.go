// Package pubsub_test tries the browser client of package pubsub in a browser. `make
// browser` runs it; it needs a Chromium and a redis-server.
package pubsub_test

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/transload/transload/internal/browser/chromium"
	"github.com/transload/transload/internal/redistest"
	"github.com/transload/transload/pubsub"
	"github.com/transload/transload/topology"
)

func TestMain(m *testing.M) {
	os.Exit(chromium.Main(m))
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

// sees waits until the page shows something.
func sees(t *testing.T, b chromium.Tab, what string, ok func(view) bool) (v view) {
	t.Helper()
	eventually(t, func() error {
		v = chromium.Ask[view](b, `({...window.seen, map: document.getElementById("map").textContent})`)
		if !ok(v) {
			return fmt.Errorf("%s: the page shows %v", what, v)
		}
		return nil
	})
	return v
}

func eventually(t *testing.T, f func() error) {
	t.Helper()
	redistest.Eventually(t, chromium.Within, f)
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
	b := chromium.Open(t)
	b.Do("open the page", chromedp.Navigate("http://"+addr+"/"))
	chat := func(v view) string { return strings.Trim(strings.ReplaceAll(fmt.Sprint(v.Chat), " ", ","), "[]") }

	sees(t, b, "the snapshot", func(v view) bool { return v.Map == "truck-1 0" && v.Denied == "forbidden" })
	for i := range 5 {
		publish(t, one.hub, "pos:fleet", "truck-1", i+1)
		publish(t, one.hub, "pos:fleet", "truck-2", 10*i)
	}
	publish(t, one.hub, "chat:load", "", "a")
	sees(t, b, "moves", func(v view) bool { return v.Map == "truck-1 5; truck-2 40" && chat(v) == "a" })
	if err := one.hub.Remove(t.Context(), "pos:fleet", "truck-2"); err != nil {
		t.Fatal(err)
	}
	sees(t, b, "an arrival", func(v view) bool { return v.Map == "truck-1 5" })
	t.Log("the page saw vehicles move")

	// The process is deployed anew; what is said meanwhile by another one is not missed.
	elsewhere := start(t, client, "127.0.0.1:0")
	one.stop()
	sees(t, b, "that the server has gone", func(v view) bool { return v.States[len(v.States)-1] == "connecting" })
	publish(t, elsewhere.hub, "chat:load", "", "b")
	publish(t, elsewhere.hub, "chat:load", "", "c")
	publish(t, elsewhere.hub, "pos:fleet", "truck-1", 6)
	two := start(t, client, addr)
	sees(t, b, "a restart", func(v view) bool { return v.Map == "truck-1 6" && chat(v) == "a,b,c" })
	publish(t, two.hub, "chat:load", "", "d")
	sees(t, b, "what is new", func(v view) bool { return chat(v) == "a,b,c,d" })
	t.Log("the page went on where it was after a restart of its server")

	if err := set.Primaries(t.Context())[0].Freeze(); err != nil {
		t.Fatal(err)
	}
	v := sees(t, b, "that it is old", func(v view) bool { return v.States[len(v.States)-1] == "degraded" })
	t.Logf("the page was told that it shows what is %.1f s old", v.Age/1000)
	publish(t, elsewhere.hub, "chat:load", "", "e")
	publish(t, elsewhere.hub, "pos:fleet", "truck-1", 7)
	v = sees(t, b, "the failover", func(v view) bool {
		return v.Map == "truck-1 7" && strings.HasSuffix(chat(v), "e") && v.States[len(v.States)-1] == "live"
	})
	if got := chat(v); got != "a,b,c,d,gap,e" { // that nothing was lost nobody can know
		t.Errorf("got %s; want a,b,c,d,gap,e", got)
	}
	t.Log("the page saw a failover through")

	if err := elsewhere.hub.Disconnect(t.Context(), pubsub.Peer{Session: "s1"}); err != nil {
		t.Fatal(err)
	}
	v = sees(t, b, "the logout", func(v view) bool { return v.States[len(v.States)-1] == "closed" })
	if v.Code != 1008 {
		t.Errorf("got code %d; want 1008", v.Code)
	}
}
