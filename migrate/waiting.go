package migrate

import (
	"crypto/sha256"
	"encoding/hex"
	"time"
)

// waitingHashes bounds the hashes in a Waiting.
const waitingHashes = 10

// A Waiting tells of keys of one workload that were written on the side that
// answers for them and are not known to be on the other: what would be lost with it.
// Keys are told by their hashes, since a name may be personal, or a session's id.
type Waiting struct {
	Keys   int       `json:"keys"`
	Since  time.Time `json:"since,omitzero"`   // of the one that has waited longest, by the clock of who tells it
	Hashes []string  `json:"hashes,omitempty"` // of the first of them: see HashKey
}

// Add counts a key that has waited since a time.
func (w Waiting) Add(key string, since time.Time) Waiting {
	if w.Keys == 0 || since.Before(w.Since) {
		w.Since = since.UTC()
	}
	if w.Keys++; len(w.Hashes) < waitingHashes {
		w.Hashes = append(w.Hashes, HashKey(key))
	}
	return w
}

// Join adds what another tells.
func (w Waiting) Join(o Waiting) Waiting {
	if w.Keys == 0 || o.Keys > 0 && o.Since.Before(w.Since) {
		w.Since = o.Since
	}
	w.Keys += o.Keys
	w.Hashes = append(w.Hashes, o.Hashes...)
	w.Hashes = w.Hashes[:min(len(w.Hashes), waitingHashes)]
	return w
}

// HashKey stands for a key's name where people look: the first eight digits of its
// SHA-256. Who knows a key finds it by that; of who does not, it hides the name.
func HashKey(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:4])
}
