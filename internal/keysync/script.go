package keysync

import (
	"context"
	"crypto/sha1" //nolint:gosec // the name by which Redis knows a script
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"
)

//go:embed dump.lua
var dumpSource string

//go:embed typed.lua
var typedSource string

//go:embed head.lua
var headSource string

//go:embed commit.lua
var commitSource string

//go:embed pending.lua
var pendingSource string

//go:embed program.lua
var programSource string

var (
	dumpScript    = newScript(dumpSource, true)
	typedScript   = newScript(typedSource, true)
	headScript    = newScript(headSource, true)
	commitScript  = newScript(commitSource, false)
	pendingScript = newScript(pendingSource, true)
	programScript = newScript(programSource, false)
)

// A script is one that can be run on many keys in one pipeline, which
// redis.Script cannot: it has no way back from NOSCRIPT there.
type script struct {
	source, sha string
	reads       bool
}

func newScript(source string, reads bool) *script {
	sum := sha1.Sum([]byte(source)) //nolint:gosec // see the import
	return &script{source: source, sha: hex.EncodeToString(sum[:]), reads: reads}
}

// args returns the words that run the script: by name, or by its source, which
// the server then remembers.
func (s *script) args(caps Capabilities, bySource bool, keys []string, argv []any) []any {
	verb, body := "evalsha", s.sha
	if bySource {
		verb, body = "eval", s.source
	}
	if s.reads && caps.ReadOnlyScripts {
		verb += "_ro"
	}
	args := make([]any, 0, 3+len(keys)+len(argv))
	args = append(args, verb, body, len(keys))
	for _, key := range keys {
		args = append(args, key)
	}
	return append(args, argv...)
}

// A call is one run of a script. A batch of them makes one pipeline; each has
// its own reply or error.
type call struct {
	keys []string
	argv []any

	reply []any
	whole any // the reply, where it is no array
	err   error
}

// run sends the calls in one pipeline, and those whose server did not know the
// script in a second one.
func (s *Side) run(ctx context.Context, caps Capabilities, sc *script, calls []*call) {
	unknown := s.send(ctx, caps, sc, calls, false)
	if len(unknown) > 0 {
		s.send(ctx, caps, sc, unknown, true)
	}
}

// send runs the calls and returns those that met NOSCRIPT.
func (s *Side) send(ctx context.Context, caps Capabilities, sc *script, calls []*call, bySource bool) []*call {
	pipe := s.client.Pipeline()
	cmds := make([]*redis.Cmd, len(calls))
	for i, c := range calls {
		cmds[i] = pipe.Do(ctx, sc.args(caps, bySource, c.keys, c.argv)...)
	}
	_, _ = pipe.Exec(ctx) // each reply is looked at below
	var unknown []*call
	for i, c := range calls {
		var ok bool
		value, err := cmds[i].Result()
		c.err = err
		if redis.HasErrorPrefix(err, "NOSCRIPT") {
			unknown = append(unknown, c)
			continue
		}
		c.whole = value
		if c.reply, ok = value.([]any); !ok && err == nil && sc.reads {
			c.err = fmt.Errorf("%w: %T from a script", errReply, value)
		}
	}
	return unknown
}

// errReply means that a server answered in a form that it never should.
var errReply = errors.New("unexpected reply")
