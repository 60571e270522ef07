package control

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"
)

// A session is one connection to one server process, with what is known of it.
type session struct {
	conn     *redis.Conn
	keys     Keys
	runID    string // empty where the server tells none
	role     bool   // the server knows ROLE
	replicas int    // as ROLE listed them last
}

// newSession pins a connection and learns which process answers on it. A server
// without a run id or a role (miniredis) is known by its identity key instead.
func newSession(ctx context.Context, node *redis.Client, keys Keys) (*session, error) {
	s := &session{conn: node.Conn(), keys: keys}
	if err := s.learn(ctx); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *session) learn(ctx context.Context) error {
	p := s.conn.Pipeline()
	role := p.Do(ctx, "role")
	info := p.Info(ctx, "server")
	_, _ = p.Exec(ctx)
	switch err := role.Err(); {
	case err == nil:
		s.role = true
		if err := s.count(role); err != nil {
			return err
		}
	case !Lacks(err):
		return err
	}
	s.runID = infoField(info.Val(), "run_id")
	return s.load(ctx)
}

// load makes the scripts known to the server.
func (s *session) load(ctx context.Context) error {
	p := s.conn.Pipeline()
	p.ScriptLoad(ctx, changeSource)
	p.ScriptLoad(ctx, refreshSource)
	_, err := p.Exec(ctx)
	return err
}

// count takes the number of online replicas from a ROLE reply. ROLE lists a
// replica once it is online, so that one which has just connected does not make
// every WAIT fall short.
func (s *session) count(role *redis.Cmd) error {
	list, err := role.Slice()
	if err != nil || len(list) < 3 {
		return orMalformed(err)
	}
	if name, _ := list[0].(string); name != "master" {
		return fmt.Errorf("%w: its role is %v", ErrNotMaster, list[0])
	}
	replicas, _ := list[2].([]any)
	s.replicas = len(replicas)
	return nil
}

// closing ends a pipeline with what proves that the connection still speaks to
// a master and, if settle, that its replicas have what was read or written
// before. WAIT covers what this connection's earlier commands saw, which is why
// all calls share it.
func (s *session) closing(ctx context.Context, p redis.Pipeliner, settle bool) func(context.Context) (bool, error) {
	if !s.role {
		return func(context.Context) (bool, error) { return true, nil } // no role, no replicas
	}
	var wait *redis.Cmd
	if settle && s.replicas > 0 {
		wait = p.Do(ctx, "wait", s.replicas, waitFor.Milliseconds())
	}
	role := p.Do(ctx, "role")
	return func(ctx context.Context) (bool, error) {
		if err := role.Err(); err != nil {
			return false, err
		}
		before := s.replicas
		if err := s.count(role); err != nil {
			return false, err
		}
		switch {
		case !settle:
			return false, nil
		case s.replicas > before: // one has come online meanwhile, and must have it too
			n, err := s.conn.Do(ctx, "wait", s.replicas, waitFor.Milliseconds()).Int()
			return n >= s.replicas, err
		case wait == nil:
			return true, nil
		}
		n, err := wait.Int()
		return n >= s.replicas, err
	}
}

// run returns the run id of the server process, or the identity key's value
// where there is none: its going missing is a change of master.
func (s *session) run(ctx context.Context, identity string) (string, error) {
	if s.runID != "" {
		return s.runID, nil
	}
	if identity != "" {
		return identity, nil
	}
	if err := s.conn.SetNX(ctx, s.keys.Identity, rand.Text(), 0).Err(); err != nil {
		return "", err
	}
	return s.conn.Get(ctx, s.keys.Identity).Result()
}

func (s *session) close() { _ = s.conn.Close() }

func infoField(info, field string) string {
	for line := range strings.Lines(info) {
		if v, ok := strings.CutPrefix(line, field+":"); ok {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// RunID returns the run id of a node, or an empty text where it tells none.
func RunID(ctx context.Context, node redis.Cmdable) (string, error) {
	info, err := node.Info(ctx, "server").Result()
	if err != nil && !Lacks(err) && !errors.Is(err, redis.Nil) {
		return "", err
	}
	return infoField(info, "run_id"), nil
}
