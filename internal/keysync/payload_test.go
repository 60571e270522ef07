package keysync

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
)

// TestPayloads makes values of many sizes and kinds, and reads them both by
// type and out of their payloads.
func TestPayloads(t *testing.T) {
	t.Parallel()
	for name, args := range map[string][]string{
		"usual":          nil,
		"no compression": {"--rdbcompression", "no"},
		"hash tables": {"--hash-max-listpack-entries", "0", "--zset-max-listpack-entries", "0", "--set-max-intset-entries", "0",
			"--list-max-listpack-size", "1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			side, c := realSide(t, args...)
			rnd := rand.New(rand.NewPCG(1, 2))
			caps, err := side.Capabilities(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			known := map[string]int{}
			for range 1500 {
				do(t, c, "DEL", "k")
				randomKey(t, c, rnd)
				tasks := []task{{key: "k"}}
				lim := limits{large: 1 << 40, most: 1 << 30}
				dumped := side.read(t.Context(), caps, tasks, lim, false)[0]
				typed := side.read(t.Context(), caps, tasks, lim, true)[0]
				if dumped.err != nil || typed.err != nil {
					t.Fatal(dumped.err, typed.err)
				}
				v, ok := parsePayload(dumped.payload)
				if !ok {
					t.Fatalf("type %d of %s is not known", dumped.payload[0], typed.value.kind)
				}
				known[fmt.Sprint(v.kind, " ", dumped.payload[0])]++
				if d := difference(v, typed.value); d != Equal {
					t.Fatalf("%s: got %v; want equal\n%.500q\n%.500q", v.kind, d, fmt.Sprint(v), fmt.Sprint(typed.value))
				}
			}
			t.Log(known)
		})
	}
}

// randomText is a number, or a text that compresses well, badly, or is long.
func randomText(rnd *rand.Rand) string {
	switch rnd.IntN(6) {
	case 0:
		return fmt.Sprint(int64(rnd.Uint64()) >> rnd.IntN(64))
	case 1:
		return strings.Repeat("ab", rnd.IntN(200))
	case 2:
		return strings.Repeat(string(rune('a'+rnd.IntN(26))), rnd.IntN(1<<rnd.IntN(16)))
	case 3:
		return ""
	}
	b := make([]byte, rnd.IntN(1<<rnd.IntN(9)))
	for i := range b {
		b[i] = byte(rnd.Uint32())
	}
	return string(b)
}

func randomKey(t *testing.T, c redis.UniversalClient, rnd *rand.Rand) {
	t.Helper()
	n := 1 + rnd.IntN(1<<rnd.IntN(9))
	words := []any{}
	kind := rnd.IntN(6)
	for i := range n {
		switch kind {
		case 0:
			do(t, c, "SET", "k", randomText(rnd))
			return
		case 1:
			words = append(words, randomText(rnd), randomText(rnd))
		case 2, 4:
			words = append(words, randomText(rnd))
		case 3:
			score := []any{rnd.NormFloat64(), rnd.IntN(1000) - 500, "+inf", "-inf", "-0", 1e300}[rnd.IntN(6)]
			words = append(words, score, fmt.Sprint(randomText(rnd), i))
		case 5:
			words = append(words, int64(rnd.Uint64())>>(16+rnd.IntN(48)))
		}
	}
	verb := []string{"", "HSET", "SADD", "ZADD", "RPUSH", "SADD"}[kind]
	do(t, c, append([]any{verb, "k"}, words...)...)
}

func TestPayloadsUnknown(t *testing.T) {
	for _, payload := range []string{"", "\x00", "\x00\x01x\x06\x00\xb4\x6d\xee\xdf\x48\xbd\x74", "\x0f\x01x0123456789", "\x02\x050123456789",
		"\x04\x01\x01a0123456789", "\x10\x03abc0123456789", "\x0b\x08\x02\x00\x00\x00\x05\x00\x00\x000123456789", "\x00\x01xy0123456789"} {
		if v, ok := parsePayload(payload); ok {
			t.Errorf("%q: got %+v; want it unknown", payload, v)
		}
	}
}

func FuzzParsePayload(f *testing.F) {
	f.Add(probePayload)
	f.Add("\x02\x02\x01a\x01b0123456789")
	f.Add("\x00\xc3\x04\x08\x00a\xe0\x00\x000123456789")
	f.Add("\x10\x0d\x0d\x00\x00\x00\x02\x00\x81a\x02\x01\x01\xff0123456789")
	f.Fuzz(func(_ *testing.T, payload string) { parsePayload(payload) })
}
