package migrate

import (
	"crypto/sha1" // the name that Redis gives a script, not a secret
	"encoding/hex"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"
)

// maxScripts bounds the scripts that are remembered. An app that makes up its
// scripts as it goes would fill any memory, and calls them by EVAL anyway.
const maxScripts = 1024

// scripts remembers the text of scripts that were seen, so that one can be sent
// whole to a side that has never had it.
type scripts struct {
	mu   sync.RWMutex
	text map[string]string   // by SHA-1
	seen map[string]struct{} // texts
	on   [3]loaded           // by side
}

// loaded are the scripts that were loaded through one pool.
type loaded struct {
	pool  *pool
	texts map[string]struct{}
}

// see learns from EVAL and SCRIPT LOAD.
func (s *scripts) see(name string, args []any) {
	at := 0
	switch name {
	case "eval", "eval_ro":
		at = 1
	case "script|load":
		at = 2
	}
	if at == 0 || at >= len(args) {
		return
	}
	text, ok := args[at].(string)
	if !ok {
		return
	}
	s.mu.RLock()
	_, known := s.seen[text]
	full := len(s.text) >= maxScripts
	s.mu.RUnlock()
	if known || full {
		return
	}
	sum := sha1.Sum([]byte(text))
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.text == nil {
		s.text, s.seen = map[string]string{}, map[string]struct{}{}
	}
	s.text[hex.EncodeToString(sum[:])], s.seen[text] = text, struct{}{}
}

// find returns the text of a script, by its SHA-1 in whatever case.
func (s *scripts) find(sha any) (string, bool) {
	name, ok := sha.(string)
	if !ok {
		return "", false
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	text, ok := s.text[name]
	if !ok {
		text, ok = s.text[strings.ToLower(name)]
	}
	return text, ok
}

// forget follows SCRIPT FLUSH: the app wants NOSCRIPT from now on.
func (s *scripts) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.text, s.seen, s.on = nil, nil, [3]loaded{}
}

// whole returns an EVALSHA as the EVAL that does the same, if the script's text
// is known. The reply goes into the same command.
func (s *scripts) whole(cmd redis.Cmder) (redis.Cmder, bool) {
	args := cmd.Args()
	name, ok := args[0].(string)
	if !ok || len(args) < 3 {
		return nil, false
	}
	text, ok := s.find(args[1])
	if !ok {
		return nil, false
	}
	full := make([]any, len(args))
	copy(full, args)
	full[0], full[1] = "eval", text
	if strings.HasSuffix(strings.ToLower(name), "_ro") {
		full[0] = "eval_ro"
	}
	return shaped{cmd, full}, true
}

// has reports whether a script was loaded through a pool.
func (s *scripts) has(p *pool, text string) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	on := &s.on[p.side]
	_, ok := on.texts[text]
	return ok && on.pool == p
}

// hasNow says that a script was loaded through a pool. Another pool may lead to
// another server, and begins with none.
func (s *scripts) hasNow(p *pool, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	on := &s.on[p.side]
	if on.pool != p {
		*on = loaded{p, map[string]struct{}{}}
	}
	on.texts[text] = struct{}{}
}
