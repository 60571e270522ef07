package control

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/protocol"
)

// waitFor bounds one WAIT. The server overshoots it up to twice, and it must
// stay below every read time-out.
const waitFor = 200 * time.Millisecond

var (
	// ErrReplaced means that the coordinator's lock is held by another process.
	ErrReplaced = errors.New("control: another coordinator holds the lock")

	// ErrNotMaster means that the server which answers for the control record is
	// no master now.
	ErrNotMaster = errors.New("control: the server is not a master")
)

var (
	//go:embed change.lua
	changeSource string
	//go:embed refresh.lua
	refreshSource string

	changeScript  = redis.NewScript(changeSource)
	refreshScript = redis.NewScript(refreshSource)
)

// Masters finds the node that has a key. *topology.Client is one.
type Masters interface {
	MasterFor(ctx context.Context, key string) (*redis.Client, error)
}

// A Store is the control record of one side, with what is kept beside it. Its
// calls share one pinned connection, so that WAIT covers what they wrote, and
// are taken one at a time. It is safe for concurrent use.
type Store struct {
	masters Masters
	keys    Keys
	side    protocol.Side

	mu   sync.Mutex
	pin  *session
	shut bool
}

// A Reading is what a side answered.
type Reading struct {
	Record protocol.Record
	RunID  string
	Safe   bool   // every replica that the master lists as online has the record
	Beat   string // of a refresh: the coordinator's, which grows while it lives; empty if there is none
}

// New returns the store of one side. It dials nothing.
func New(m Masters, name string, side protocol.Side) *Store {
	return &Store{masters: m, keys: KeysOf(name), side: side}
}

// Keys returns the names of what the store keeps.
func (s *Store) Keys() Keys { return s.keys }

// Side returns which side's record it is.
func (s *Store) Side() protocol.Side { return s.side }

// Close gives the pinned connection back. The store can be used no more.
func (s *Store) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shut = true
	s.drop()
}

// Read returns the record, and with settle asks whether every replica has it.
func (s *Store) Read(ctx context.Context, settle bool) (Reading, error) {
	return s.ask(ctx, settle, func(p redis.Pipeliner) func() (string, string, error) {
		rec := p.Get(ctx, s.keys.Control)
		id := p.Get(ctx, s.keys.Identity)
		return func() (string, string, error) {
			if err := rec.Err(); err != nil && !errors.Is(err, redis.Nil) {
				return "", "", err
			}
			return rec.Val(), id.Val(), nil
		}
	})
}

// Refresh writes a member's entry and reads the record in one step; the caller's
// lease counts from before the call. With news it tells the coordinator to look
// at the roll; with settle it asks whether every replica has the record.
func (s *Store) Refresh(ctx context.Context, e protocol.Entry, news, settle bool) (Reading, error) {
	line, err := json.Marshal(e)
	if err != nil {
		return Reading{}, fmt.Errorf("control: encode entry: %w", err)
	}
	channel := ""
	if news {
		channel = s.keys.Acks
	}
	keys := []string{s.keys.Control, s.keys.Roll, s.keys.Identity, s.keys.Seen, s.keys.Lock}
	beat := ""
	r, err := s.ask(ctx, settle, func(p redis.Pipeliner) func() (string, string, error) {
		cmd := refreshScript.EvalSha(ctx, p, keys, e.ID, line, channel)
		return func() (string, string, error) {
			got, err := cmd.StringSlice()
			if err != nil || len(got) != 3 {
				return "", "", orMalformed(err)
			}
			beat = got[2]
			return got[0], got[1], nil
		}
	})
	r.Beat = beat
	return r, err
}

