package command_test

import (
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"github.com/transload/transload/internal/command"
	"github.com/transload/transload/internal/redistest"
)

var slotKeys = []string{
	"", "123456789", "foo", "{user1000}.following", "{user1000}.followers", "foo{}{bar}", "foo{{bar}}zap", "foo{bar}{zap}", "{}", "{", "}", "}{",
	"{a", "a}", "{}a", "a{b}c", "{{}}", "{}{a}", "}{a}", "asynq:{default}:t:1", "\x00\xff{\x80}\x01", strings.Repeat("x", 3000) + "{a}",
}

// slowly is the rule once more, bit by bit as the specification has it.
func slowly(key string) uint16 {
	if _, after, ok := strings.Cut(key, "{"); ok {
		if tag, _, ok := strings.Cut(after, "}"); ok && tag != "" {
			key = tag
		}
	}
	var crc uint16
	for _, b := range []byte(key) {
		for bit := range 8 {
			high := crc>>15 ^ uint16(b>>(7-bit)&1)
			crc = crc<<1 ^ high*0x1021
		}
	}
	return crc % command.Slots
}

func FuzzSlot(f *testing.F) {
	for _, key := range slotKeys {
		f.Add(key)
	}
	f.Fuzz(func(t *testing.T, key string) {
		if got, want := command.Slot(key), slowly(key); got != want {
			t.Errorf("%q: got %d; want %d", key, got, want)
		}
	})
}

func TestSlotIsThatOfTheServer(t *testing.T) {
	s := redistest.Standalone(t, redistest.Options{Args: []string{"--cluster-enabled", "yes"}})
	conn := redistest.Conn(t, s)
	const odd = "{}ab\x00\xff:."
	keys := slotKeys
	rnd := rand.New(rand.NewPCG(3, 4))
	for i := range 5000 {
		b := []byte(strconv.Itoa(i))
		for range rnd.IntN(12) {
			b = append(b, odd[rnd.IntN(len(odd))])
		}
		rnd.Shuffle(len(b), func(i, j int) { b[i], b[j] = b[j], b[i] })
		keys = append(keys, string(b))
	}
	for _, key := range keys {
		want, err := conn.Do(t.Context(), "CLUSTER", "KEYSLOT", key)
		if err != nil {
			t.Fatal(err)
		}
		if got := int64(command.Slot(key)); got != want {
			t.Errorf("%q: got %d; want %d", key, got, want)
		}
	}
}

func BenchmarkSlot(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		command.Slot("asynq:{default}:t:0b2f1a9e")
	}
}
