package keysync

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Expiries that are no time.
const (
	forever int64 = -1
	absent  int64 = -2
)

// A value is what a key holds, read by type.
type value struct {
	kind   string // as TYPE says; empty when the key is absent
	text   string
	list   []string // elements; for a hash and a sorted set in pairs
	stream *stream
	opaque bool // of a type that only DUMP can carry
}

// parseValue reads what typed.lua returns as the value of a key of that kind.
func parseValue(kind string, parts []any) (*value, error) {
	v := &value{kind: kind}
	if len(parts) == 0 {
		v.opaque = true
		return v, nil
	}
	var err error
	switch kind {
	case "string":
		text, ok := parts[0].(string)
		if !ok {
			err = fmt.Errorf("%w: %T for a string", errReply, parts[0])
		}
		v.text = text
	case "stream":
		v.stream, err = parseStream(parts[0])
	default:
		v.list, err = texts(parts[0])
	}
	return v, err
}

// texts takes an array reply of strings.
func texts(reply any) ([]string, error) {
	array, ok := reply.([]any)
	if !ok {
		return nil, fmt.Errorf("%w: %T for an array", errReply, reply)
	}
	list := make([]string, len(array))
	for i, element := range array {
		switch element := element.(type) {
		case string:
			list[i] = element
		case int64:
			list[i] = strconv.FormatInt(element, 10)
		case float64: // a score, from some servers
			list[i] = strconv.FormatFloat(element, 'g', -1, 64)
		default:
			return nil, fmt.Errorf("%w: %T in an array", errReply, element)
		}
	}
	return list, nil
}

// difference says how two values differ.
func difference(a, b *value) Diff {
	if a.kind != b.kind {
		return TypeDiffers
	}
	if !sameValue(a, b) {
		return ValueDiffers
	}
	return Equal
}

// sameValue compares two values of one kind. Values that cannot be read by
// type are not the same: only their DUMP bytes could have shown it.
func sameValue(a, b *value) bool {
	switch {
	case a.opaque || b.opaque:
		return false
	case a.kind == "string":
		return sameText(a.text, b.text)
	case a.kind == "stream":
		return a.stream.same(b.stream)
	case len(a.list) != len(b.list):
		return false
	case a.kind == "hash":
		return maps.Equal(pairs(a.list), pairs(b.list))
	case a.kind == "set":
		x, y := slices.Sorted(slices.Values(a.list)), slices.Sorted(slices.Values(b.list))
		return slices.Equal(x, y)
	case a.kind == "zset":
		return maps.EqualFunc(pairs(a.list), pairs(b.list), sameScore)
	}
	return slices.Equal(a.list, b.list)
}

func pairs(list []string) map[string]string {
	m := make(map[string]string, len(list)/2)
	for i := 0; i+1 < len(list); i += 2 {
		m[list[i]] = list[i+1]
	}
	return m
}

// sameScore compares scores as numbers: servers write them in several ways.
func sameScore(a, b string) bool {
	if a == b {
		return true
	}
	x, errX := strconv.ParseFloat(a, 64)
	y, errY := strconv.ParseFloat(b, 64)
	return errX == nil && errY == nil && x == y
}

// A HyperLogLog keeps its last count in bytes 8 to 15, and PFCOUNT, a read,
// writes it.
const (
	logMagic     = "HYLL"
	logCountFrom = 8
	logCountTo   = 16
)

func sameText(a, b string) bool {
	if a == b {
		return true
	}
	if len(a) != len(b) || len(a) < logCountTo || !strings.HasPrefix(a, logMagic) {
		return false
	}
	return a[:logCountFrom] == b[:logCountFrom] && a[logCountTo:] == b[logCountTo:]
}
