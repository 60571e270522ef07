package keysync

import (
	"crypto/rand"
	"strconv"
	"strings"
	"time"

	"github.com/transload/transload/internal/command"
)

const tempPrefix = "transload:"

// tempLife is how long a temporary key outlives the last piece written to it.
// It is longer than any pause that its writer's lease survives.
const tempLife = 10 * time.Minute

// IsTemp reports whether name is that of a temporary key of a copy by pieces,
// which a walk over a side's keys must pass over: it is whole only when it is
// renamed, and expires by itself if that never happens.
func IsTemp(name string) bool {
	rest, ok := strings.CutPrefix(name, tempPrefix+"{")
	return ok && strings.Contains(rest, "}tmp:")
}

// tempName returns a new name in the slot of key. It names the move, so that
// an operator sees whose it is, and no two copies ever share one: a late piece
// of an earlier copy must not land in a later one.
func tempName(key, move string) string {
	return tempPrefix + "{" + slotTag(key) + "}tmp:" + move + ":" + rand.Text()
}

// slotTag returns a text that, between braces, hashes to the slot of key: the
// part of the key that is hashed, or, where that holds a brace which would end
// the tag too early, or nothing, a number of the same slot.
func slotTag(key string) string {
	tag := key
	if i := strings.IndexByte(key, '{'); i >= 0 {
		if n := strings.IndexByte(key[i+1:], '}'); n > 0 {
			tag = key[i+1 : i+1+n]
		}
	}
	if tag != "" && !strings.Contains(tag, "}") {
		return tag
	}
	return tagOf(command.Slot(key))
}

// tagOf returns a number that hashes to slot. It takes some ten thousand
// tries, and few keys need it.
func tagOf(slot uint16) string {
	for i := 0; ; i++ {
		if tag := strconv.Itoa(i); command.Slot(tag) == slot {
			return tag
		}
	}
}
