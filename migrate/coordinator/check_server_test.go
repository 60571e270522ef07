package coordinator

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/transload/transload/internal/protocol"
	"github.com/transload/transload/internal/redisproc"
	"github.com/transload/transload/internal/redistest"
	"github.com/transload/transload/topology"
)

// configure changes settings of a server.
func configure(t *testing.T, s *redisproc.Server, words ...string) {
	t.Helper()
	for i := 0; i < len(words); i += 2 {
		redistest.Do(t, s, "CONFIG", "SET", words[i], words[i+1])
	}
}

// TestCheckSettings changes one thing at a time, and puts it right again.
func TestCheckSettings(t *testing.T) {
	a, b, s := twoServers(t, nil, nil)
	seed(t, s.source, 100)
	for i := range 16 {
		redistest.Do(t, a, "SET", fmt.Sprint("pad", i), strings.Repeat("x", 1<<20))
	}
	c := coordinate(t, s, alone)
	data, used := memory(t, a), memory(t, b)
	for _, tt := range []struct {
		name          string
		with, without func()
		check, side   string
		want          Verdict
		words         string
	}{
		{"evicts all", func() { configure(t, b, "maxmemory", "1gb", "maxmemory-policy", "allkeys-lru") }, nil, "eviction", "target", Refused, "sessions"},
		{"evicts some", func() { configure(t, b, "maxmemory-policy", "volatile-ttl") }, nil, "eviction", "target", Warn, "volatile-ttl"},
		{"evicts none", func() { configure(t, b, "maxmemory-policy", "noeviction") }, nil, "eviction", "target", OK, "noeviction"},
		{"room", nil, nil, "memory", "", OK, "of 1.0 GiB"},
		{"little room", func() { configure(t, b, "maxmemory", fmt.Sprint((used+11*data/10)*10/9)) }, nil, "memory", "", Warn, ""},
		{"no room", func() { configure(t, b, "maxmemory", fmt.Sprint(used+data/2)) }, func() { configure(t, b, "maxmemory", "0") }, "memory", "", Refused, ""},
		{"the source evicts", func() { configure(t, a, "maxmemory", "1gb", "maxmemory-policy", "allkeys-lru") }, func() { configure(t, a, "maxmemory", "0") }, "eviction", "source", Warn, ""},
		{"keeps nothing", func() { configure(t, b, "appendonly", "no", "save", "") }, nil, "persistence", "target", Warn, "nothing is kept"},
		{"snapshots", func() { configure(t, b, "save", "3600 1") }, nil, "persistence", "target", OK, "snapshots (3600 1)"},
		{"replicas wanted", func() { configure(t, a, "min-replicas-to-write", "2") }, func() { configure(t, a, "min-replicas-to-write", "0") }, "min-replicas-to-write", "source", Refused, "has 0 of 2"},
		{"few connections", func() { configure(t, b, "maxclients", "30") }, nil, "connections", "target", Warn, "of 30"},
		{"no connections", func() { configure(t, b, "maxclients", "10") }, func() { configure(t, b, "maxclients", "1000") }, "connections", "target", Refused, "of 10"},
		{"other databases", func() { inDB(t, a, "3", "SET", "x", "y") }, nil, "databases", "source", Warn, "db3 (1 keys)"},
		{"other clients", nil, nil, "other clients", "target", OK, ""},
		{"one that looks", func() { looker(t, b) }, nil, "other clients", "target", OK, "1 that only watch"},
		{"a client", func() { redistest.Client(t, b).Set(t.Context(), "x", "y", 0) }, nil, "other clients", "target", Warn, "without a name"},
		{"big", func() { redistest.Do(t, a, "SET", "large:one", strings.Repeat("x", 5<<20)) }, nil, "big keys", "source", Warn, `"large:one" `},
		{"not big", func() { redistest.Do(t, a, "DEL", "large:one") }, nil, "big keys", "source", OK, "all "},
		{"functions", func() {
			redistest.Do(t, a, "FUNCTION", "LOAD", "#!lua name=mylib\nredis.register_function('f', function() return 1 end)")
		}, nil, "functions", "", Warn, "mylib"},
		{"functions there", func() {
			redistest.Do(t, b, "FUNCTION", "LOAD", "#!lua name=mylib\nredis.register_function('f', function() return 1 end)")
		}, nil, "functions", "", OK, ""},
		{"users", func() { redistest.Do(t, a, "ACL", "SETUSER", "someone") }, nil, "users", "", Warn, "someone"},
		{"users there", func() { redistest.Do(t, b, "ACL", "SETUSER", "someone") }, nil, "users", "", OK, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.with != nil {
				tt.with()
			}
			checked(t, c).wants(t, tt.check, tt.side, tt.want, tt.words)
			if tt.without != nil {
				tt.without()
			}
		})
	}
}