// Change replaces the record by compare-and-set, appends the event, nudges the
// members, and asks whether every replica has it, all in one write. What the
// Reading holds is the record afterwards: the new one if its nonce is there. An
// error means that the outcome is not known. lock names the coordinator that
// must still hold the lock; members pass none.
func (s *Store) Change(ctx context.Context, ch protocol.Change, lock string, ev Event) (Reading, error) {
	old := ""
	if !ch.Old.Empty() {
		old = ch.Old.Encode()
	}
	keys := []string{s.keys.Control, s.keys.Lock, s.keys.Events}
	replaced := false
	r, err := s.ask(ctx, true, func(p redis.Pipeliner) func() (string, string, error) {
		cmd := changeScript.EvalSha(ctx, p, keys, old, ch.New.Encode(), lock, s.keys.Nudge, ev.encode())
		id := p.Get(ctx, s.keys.Identity)
		return func() (string, string, error) {
			got, err := cmd.StringSlice()
			if err != nil || len(got) != 2 {
				return "", "", orMalformed(err)
			}
			replaced = got[0] == "lock"
			return got[1], id.Val(), nil
		}
	})
	if err == nil && replaced {
		return r, ErrReplaced
	}
	return r, err
}

// ask runs one pipeline on the pinned connection. queue adds its commands and
// returns how to read the record's text and the identity from their replies.
func (s *Store) ask(ctx context.Context, settle bool, queue func(redis.Pipeliner) func() (string, string, error)) (Reading, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, err := s.askPinned(ctx, settle, queue)
	if redis.HasErrorPrefix(err, "NOSCRIPT") {
		if err = s.pin.load(ctx); err == nil {
			r, err = s.askPinned(ctx, settle, queue)
		}
	}
	if err != nil {
		s.drop() // the next call finds the master anew
		return Reading{}, fmt.Errorf("control: %v: %w", s.side, err)
	}
	return r, nil
}

func (s *Store) askPinned(ctx context.Context, settle bool, queue func(redis.Pipeliner) func() (string, string, error)) (Reading, error) {
	if err := s.dial(ctx); err != nil {
		return Reading{}, err
	}
	p := s.pin.conn.Pipeline()
	read := queue(p)
	replies := s.pin.closing(ctx, p, settle)
	_, _ = p.Exec(ctx) // each command's own error is read below
	text, identity, err := read()
	if err != nil {
		return Reading{}, err
	}
	safe, err := replies(ctx)
	if err != nil {
		return Reading{}, err
	}
	rec, err := protocol.DecodeOf(s.side, text)
	if err != nil {
		return Reading{}, err
	}
	run, err := s.pin.run(ctx, identity)
	if err != nil {
		return Reading{}, err
	}
	return Reading{Record: rec, RunID: run, Safe: safe}, nil
}

// dial pins a connection to the master that has the control record.
func (s *Store) dial(ctx context.Context) error {
	if s.shut {
		return redis.ErrClosed
	}
	if s.pin != nil {
		return nil
	}
	node, err := s.masters.MasterFor(ctx, s.keys.Control)
	if err != nil {
		return err
	}
	pin, err := newSession(ctx, node, s.keys)
	if err != nil {
		return err
	}
	s.pin = pin
	return nil
}

func (s *Store) drop() {
	if s.pin != nil {
		s.pin.close()
		s.pin = nil
	}
}

func orMalformed(err error) error {
	if err == nil {
		return errors.New("malformed reply")
	}
	return err
}

// Check reports whether the record that the side has now is one of those that
// stand for a new connection's owner. It is asked on every new connection, on a
// connection of its own: a command before its answer could overtake a fence.
func Check(ctx context.Context, m Masters, name string, standing []protocol.Record) (stands bool, err error) {
	key := KeysOf(name).Control
	node, err := m.MasterFor(ctx, key)
	if err != nil {
		return false, err
	}
	text, err := node.Get(ctx, key).Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		return false, err
	}
	rec, err := protocol.Decode(text)
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(standing, rec.Same), nil
}

// Lacks reports whether a server does not know a command or a form of it, or
// does not allow it. go-redis takes the ERR off before it compares.
func Lacks(err error) bool {
	return redis.HasErrorPrefix(err, "unknown") || redis.HasErrorPrefix(err, "Unknown") ||
		redis.HasErrorPrefix(err, "NOPERM")
}
