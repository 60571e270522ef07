package cache

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"
)

func sample() entry {
	return entry{kind: kindValue, version: 3, token: "01234567", stamp: 1_700_000_000_123, tags: []int64{5, 1 << 50}, value: []byte(`{"ID":"7"}`)}
}

func TestEntry(t *testing.T) {
	e := sample()
	got, ok := parse(e.raw(), 3)
	if !ok || got.kind != e.kind || got.token != e.token || got.stamp != e.stamp || !slices.Equal(got.tags, e.tags) || !bytes.Equal(got.value, e.value) {
		t.Errorf("got %+v, %v; want %+v", got, ok, e)
	}
	gone := entry{kind: kindGone, token: "01234567", stamp: 1}
	cut := func(n int) []byte { return e.raw()[:n] }
	changed := func(at int) []byte { raw := e.raw(); raw[at] ^= 1; return raw }
	for name, raw := range map[string][]byte{
		"nothing": nil, "a word": []byte("nonsense"), "a tombstone": gone.raw(), "cut in the head": cut(10), "cut in the stamp": cut(20),
		"cut in the tags": cut(33), "cut in the value": cut(50), "another format": changed(0), "another kind": changed(1),
		"another number of tags": changed(3), "another checksum": changed(12), "another value": changed(len(e.raw()) - 1),
	} {
		if got, ok := parse(raw, 3); ok {
			t.Errorf("%s: got %+v; want none", name, got)
		}
	}
	if got, ok := parse(e.raw(), 4); ok || got.token != e.token {
		t.Errorf("of another version: got %+v, %v; want none, and its token", got, ok)
	}
}

func FuzzParse(f *testing.F) {
	e := sample()
	f.Add(e.raw())
	f.Add([]byte(strings.Repeat("9", 40)))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if e, ok := parse(raw, 3); ok && !bytes.Equal(e.raw(), raw) && e.stamp >= 0 && len(raw) > headLen+stampLen && raw[headLen] != '+' {
			t.Errorf("%q is read as %+v, which is %q", raw, e, e.raw())
		}
	})
}

// TestEarly sees that what was filled together does not come due together.
func TestEarly(t *testing.T) {
	const soft = 400 * time.Second
	var quarters [4]int
	for range 4000 {
		e := entry{token: newToken()}
		early := e.early(soft)
		if early < 0 || early >= soft/4 || early != e.early(soft) {
			t.Fatalf("got %v; want less than a quarter, and the same again", early)
		}
		quarters[early/(soft/16)]++
	}
	if slices.Min(quarters[:]) < 800 {
		t.Errorf("got %v of 4000 in each quarter; want some 1000", quarters)
	}
}