// inDB sends one command in another database.
func inDB(t *testing.T, s *redisproc.Server, db string, args ...string) {
	t.Helper()
	conn := redistest.Conn(t, s)
	for _, words := range [][]string{{"SELECT", db}, args} {
		if _, err := conn.Do(t.Context(), words...); err != nil {
			t.Fatal(err)
		}
	}
}

func memory(t *testing.T, s *redisproc.Server) int64 {
	t.Helper()
	return number(infoMap(fmt.Sprint(redistest.Do(t, s, "INFO", "memory")))["used_memory"])
}

// looker is a connection of one that only watches, as an exporter does.
func looker(t *testing.T, s *redisproc.Server) {
	t.Helper()
	if _, err := redistest.Conn(t, s).Do(t.Context(), "INFO"); err != nil {
		t.Fatal(err)
	}
}

func TestCheckForeignKeys(t *testing.T) {
	_, b, s := twoServers(t, nil, nil)
	checked(t, coordinate(t, s, alone)).wants(t, "foreign keys", "target", OK, "none")
	for i := range 30 {
		redistest.Do(t, b, "SET", fmt.Sprintf("theirs:%d:0123456789abcdef", i), "x")
	}
	redistest.Do(t, b, "SET", "transload:{other}:control", "not ours, and no key of an app")
	told := func(k TargetKeys) func(*Options) { return func(o *Options) { o.TargetKeys = k } }
	checked(t, coordinate(t, s, alone)).wants(t, "foreign keys", "target", Refused, "30 keys", "30 theirs:")
	checked(t, coordinate(t, s, alone, told(KeepKeys))).wants(t, "foreign keys", "target", Warn, "30 keys")
	r := checked(t, coordinate(t, s, alone, told(DeleteKeys)))
	r.wants(t, "foreign keys", "target", Warn, "30 keys")
	if f := r.line("foreign keys", "target").Figure; strings.Contains(f, "0123456789abcdef") {
		t.Errorf("got %q; want no whole name of a key: it may be a session's", f)
	}
}

func TestCheckSentinel(t *testing.T) {
	t.Parallel()
	set := redistest.Sentinel(t, redistest.Options{Hasty: true, Args: keepsData})
	s := sides{config(t, redistest.Standalone(t, redistest.Options{})), config(t, set)}
	c := coordinate(t, s, alone)
	r := checked(t, c)
	r.wants(t, "replicas", "target", OK, "2, all attached")
	r.wants(t, "quorum", "target", OK, "3 usable")
	r.wants(t, "restart", "target", OK)
	r.wants(t, "min-replicas-to-write", "target", Warn)
	for _, n := range set.Nodes {
		redistest.Do(t, n, "CONFIG", "SET", "min-replicas-to-write", "1")
		redistest.Do(t, n, "CONFIG", "SET", "appendonly", "no")
	}
	r = checked(t, c)
	r.wants(t, "min-replicas-to-write", "target", OK, "1")
	r.wants(t, "restart", "target", Warn, "2 replicas, restarted by nothing")
	r.wants(t, "persistence", "target", Warn)
	if err := set.Nodes[2].Kill(); err != nil {
		t.Fatal(err)
	}
	if err := set.Sentinels[2].Kill(); err != nil {
		t.Fatal(err)
	}
	redistest.Eventually(t, 20*time.Second, func() error { return attached(t, set.Nodes[0], 1) })
	r = checked(t, c)
	r.wants(t, "reach", "target", Warn, set.Nodes[2].Addr())
	r.wants(t, "replicas", "target", Warn, "1 of 2")
	r.wants(t, "quorum", "target", Warn, set.Sentinels[2].Addr())
	for _, dead := range []*redisproc.Server{set.Nodes[1], set.Sentinels[1]} {
		if err := dead.Kill(); err != nil {
			t.Fatal(err)
		}
	}
	redistest.Eventually(t, 20*time.Second, func() error { return attached(t, set.Nodes[0], 0) })
	redistest.Eventually(t, 20*time.Second, func() error {
		if q := c.sides[protocol.Target].client.Quorum(t.Context())[0]; q.Err == nil {
			return fmt.Errorf("%s", q.Says)
		}
		return nil
	})
	r = checked(t, c)
	r.wants(t, "replicas", "target", Warn, "none is attached")
	r.wants(t, "quorum", "target", Refused, "NOQUORUM")
	r.wants(t, "min-replicas-to-write", "target", Refused, "has 0 of 1")
}

