package sessions

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// An SCS is a store for github.com/alexedwards/scs: SessionManager.Store =
// manager.SCS(). It works on Sentinel, Cluster and a migrating client; tokens are
// stored hashed; a session that was deleted is not revived by a commit that comes
// later; and while Redis is away the sessions that this process has seen within
// Options.Outage are still found, and any other is ErrUnavailable, never "not found".
//
// scs has no versions, so that of two requests that commit at once the later wins,
// as with its own stores; and it does not say which commit is a login, so that none
// waits for a replica. Deletes do. Set SessionManager.ErrorFunc to answer 503 for
// ErrUnavailable.
type SCS struct {
	m      *Manager
	secret [32]byte // of this process, for the handles of AllCtx
}

// SCS returns a store on the Manager's Redis, budget, breaker and memory.
func (m *Manager) SCS() *SCS {
	s := &SCS{m: m}
	_, _ = rand.Read(s.secret[:]) // never fails
	return s
}

const (
	scsPrefix    = "sess:scs:{"
	handlePrefix = "handle."
	scsTokenMax  = 256
	stampSize    = 8 // bytes before the values: when they end, in ms since 1970
)

func scsKey(id hash) string { return id.under(scsPrefix) }

// id returns the hash of a token. A handle of AllCtx has its hash in it, and is
// signed by this process: who reads the hash from Redis cannot make one.
func (s *SCS) id(token string) (hash, bool) {
	if rest, ok := strings.CutPrefix(token, handlePrefix); ok {
		text, sum, _ := strings.Cut(rest, ".")
		id, ok := parseHandle(text)
		return id, ok && hmac.Equal([]byte(sum), []byte(s.sign(id)))
	}
	var b [scsTokenMax + 64]byte
	text := append(append(append(b[:0], "scs\x00"...), s.m.opt.Name...), 0)
	return sha256.Sum256(append(text, token...)), token != "" && len(token) <= scsTokenMax
}

func (s *SCS) handle(id hash) string { return handlePrefix + id.String() + "." + s.sign(id) }

func (s *SCS) sign(id hash) string {
	mac := hmac.New(sha256.New, s.secret[:])
	mac.Write(id[:])
	return hash(mac.Sum(nil)).String()
}

// FindCtx implements scs.CtxStore, in one round trip.
func (s *SCS) FindCtx(ctx context.Context, token string) ([]byte, bool, error) {
	id, ok := s.id(token)
	if !ok {
		return nil, false, nil
	}
	began := time.Now()
	rec, err := s.load(ctx, id)
	s.m.meter.took(opLoad, began)
	switch {
	case err == nil:
		s.m.memory.keep(id, rec, began, false)
		s.m.meter.found(fromRedis)
		return rec.data, true, nil
	case errors.Is(err, ErrNotFound):
		s.m.memory.forget(id)
		s.m.meter.found(fromNobody)
		return nil, false, nil
	}
	switch rec, at := s.m.memory.recall(id); {
	case rec == ended:
		s.m.meter.found(fromNobody)
		return nil, false, nil
	case rec != nil && s.m.fresh(rec, at):
		s.m.meter.found(fromMemory)
		return rec.data, true, nil
	}
	s.m.meter.found(fromNowhere)
	return nil, false, err
}

// buried stands for a tombstone.
var buried = &record{}

// load asks as Manager.load does: once more, of the primary, for what is not found.
func (s *SCS) load(ctx context.Context, id hash) (*record, error) {
	r, err := call(ctx, s.m.redis, s.m.redis.budget, func(ctx context.Context) (*record, error) {
		cmd := redis.NewStringCmd(ctx, "get", scsKey(id))
		_ = s.m.redis.c.Process(ctx, cmd)
		return parseSCS(cmd.Bytes())
	})
	if r == nil && err == nil {
		r, err = call(ctx, s.m.redis, s.m.redis.budget, func(ctx context.Context) (*record, error) {
			text, err := scsGetScript.Run(ctx, s.m.redis.c, []string{scsKey(id)}).Text()
			return parseSCS([]byte(text), err)
		})
	}
	if err == nil && (r == nil || r == buried) {
		err = ErrNotFound
	}
	return r, err
}

