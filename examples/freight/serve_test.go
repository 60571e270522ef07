package main

import (
	"bytes"
	"errors"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/transload/transload/examples/freight/app"
	"github.com/transload/transload/examples/freight/load"
	"github.com/transload/transload/examples/freight/store"
	"github.com/transload/transload/internal/redistest"
)

// TestServe runs the app as on a fresh machine: no Redis, no database. It has the machine
// to itself: it works more than it waits.
func TestServe(t *testing.T) {
	env := settingsOf(t, 7) // each part has users whose limits are untouched
	delete(env, "DATABASE_URL")
	i := begin(t, inside, env)
	i.well(within)
	t.Run("load", func(t *testing.T) {
		j := load.NewJournal()
		l, err := load.Start(t.Context(), load.Options{URLs: []string{i.users}, Each: 2, Pace: 50 * time.Millisecond, Fix: 100 * time.Millisecond}, j)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Second)
		v := l.Check(t.Context())
		var out bytes.Buffer
		v.Print(&out)
		t.Log(out.String())
		if !v.OK() || v.Loads == 0 || v.Bids == 0 || v.Seen == 0 || v.Outcome("page 5xx")+v.Outcome("write 5xx")+v.Outcome("write 503") > 0 {
			t.Error("the load has found something wrong, or has done too little")
		}
	})
	t.Run("pages", func(t *testing.T) { pages(t, i) })
	i.well(within)
	t.Run("attacks", func(t *testing.T) { attacks(t, i) })
	t.Run("guesses", func(t *testing.T) { guesses(t, i) })
	t.Run("engineers", func(t *testing.T) { engineers(t, i) })
}

// pages looks at every page as somebody who is not signed in, a shipper and a driver.
func pages(t *testing.T, i *instance) {
	stranger := client{t, i, http.Header{}}
	shipper, driver := stranger.signIn(store.Shipper, 1).who, stranger.signIn(store.Driver, 1).who
	for name, c := range map[string]struct {
		path   string
		who    http.Header
		status int
		text   string
	}{
		"search":               {"/", nil, 200, "Find a load"},
		"search for":           {"/loads?from=berlin&to=nowhere", nil, 200, "Find a load"},
		"sign in":              {"/sign-in", nil, 200, "Password"},
		"carrier":              {"/carriers/d0001", nil, 200, "Loads carried"},
		"no page":              {"/nothing", nil, 404, "no such thing"},
		"a shipper is none":    {"/carriers/s0001", nil, 404, "no such thing"},
		"no load":              {"/loads/%7B%7D", nil, 404, "no such thing"},
		"map, not signed in":   {"/map", nil, 303, ""},
		"map":                  {"/map", driver, 200, "Lisbon"},
		"near":                 {"/near", driver, 200, "Loads near"},
		"near a city":          {"/near?city=rome", shipper, 200, "Loads near Rome"},
		"post":                 {"/post", shipper, 200, "Post a load"},
		"a driver cannot post": {"/post", driver, 403, "not yours"},
		"mine":                 {"/mine", shipper, 200, "Loads"},
		"messages":             {"/messages", shipper, 200, "Messages"},
		"account":              {"/account", driver, 200, "this one"},
		"style":                {"/static/style.css", nil, 200, "--brand"},
		"client":               {"/live.js", nil, 200, "export class Live"},
		"alive":                {"/healthz", nil, 200, "alive"},
		"no status for users":  {"/status.json", nil, 404, ""},
		"no metrics for users": {"/metrics", nil, 404, ""},
	} {
		t.Run(name, func(t *testing.T) {
			status, body, err := fetch(i.users+c.path, c.who)
			if err != nil || status != c.status || !strings.Contains(string(body), c.text) {
				t.Errorf("got %d, %v; want %d and %q in\n%s", status, err, c.status, c.text, body)
			}
			if strings.Contains(string(body), "<html") && !bytes.HasSuffix(bytes.TrimSpace(body), []byte("</html>")) {
				t.Errorf("the page is cut off:\n%s", body)
			}
		})
	}
}

