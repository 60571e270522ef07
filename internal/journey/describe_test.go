package journey

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
)

// describe tells all that a key holds, by usual commands, in a form in which equal
// values are equal texts.
func describe(t *testing.T, c redis.UniversalClient, key string) string {
	t.Helper()
	ask := func(args ...any) any {
		t.Helper()
		reply, err := c.Do(t.Context(), args...).Result()
		if err != nil && !errors.Is(err, redis.Nil) && !redis.HasErrorPrefix(err, "WRONGTYPE") {
			t.Fatalf("%.60q: %v", fmt.Sprint(args...), err)
		}
		return reply
	}
	kind := ask("TYPE", key)
	text := fmt.Sprint(kind, " until ", ask("PEXPIRETIME", key), ": ")
	switch kind {
	case "string":
		return text + maskCount(fmt.Sprint(ask("GET", key)))
	case "hash":
		return text + sortedPairs(ask("HGETALL", key))
	case "set":
		return text + inOrder(ask("SMEMBERS", key))
	case "list":
		return text + fmt.Sprintf("%q", ask("LRANGE", key, 0, -1))
	case "zset":
		return text + fmt.Sprintf("%q", ask("ZRANGE", key, 0, -1, "WITHSCORES"))
	case "stream":
		return text + describeStream(ask, key)
	}
	return text
}

// maskCount leaves out the count that a HyperLogLog keeps of itself.
func maskCount(text string) string {
	if strings.HasPrefix(text, "HYLL") && len(text) > 16 {
		return text[:8] + text[16:]
	}
	return text
}

func sortedPairs(reply any) string {
	var pairs []string
	switch reply := reply.(type) {
	case map[any]any:
		for f, v := range reply {
			pairs = append(pairs, fmt.Sprintf("%q=%q", f, v))
		}
	case []any:
		for i := 0; i+1 < len(reply); i += 2 {
			pairs = append(pairs, fmt.Sprintf("%q=%q", reply[i], reply[i+1]))
		}
	}
	slices.Sort(pairs)
	return strings.Join(pairs, " ")
}

func inOrder(reply any) string {
	list, _ := reply.([]any)
	var texts []string
	for _, element := range list {
		texts = append(texts, fmt.Sprintf("%q", element))
	}
	slices.Sort(texts)
	return strings.Join(texts, " ")
}

// describeStream leaves out how long ago things were: that is not of one moment.
func describeStream(ask func(args ...any) any, key string) string {
	text := fmt.Sprintf("%q", ask("XRANGE", key, "-", "+"))
	info := fields(ask("XINFO", "STREAM", key))
	for _, name := range []string{"length", "last-generated-id", "max-deleted-entry-id", "entries-added", "groups"} {
		text += fmt.Sprintf(" %s=%v", name, info[name])
	}
	groups, _ := ask("XINFO", "GROUPS", key).([]any)
	for _, reply := range groups {
		g := fields(reply)
		text += fmt.Sprintf(" group %v: %v %v %v", g["name"], g["last-delivered-id"], g["entries-read"], g["pending"])
		consumers, _ := ask("XINFO", "CONSUMERS", key, g["name"]).([]any)
		for _, reply := range consumers {
			text += fmt.Sprintf(" %v:%v", fields(reply)["name"], fields(reply)["pending"])
		}
		pending, _ := ask("XPENDING", key, g["name"], "-", "+", 1000).([]any)
		for _, reply := range pending {
			p, _ := reply.([]any)
			text += fmt.Sprintf(" %v by %v, %v times", p[0], p[1], p[3])
		}
	}
	return text
}

// fields reads a record, which a server answers as a map or as a flat list.
func fields(reply any) map[string]any {
	out := map[string]any{}
	switch reply := reply.(type) {
	case map[any]any:
		for name, value := range reply {
			out[fmt.Sprint(name)] = value
		}
	case []any:
		for i := 0; i+1 < len(reply); i += 2 {
			out[fmt.Sprint(reply[i])] = reply[i+1]
		}
	}
	return out
}