// parseSCS reads a session; nil if there is none.
func parseSCS(b []byte, err error) (*record, error) {
	switch {
	case err == nil && len(b) >= stampSize:
	case errors.Is(err, redis.Nil):
		return nil, nil
	case err == nil && len(b) == 0, redis.HasErrorPrefix(err, wrongType):
		return buried, nil
	case err == nil:
		return nil, errReply("scs")
	default:
		return nil, err
	}
	return &record{data: b[stampSize:], ends: int64(binary.BigEndian.Uint64(b))}, nil
}

// wrongType begins Redis's word for a key of another type, which a tombstone is.
const wrongType = "WRONGTYPE"

// CommitCtx implements scs.CtxStore, in one round trip without a script: SET with GET
// is refused where the key is no string. A session that was deleted meanwhile is
// ErrNotFound.
func (s *SCS) CommitCtx(ctx context.Context, token string, b []byte, expiry time.Time) (err error) {
	defer s.m.meter.done(opSave, time.Now(), &err)
	id, ok := s.id(token)
	if !ok {
		return ErrNotFound
	}
	left := time.Until(expiry)
	if left <= 0 {
		return s.DeleteCtx(ctx, token)
	}
	r := &record{ends: expiry.UnixMilli()}
	text := append(binary.BigEndian.AppendUint64(make([]byte, 0, stampSize+len(b)), uint64(r.ends)), b...)
	r.data = text[stampSize:]
	set, err := call(ctx, s.m.redis, s.m.redis.budget, func(ctx context.Context) (bool, error) {
		err := s.m.redis.c.Process(ctx, redis.NewStringCmd(ctx, "set", scsKey(id), text, "px", max(left.Milliseconds(), 1), "get"))
		if err != nil && redis.HasErrorPrefix(err, wrongType) {
			return false, nil
		}
		if errors.Is(err, redis.Nil) { // there was none before
			err = nil
		}
		return err == nil, err
	})
	if err != nil {
		return err
	}
	if !set {
		return ErrNotFound
	}
	s.m.memory.keep(id, r, time.Now(), false)
	return nil
}

// DeleteCtx implements scs.CtxStore. It waits for a replica, as far as Options.Confirm
// says.
func (s *SCS) DeleteCtx(ctx context.Context, token string) (err error) {
	defer s.m.meter.done(opLogout, time.Now(), &err)
	id, ok := s.id(token)
	if !ok {
		return nil
	}
	s.m.memory.forget(id)
	reply, confirmed, err := s.m.redis.confirmed(ctx, scsBuryScript, scsKey(id), s.m.opt.Lifetime.Milliseconds())
	if dug, _ := number(reply); err == nil && dug == 1 {
		s.m.memory.end(id)
	}
	if err == nil && !confirmed {
		s.m.meter.unconfirmed[opLogout].Inc()
	}
	return err
}

// AllCtx implements scs.IterableCtxStore, for maintenance: it walks over every key of
// every master. In the middle of a migration one that was begun a moment ago may not be
// among them: the walk is over one side, to which it is copied. Tokens are not known, so that handles stand for them, which are good
// for this store in this process alone.
func (s *SCS) AllCtx(ctx context.Context) (map[string][]byte, error) {
	all := map[string][]byte{}
	keys, err := s.keys(ctx)
	if err != nil {
		return nil, err
	}
	for _, id := range keys {
		rec, err := s.load(ctx, id)
		if errors.Is(err, ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		all[s.handle(id)] = rec.data
	}
	return all, nil
}

// Find implements scs.Store. scs calls it only where it has no context.
func (s *SCS) Find(token string) ([]byte, bool, error) { return s.FindCtx(noContext(), token) }

// Commit implements scs.Store.
func (s *SCS) Commit(token string, b []byte, expiry time.Time) error {
	return s.CommitCtx(noContext(), token, b, expiry)
}

// Delete implements scs.Store.
func (s *SCS) Delete(token string) error { return s.DeleteCtx(noContext(), token) }

// noContext is for scs.Store, whose methods have none.
func noContext() context.Context {
	return context.Background() //nolint:forbidigo // the budget bounds each call
}
