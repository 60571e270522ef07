package journey

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/redistest"
	"github.com/transload/transload/migrate/coordinator"
	"github.com/transload/transload/topology"
)

// otherEncodings make a server keep, and dump, the same values in another form.
var otherEncodings = redistest.Options{Args: []string{"--hash-max-listpack-entries", "4", "--zset-max-listpack-entries", "4",
	"--list-max-listpack-size", "4", "--set-max-intset-entries", "4", "--stream-node-max-entries", "3", "--rdbcompression", "no"}}

// oddTargets keep values in other encodings than the source.
var oddTargets = map[string]func(*testing.T) topology.Config{
	"sentinel": func(t *testing.T) topology.Config { return config(t, redistest.Sentinel(t, otherEncodings)) },
	"cluster":  func(t *testing.T) topology.Config { return config(t, redistest.Cluster(t, otherEncodings)) },
}

// oddNames are names of keys: with each byte there is, inside and outside of what
// is hashed, and such as have made tools stumble.
func oddNames() []string {
	names := []string{"", "{", "}", "{}", "{}x", "}{", "a{b}c{d}", "a{{b}}c", "{\n}", "\r\n", "*", "[a-z]?", " ", `"`, `\`,
		"$5\r\nhello", "odd:" + strings.Repeat("n", 5000), "transloaded:{x}"}
	for b := range 256 {
		names = append(names, "odd:"+string([]byte{byte(b)})+":x", "{odd"+string([]byte{byte(b)})+"}")
	}
	return names
}

// oddValues are made by commands on one key, K.
var oddValues = map[string][]string{
	"empty string":        {"SET K |"},
	"largest number":      {"SET K 9223372036854775807"},
	"least number":        {"SET K -9223372036854775808"},
	"float":               {"SET K 0.1", "INCRBYFLOAT K 0.2"},
	"bitmap":              {"SETBIT K 1000003 1", "SETBIT K 7 1"},
	"loglog, sparse":      {"PFADD K a b c"},
	"loglog, counted":     {"PFADD K a b c", "PFCOUNT K"},
	"loglog, dense":       {"EVAL for\u00a0i=1,20000\u00a0do\u00a0redis.call('pfadd',KEYS[1],i)\u00a0end 1 K"},
	"geo":                 {"GEOADD K 13.361389 38.115556 Palermo 15.087269 37.502669 Catania"},
	"hash, small":         {"HSET K f 1 | | g |"},
	"hash, in a table":    {"EVAL for\u00a0i=1,700\u00a0do\u00a0redis.call('hset',KEYS[1],i,'v'..i)\u00a0end 1 K"},
	"set of numbers":      {"SADD K 1 2 3 9223372036854775807 -9223372036854775808"},
	"set, mixed":          {"SADD K 1 b |"},
	"zset, odd scores":    {"ZADD K -inf a +inf b -0 c 1e308 d 5e-324 e 0.1 f"},
	"zset, long":          {"EVAL for\u00a0i=1,300\u00a0do\u00a0redis.call('zadd',KEYS[1],i/7,i)\u00a0end 1 K"},
	"list":                {"RPUSH K a | 1 -1"},
	"list, large element": {"EVAL redis.call('rpush',KEYS[1],'a',string.rep('x',20000),'b') 1 K"},
	"stream": {"XADD K 1-1 f v", "XADD K 2-1 f v g w", "XADD K 3-1 f v", "XGROUP CREATE K g 0", "XGROUP CREATE K h $",
		"XREADGROUP GROUP g c1 COUNT 2 STREAMS K >", "XACK K g 1-1", "XGROUP CREATECONSUMER K g idle"},
	"stream, tail deleted":    {"XADD K 1-1 f v", "XADD K 2-1 f v", "XADD K 3-1 f v", "XDEL K 3-1", "XDEL K 1-1"},
	"stream, pending deleted": {"XADD K 1-1 f v", "XADD K 2-1 f v", "XGROUP CREATE K g 0", "XREADGROUP GROUP g c COUNT 2 STREAMS K >", "XDEL K 1-1"},
	"stream, set id":          {"XADD K 1-1 f v", "XSETID K 99-1 ENTRIESADDED 50 MAXDELETEDID 98-1"},
	"stream, emptied":         {"XADD K 1-1 f v", "XADD K 2-1 f v", "XTRIM K MAXLEN 0", "XGROUP CREATE K g 2-1"},
	"expires":                 {"SET K v PX 3600000"},
	"hash that expires":       {"HSET K f v", "PEXPIRE K 3600001"},
	"changes its type":        {"SET K v"},
}

// do runs a command a line: K is the key, | an empty word, and a space that does not
// break is one within a word.
func do(t *testing.T, c redis.UniversalClient, key string, lines ...string) {
	t.Helper()
	for _, line := range lines {
		var args []any
		for word := range strings.SplitSeq(line, " ") {
			switch word {
			case "K":
				args = append(args, key)
			case "|":
				args = append(args, "")
			default:
				args = append(args, strings.ReplaceAll(word, "\u00a0", " "))
			}
		}
		if err := c.Do(t.Context(), args...).Err(); err != nil && !errors.Is(err, redis.Nil) {
			t.Fatalf("%s: %v", line, err)
		}
	}
}

func oddKey(what string) string { return "odd:{" + what + "}" }

// TestOddData carries keys of every name and value that might make one stumble
// through shadow, cutover and rollback, to servers that encode them otherwise. Each
// side is read by usual commands, by type, and not by what copied it.
func TestOddData(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("needs real servers")
	}
	for name, target := range oddTargets {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j := begin(t, 1, target(t))
			o := seedOdd(t, j)
			member := j.members[0]
			j.shadow(t)
			o.equal(t, "in shadow")
			o.write(t, member, "second")
			do(t, member, oddKey("changes its type"), "DEL K", "RPUSH K a b")
			do(t, member, oddKey("short-lived, renewed"), "PEXPIRE K 6000") // it ends after the flip
			j.cutover(t, 100)
			do(t, member, oddKey("short-lived, renewed"), "SET K renewed PX 3600000")
			o.equal(t, "after the cutover")
			o.write(t, member, "third")
			do(t, member, oddKey("changes its type"), "DEL K", "ZADD K 1 a")
			do(t, member, oddKey("stream"), "XADD K 9-1 f v", "XREADGROUP GROUP g c2 COUNT 1 STREAMS K >", "XACK K g 2-1")
			j.rollback(t)
			o.equal(t, "after the rollback")
			if got := member.Get(t.Context(), "{odd\x00}").Val(); got != "third" {
				t.Errorf("got %q; want what was written after the cutover", got)
			}
			time.Sleep(time.Until(o.lateExpiry)) // a late expiry may delete nothing
			o.equal(t, "after the expiry of what was renewed")
			if got := member.Get(t.Context(), oddKey("short-lived, renewed")).Val(); got != "renewed" {
				t.Errorf("got %q; want the key that was renewed after the flip", got)
			}
		})
	}
}

// An odd is the odd data on both sides.
type odd struct {
	j          *journey
	keys       []string
	lateExpiry time.Time
}

func seedOdd(t *testing.T, j *journey) *odd {
	t.Helper()
	src, leave := open(t, j.source)
	defer leave() // a writer that stays connected shuts a gate
	o := &odd{j: j, lateExpiry: time.Now().Add(10 * time.Second)}
	for _, name := range oddNames() {
		do(t, src, name, "SET K first")
		o.keys = append(o.keys, name)
	}
	for _, what := range slices.Sorted(maps.Keys(oddValues)) {
		do(t, src, oddKey(what), oddValues[what]...)
		o.keys = append(o.keys, oddKey(what))
	}
	do(t, src, oddKey("short-lived, renewed"), "SET K v PX 3600000")
	do(t, src, oddKey("short-lived"), "SET K v PX 1500") // it ends during the copy or the hold
	o.keys = append(o.keys, oddKey("short-lived, renewed"), oddKey("short-lived"))
	err := src.Do(t.Context(), "HPEXPIRE", oddKey("hash, small"), 3600000, "FIELDS", 1, "f").Err()
	t.Logf("expiry of hash fields: %v", err) // Redis 7.4; others do not know it
	return o
}

func open(t *testing.T, cfg topology.Config) (c *topology.Client, leave func()) {
	t.Helper()
	c, err := topology.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c, func() { _ = c.Close() }
}

// write sets every odd name through the migrating client.
func (o *odd) write(t *testing.T, c redis.UniversalClient, value string) {
	t.Helper()
	for _, name := range oddNames() {
		if err := c.Set(t.Context(), name, value, 0).Err(); err != nil {
			t.Fatalf("set %q: %v", name, err)
		}
	}
}

// equal has a coordinator verify while it keeps the sides equal, and then reads
// every key of both sides.
func (o *odd) equal(t *testing.T, when string) {
	t.Helper()
	defer o.j.coordinating(t)()
	redistest.Eventually(t, 60*time.Second, func() error {
		rep, err := o.j.coordinator.Verify(t.Context(), coordinator.VerifyRequest{})
		if err != nil {
			return fmt.Errorf("%s: verify: %v, %w", when, rep.Examples, err)
		}
		return nil
	})
	src, leave := open(t, o.j.source)
	defer leave()
	dst, leave := open(t, o.j.target)
	defer leave()
	for _, key := range o.keys {
		redistest.Eventually(t, 10*time.Second, func() error {
			a, b := describe(t, src, key), describe(t, dst, key)
			if a != b {
				return fmt.Errorf("%s: %q: the source has %.500q, the target %.500q", when, key, a, b)
			}
			return nil
		})
	}
}

// coordinating keeps the sides equal until what it returns is called.
func (j *journey) coordinating(t *testing.T) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		_ = j.coordinator.Shadow(ctx) // of the context
		close(ended)
	}()
	return func() {
		cancel()
		<-ended
	}
}
