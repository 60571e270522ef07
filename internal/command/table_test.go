package command

import (
	"slices"
	"strings"
	"testing"
)

func TestEveryCommandHasOneClass(t *testing.T) {
	for c := range All() {
		if c.Class < Keyed || c.Class > Denied {
			t.Errorf("%s has no class: list it in classes.go", c.Name)
		}
		if (c.Class == Denied) != (c.Reason != "") {
			t.Errorf("%s: got class %v with reason %q; want a reason if and only if it is denied", c.Name, c.Class, c.Reason)
		}
		if c.Class == Keyed && len(c.keys) == 0 && c.quirk != streams {
			t.Errorf("%s: keyed, but has no keys", c.Name)
		}
		if len(c.Name) > longest {
			t.Errorf("%s: longer than %d", c.Name, longest)
		}
	}
}

// TestClassListsNameEachOnce finds names that are misspelt, listed twice, or of
// no command any more.
func TestClassListsNameEachOnce(t *testing.T) {
	known := map[string]bool{}
	for c := range All() {
		known[c.Name] = true
	}
	classes := []string{anySide, bothSides, allKeys}
	for _, names := range denied {
		classes = append(classes, names)
	}
	seen := map[string]bool{}
	for name := range strings.FieldsSeq(strings.Join(classes, " ")) {
		if seen[name] {
			t.Errorf("%s is listed twice", name)
		}
		seen[name] = true
	}
	for name := range strings.FieldsSeq(strings.Join([]string{split, scripts, cursors}, " ")) {
		seen[name] = true
	}
	for name := range quirks {
		seen[name] = true
	}
	for name := range waits {
		seen[name] = true
	}
	for name := range seen {
		if !known[name] {
			t.Errorf("%s is no command", name)
		}
	}
}

func TestNoCommandIsWrittenTwice(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range slices.Concat(served, newer, modules) {
		if seen[c.Name] {
			t.Errorf("%s: the server has it now: strike it out by hand", c.Name)
		}
		seen[c.Name] = true
	}
}

func TestBlockingCommandsHaveATimeout(t *testing.T) {
	for c := range All() {
		if has := c.wait.unit != 0; c.flags&blocking != 0 && !has {
			t.Errorf("%s blocks, but where its time-out stands is not known", c.Name)
		}
	}
}

func TestSplittableCommandsHaveNothingButKeys(t *testing.T) {
	for c := range All() {
		if c.Split && (len(c.keys) != 1 || c.keys[0].at != 1 || c.keys[0].last != -1 || c.Arity != -2) {
			t.Errorf("%s: got keys %+v; want all arguments", c.Name, c.keys)
		}
	}
}

// TestWritesNameWhatTheyChange finds writes that would leave the mirror behind.
func TestWritesNameWhatTheyChange(t *testing.T) {
	changes := func(k keySpec) bool { return k.access != readOnly }
	for c := range All() {
		if c.Class != Keyed || c.flags&write == 0 || c.quirk == streams || c.quirk == sortStore || c.quirk == geoStore {
			continue
		}
		if !slices.ContainsFunc(c.keys, changes) {
			t.Errorf("%s writes, but none of its keys: %+v", c.Name, c.keys)
		}
	}
}
