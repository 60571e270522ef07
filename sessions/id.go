package sessions

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// tokenBytes makes 256 bits: nobody guesses one, however many sessions there are.
const tokenBytes = 32

// userLimit bounds a user's id, which is part of a key's name and of a cookie.
const userLimit = 256

// strictly refuses texts that differ from the one that a token was given out as but
// decode to the same bytes.
var strictly = base64.RawURLEncoding.Strict()

// A hash stands for a session's id wherever that is kept. The id cannot be found
// from it, so that who reads the server, a backup or a log cannot use a session.
type hash [sha256.Size]byte

// String is the handle of a session.
func (h hash) String() string { return base64.RawURLEncoding.EncodeToString(h[:]) }

func (h hash) key() string { return h.under("sess:{") }

// under is the key of a hash behind a prefix that ends with a brace.
func (h hash) under(prefix string) string {
	var b [64]byte
	return string(append(base64.RawURLEncoding.AppendEncode(append(b[:0], prefix...), h[:]), '}'))
}

// newToken makes an id, as it stands in the cookie, and its hash.
func newToken(name string) (string, hash) {
	var b [tokenBytes]byte
	_, _ = rand.Read(b[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(b[:]), hashOf(name, b)
}

// hashOf binds an id to the manager's name: of two managers on one Redis, neither
// takes the other's sessions.
func hashOf(name string, b [tokenBytes]byte) hash {
	text := make([]byte, 0, 64+tokenBytes)
	text = append(text, name...)
	text = append(text, 0)
	return sha256.Sum256(append(text, b[:]...))
}

// parseToken returns the hash of what a cookie holds, if it can be an id at all.
func parseToken(name, text string) (hash, bool) {
	b, ok := decode32(text)
	if !ok {
		return hash{}, false
	}
	return hashOf(name, b), true
}

// parseHandle is the inverse of hash.String.
func parseHandle(text string) (hash, bool) {
	b, ok := decode32(text)
	return b, ok
}

func decode32(text string) (b [32]byte, ok bool) {
	if len(text) != base64.RawURLEncoding.EncodedLen(len(b)) {
		return b, false
	}
	n, err := strictly.Decode(b[:], []byte(text))
	return b, err == nil && n == len(b)
}

// newNonce names one change, so that the same change is known when it comes twice.
func newNonce() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// checkUser refuses ids that cannot stand in the hash tag of a key.
func checkUser(user string) error {
	switch {
	case len(user) > userLimit:
		return fmt.Errorf("%w: it is longer than %d bytes: use a shorter one, or its hash", ErrUser, userLimit)
	case strings.ContainsAny(user, "{}"):
		return fmt.Errorf("%w: it holds a brace, which would end the hash tag of its key: use its hash", ErrUser)
	case !utf8.ValidString(user) || strings.ContainsFunc(user, unicode.IsControl):
		return fmt.Errorf("%w: it holds bytes that are no text: use its hash", ErrUser)
	}
	return nil
}