// guesses tries passwords until the account says stop, to the right one as well.
func guesses(t *testing.T, i *instance) {
	try := func(password string) int {
		resp, err := plainly.PostForm(i.users+"/sign-in", url.Values{"email": {store.DemoEmail(store.Driver, 3)}, "password": {password}})
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	if got := try(store.DemoPassword); got != http.StatusSeeOther {
		t.Fatalf("the right password: got %d; want 303", got)
	}
	guesses, got := 0, http.StatusUnauthorized
	for ; got == http.StatusUnauthorized && guesses <= app.GuessesAtOnce; guesses++ {
		got = try("wrong")
	}
	// The right one costs a guess where a busy Redis did not hear that it was right.
	if allowed := guesses - 1; got != http.StatusTooManyRequests || allowed < app.GuessesAtOnce-1 || allowed > app.GuessesAtOnce {
		t.Fatalf("got %d after %d guesses; want 429 after %d", got, allowed, app.GuessesAtOnce)
	}
	for _, password := range []string{"wrong", store.DemoPassword} {
		if got := try(password); got != http.StatusTooManyRequests {
			t.Errorf("one guess more, %q: got %d; want 429", password, got)
		}
	}
}

func engineers(t *testing.T, i *instance) {
	if got := i.probed(); strings.Count(got, "ok ") != 5 {
		t.Errorf("got\n%swant five that are ok", got)
	}
	for path, text := range map[string]string{"/": "Workloads", "/livez": "alive", "/readyz": "ready", "/api/health/redis-sentinel": `"status"`} {
		if status, body, err := fetch(i.engineers+path, nil); err != nil || status != http.StatusOK || !strings.Contains(string(body), text) {
			t.Errorf("%s: got %d, %v; want %q in\n%s", path, status, err, text, body)
		}
	}
	_, body, err := fetch(i.engineers+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"ratelimit_decisions_total", "transload_sessions_found_total", "transload_pubsub_published_total",
		"transload_cache_requests_total", "transload_queue_runs_total", "asynq_queue_size", "breaker_open"} {
		if !bytes.Contains(body, []byte("\n# TYPE "+want+" ")) {
			t.Errorf("there is no metric %s", want)
		}
	}
}

// TestSettings sees that each bad setting is named, and no secret told.
func TestSettings(t *testing.T) {
	taken := free(t)
	for name, env := range map[string]map[string]string{
		"FREIGHT_DEMO":    {"FREIGHT_DEMO": "many"},
		"FREIGHT_LOG":     {"FREIGHT_LOG": "loud"},
		"SESSION_KEYS":    {"SESSION_KEYS": "aHVzaA=="},
		"FREIGHT_PROXIES": {"FREIGHT_PROXIES": "somewhere"},
		"FREIGHT_ADMIN":   {"FREIGHT_ADDR": taken, "FREIGHT_ADMIN": taken},
		"DATABASE_URL":    {"DATABASE_URL": "mysql://root:hush@x"},
		"REDIS_PORT":      {"REDIS_HOST": "x", "REDIS_PORT": "many"},
		"REDIS_TARGET":    {"REDIS_TARGET_URL": "http://x"},
	} {
		t.Run(name, func(t *testing.T) {
			if env["FREIGHT_ADDR"] == "" {
				env["FREIGHT_ADDR"], env["FREIGHT_ADMIN"] = "127.0.0.1:0", "127.0.0.1:0"
			}
			if env["FREIGHT_DEMO"] == "" {
				env["FREIGHT_DEMO"] = "0"
			}
			if env["DATABASE_URL"] == "" {
				env["DATABASE_URL"] = "sqlite:" + t.TempDir() + "/x.db"
			}
			err := run(t.Context(), nil, redistest.Getenv(env), os.Stdout, os.Stdout)
			if err == nil || !strings.Contains(err.Error(), name) || strings.Contains(err.Error(), "hush") || strings.Contains(err.Error(), "aHVzaA") {
				t.Errorf("got %v; want an error that names %s, without its value", err, name)
			}
		})
	}
	if err := run(t.Context(), []string{"drive"}, nil, os.Stdout, os.Stdout); !errors.Is(err, errUsage) {
		t.Errorf("got %v; want errUsage", err)
	}
}