func attached(t *testing.T, s *redisproc.Server, want int) error {
	info := infoMap(fmt.Sprint(redistest.Do(t, s, "INFO", "replication")))
	if got := replicasOf(&nodeFacts{info: info}); got != want {
		return fmt.Errorf("got %d replicas; want %d", got, want)
	}
	return nil
}

func TestCheckCluster(t *testing.T) {
	t.Parallel()
	set := redistest.Cluster(t, redistest.Options{Replicas: -1, Args: []string{"--cluster-require-full-coverage", "no"}})
	s := sides{config(t, redistest.Standalone(t, redistest.Options{})), config(t, set)}
	c := coordinate(t, s, alone)
	r := checked(t, c)
	r.wants(t, "slots", "target", OK, "all 16384")
	r.wants(t, "replicas", "target", Warn, "none is attached")
	r.wants(t, "reach", "target", OK, "3 of 3")
	id, _ := redistest.Do(t, set.Nodes[1], "CLUSTER", "MYID").(string)
	redistest.Do(t, set.Nodes[0], "CLUSTER", "SETSLOT", "5", "MIGRATING", id)
	checked(t, c).wants(t, "slots", "target", Refused, "being moved")
	redistest.Do(t, set.Nodes[0], "CLUSTER", "SETSLOT", "5", "STABLE")
	checked(t, c).wants(t, "slots", "target", OK)
	for _, n := range set.Nodes {
		redistest.Do(t, n, "CLUSTER", "DELSLOTS", "6")
	}
	checked(t, c).wants(t, "slots", "target", Refused, "16383 slots")
}

// TestCheckVersions judges what one version of the server cannot show.
func TestCheckVersions(t *testing.T) {
	side := func(version string, more map[string]string) *sideFacts {
		info := map[string]string{"redis_version": version}
		for k, v := range more {
			info[k] = v
		}
		f := &sideFacts{caps: Capabilities{Dump: true}, sample: &keySample{types: map[string]int64{"string": 5}}}
		f.nodes = []*nodeFacts{{Node: topology.Node{Role: topology.Master}, info: info}}
		return f
	}
	fields := map[string]string{"db0": "keys=9,expires=0,avg_ttl=0,subexpiry=4"}
	for name, tt := range map[string]struct {
		source, target *sideFacts
		judge          func(*checker)
		check          string
		want           Verdict
	}{
		"same":                      {side("7.0.15", nil), side("7.0.5", nil), (*checker).judgeVersions, "versions", OK},
		"source is newer":           {side("7.2.1", nil), side("7.0.15", nil), (*checker).judgeVersions, "versions", Warn},
		"target is newer":           {side("6.2.1", nil), side("7.0.15", nil), (*checker).judgeVersions, "versions", Warn},
		"no field expires":          {side("7.4.0", nil), side("7.4.0", nil), (*checker).judgeFieldExpiry, "hash fields", OK},
		"fields expire":             {side("7.4.0", fields), side("7.4.1", nil), (*checker).judgeFieldExpiry, "hash fields", Warn},
		"fields expire, not there":  {side("7.4.0", fields), side("7.2.0", nil), (*checker).judgeFieldExpiry, "hash fields", Refused},
		"modules on both":           {withModule(side("7.0.0", nil), 0), withModule(side("7.0.0", nil), 0), (*checker).judgeModules, "modules", OK},
		"a module, and no such key": {withModule(side("7.0.0", nil), 0), side("7.0.0", nil), (*checker).judgeModules, "modules", Warn},
		"a module with keys":        {withModule(side("7.0.0", nil), 7), side("7.0.0", nil), (*checker).judgeModules, "modules", Refused},
	} {
		t.Run(name, func(t *testing.T) {
			k := &checker{sides: [3]*sideFacts{nil, tt.source, tt.target}}
			tt.judge(k)
			CheckReport{Lines: k.lines}.wants(t, tt.check, "", tt.want)
		})
	}
}

func withModule(f *sideFacts, keys int64) *sideFacts {
	f.nodes[0].modules = modulesOf("# Modules\r\nmodule:name=bf,ver=20612,api=1,filters=0,usedby=[],using=[],options=[]\r\n")
	if keys > 0 {
		f.sample.types["MBbloom--"] = keys
	}
	return f
}
