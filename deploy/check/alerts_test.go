package check

import (
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/redis/go-redis/v9"
	strict "sigs.k8s.io/yaml"

	"github.com/transload/transload/cache"
	"github.com/transload/transload/migrate"
	"github.com/transload/transload/pubsub"
	"github.com/transload/transload/queue"
	"github.com/transload/transload/ratelimit"
	"github.com/transload/transload/sessions"
	"github.com/transload/transload/topology"
)

// exported are the metrics of redis_exporter that are used here: its names for what
// INFO tells.
var exported = []string{"redis_memory_used_bytes", "redis_memory_max_bytes", "redis_evicted_keys_total",
	"redis_connected_clients", "redis_commands_processed_total"}

type rules struct {
	Groups []struct {
		Name     string
		Interval string
		Rules    []rule
	}
}

type rule struct {
	Alert, Record, Expr, For string
	Labels, Annotations      map[string]string
}

func alerts(t *testing.T) (list []rule) {
	t.Helper()
	var r rules
	if err := strict.UnmarshalStrict(read(t, "../prometheus/alerts.yaml"), &r); err != nil {
		t.Fatal(err)
	}
	for _, g := range r.Groups {
		list = append(list, g.Rules...)
	}
	return list
}

// told returns the names of all metrics that our collectors describe.
func told(t *testing.T) map[string]bool {
	t.Helper()
	cfg, err := topology.FromEnv("REDIS", func(name string) string { return map[string]string{"REDIS_HOST": "127.0.0.1", "REDIS_PORT": "1"}[name] })
	if err != nil {
		t.Fatal(err)
	}
	client, err := topology.Open(cfg, topology.WithMetrics())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	plain := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1", ContextTimeoutEnabled: true})
	defer plain.Close()
	limiter, err := ratelimit.New(plain, []ratelimit.Policy{{Name: "p", Limit: 1, Per: 1e9}})
	if err != nil {
		t.Fatal(err)
	}
	defer limiter.Close(t.Context())
	manager, err := sessions.New(plain, sessions.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	jobs, err := queue.NewClient(plain, queue.Options{})
	if err != nil {
		t.Fatal(err)
	}
	hub, err := pubsub.New(plain, []pubsub.Topic{{Delivery: pubsub.Latest}}, pubsub.Options{})
	if err != nil {
		t.Fatal(err)
	}
	store, err := cache.Open(plain, cache.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	names := map[string]bool{}
	for _, c := range []prometheus.Collector{client.Metrics(), new(migrate.Client).Metrics(), limiter.Metrics(), manager.Metrics(), jobs.Metrics(), jobs.Figures(),
		hub.Metrics(), store.Metrics()} {
		ch := make(chan *prometheus.Desc)
		go func() { c.Describe(ch); close(ch) }()
		for d := range ch {
			names[fqName.FindStringSubmatch(d.String())[1]] = true
		}
	}
	return names
}

var fqName = regexp.MustCompile(`fqName: "([^"]+)"`)

// known reports whether a series may exist: a collector's, with a histogram's endings,
// one of the exporter's, or one that the rules record.
func known(t *testing.T) func(series string) bool {
	t.Helper()
	names := told(t)
	for _, name := range exported {
		names[name] = true
	}
	for _, r := range alerts(t) {
		if r.Record != "" {
			names[r.Record] = true
		}
	}
	return func(series string) bool {
		for _, ending := range []string{"", "_bucket", "_count", "_sum"} {
			if base, ok := strings.CutSuffix(series, ending); ok && names[base] {
				return true
			}
		}
		return false
	}
}

// series returns the names of what an expression selects.
func series(t *testing.T, where, expr string) (names []string) {
	t.Helper()
	e, err := parser.NewParser(parser.Options{}).ParseExpr(expr)
	if err != nil {
		t.Errorf("%s: %v", where, err)
		return nil
	}
	parser.Inspect(e, func(n parser.Node, _ []parser.Node) error {
		if v, ok := n.(*parser.VectorSelector); ok {
			names = append(names, v.Name)
		}
		return nil
	})
	return names
}

var anchor = regexp.MustCompile(`^https://github.com/transload/transload/blob/main/docs/alerts\.md#([a-z]+)$`)

// TestAlerts holds each alert to metrics that are there, a page, and a case that fires.
func TestAlerts(t *testing.T) {
	exists, page := known(t), string(read(t, "../../docs/alerts.md"))
	cases := string(read(t, "../prometheus/alerts_test.yaml")) + string(read(t, "../prometheus/alerts_days_test.yaml"))
	fires := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?s)alertname: (\w+)\n\s+exp_alerts:\s*(\[\{|\n\s+- )`).FindAllStringSubmatch(cases, -1) {
		fires[m[1]] = true
	}
	for _, r := range alerts(t) {
		name := r.Alert + r.Record
		for _, s := range series(t, name, r.Expr) {
			if !exists(s) {
				t.Errorf("%s: nobody tells %s", name, s)
			}
		}
		if r.Alert == "" {
			continue
		}
		if !slices.Contains([]string{"page", "ticket", "info"}, r.Labels["severity"]) || r.Annotations["summary"] == "" {
			t.Errorf("%s: want a severity and a summary; got %v", name, r)
		}
		m := anchor.FindStringSubmatch(r.Annotations["runbook_url"])
		if m == nil || m[1] != strings.ToLower(r.Alert) || !strings.Contains(page, "\n## "+r.Alert+"\n") {
			t.Errorf("%s: docs/alerts.md has no section that %q leads to", name, r.Annotations["runbook_url"])
		}
		if !fires[r.Alert] {
			t.Errorf("%s: no case in which it fires", name)
		}
	}
}

type dashboard struct {
	Title, UID string
	Panels     []struct {
		Title   string
		Type    string
		Targets []struct{ Expr string }
	}
	Annotations struct{ List []struct{ Expr string } }
}

// TestDashboard holds each panel to metrics that are there.
func TestDashboard(t *testing.T) {
	var d dashboard
	if err := json.Unmarshal(read(t, "../grafana/redis.json"), &d); err != nil {
		t.Fatal(err)
	}
	exists := known(t)
	variables := strings.NewReplacer("$__rate_interval", "1m", "$side", ".*")
	shown := map[string]bool{}
	look := func(where, expr string) {
		for _, s := range series(t, where, variables.Replace(expr)) {
			if shown[s] = true; !exists(s) {
				t.Errorf("panel %q: nobody tells %s", where, s)
			}
		}
	}
	for _, p := range d.Panels {
		if p.Type != "row" && len(p.Targets) == 0 {
			t.Errorf("panel %q shows nothing", p.Title)
		}
		for _, target := range p.Targets {
			look(p.Title, target.Expr)
		}
	}
	look("annotations", d.Annotations.List[0].Expr)
	if len(shown) < 30 {
		t.Errorf("got %d series; want most of what there is: %v", len(shown), slices.Sorted(maps.Keys(shown)))
	}
}
