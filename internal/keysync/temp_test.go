package keysync

import (
	"testing"

	"github.com/transload/transload/internal/command"
)

var oddKeys = []string{
	"", "a", "plain:key", "{tag}key", "a{tag}b{other}", "{}", "{}foo", "a}b", "a}b{c", "a{b", "{", "}", "}{", "{a", "a{}b{c}",
	"{a}}b", "{{a}}", "a{{}b}", "\x00\xff", "{\x00}", "transload:{x}control",
}

func TestTempName(t *testing.T) {
	for _, key := range oddKeys {
		name := tempName(key, "move-7")
		if command.Slot(name) != command.Slot(key) {
			t.Errorf("%q: %q lies in slot %d; want %d", key, name, command.Slot(name), command.Slot(key))
		}
		if !IsTemp(name) {
			t.Errorf("%q is not known as a temporary name", name)
		}
		if name == tempName(key, "move-7") {
			t.Errorf("%q: two copies share a temporary name", key)
		}
	}
	for _, key := range append(oddKeys, "transload:{x}:control", "tmp:", "transload:tmp:") {
		if IsTemp(key) {
			t.Errorf("%q passes for a temporary name", key)
		}
	}
}

func FuzzTempName(f *testing.F) {
	for _, key := range oddKeys {
		f.Add(key)
	}
	f.Fuzz(func(t *testing.T, key string) {
		if name := tempName(key, "m"); command.Slot(name) != command.Slot(key) || !IsTemp(name) {
			t.Errorf("%q: %q", key, name)
		}
	})
}
