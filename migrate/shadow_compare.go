package migrate

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// A shape says how two replies to one command are compared.
type shape uint8

const (
	single    shape = iota + 1 // one value, which may be missing: it counts for the hit rate
	ordered                    // a list, or a number
	unordered                  // a set
	pairs                      // fields and values, in any order
)

// shapes are the reads that are repeated: those whose reply follows from the
// key's value alone. TTLs, cursors, random members and what tells of a server's
// own state are not among them.
var shapes = func() map[string]shape {
	m := map[string]shape{"hgetall": pairs}
	for shape, names := range map[shape]string{
		single: "get hget zscore lindex",
		ordered: "strlen getrange substr getbit bitcount bitpos mget exists type llen lrange lpos hmget hlen hexists hstrlen " +
			"scard sismember smismember zcard zcount zmscore zrank zrevrank zrange zrevrange zrangebyscore zrevrangebyscore " +
			"zrangebylex zrevrangebylex zlexcount xlen xrange xrevrange geopos geodist geohash",
		unordered: "smembers sinter sunion sdiff hkeys hvals",
	} {
		for _, name := range strings.Fields(names) {
			m[name] = shape
		}
	}
	return m
}()

// A leaf is one value of a reply.
type leaf struct {
	text   string
	number bool // it came as a floating-point number
	none   bool
}

// same compares two replies. The sides may speak different versions of the
// protocol: there a map is a list, and a number a text.
func same(a, b any, s shape) bool {
	la, lb := leaves(nil, a), leaves(nil, b)
	if len(la) != len(lb) {
		return false
	}
	switch s {
	case unordered:
		slices.SortFunc(la, byText)
		slices.SortFunc(lb, byText)
	case pairs:
		la, lb = join(la), join(lb)
	}
	return slices.EqualFunc(la, lb, sameLeaf)
}

func byText(a, b leaf) int { return strings.Compare(a.text, b.text) }

// leaves appends the values of a reply in order, without its structure.
func leaves(dst []leaf, v any) []leaf {
	switch v := v.(type) {
	case nil:
		return append(dst, leaf{none: true})
	case string:
		return append(dst, leaf{text: v})
	case float64:
		return append(dst, leaf{text: strconv.FormatFloat(v, 'g', -1, 64), number: true})
	case []any:
		for _, x := range v {
			dst = leaves(dst, x)
		}
		return dst
	case map[any]any:
		for k, x := range v {
			dst = leaves(leaves(dst, k), x)
		}
		return dst
	}
	return append(dst, leaf{text: fmt.Sprint(v)})
}

// join makes one leaf of each field and its value, and sorts them.
func join(l []leaf) []leaf {
	var out []leaf
	for p := range slices.Chunk(l, 2) {
		x := p[0]
		for _, y := range p[1:] {
			x.text += "\x00" + y.text
		}
		out = append(out, x)
	}
	slices.SortFunc(out, byText)
	return out
}

func sameLeaf(a, b leaf) bool {
	if a.none || b.none || a.number == b.number {
		return a == b
	}
	x, err1 := strconv.ParseFloat(a.text, 64)
	y, err2 := strconv.ParseFloat(b.text, 64)
	return err1 == nil && err2 == nil && x == y
}
