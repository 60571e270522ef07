package keysync

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// pieceBytes and pieceLen bound what one command reads or writes of a large
// key: some tenths of a millisecond.
const (
	pieceBytes = 128 << 10
	pieceLen   = 250
)

var (
	// errChanged means that the key is no longer what it was when its copy began.
	errChanged = errors.New("the key was replaced or deleted while it was copied")
	// errRewrite means that a key cannot be mended in place.
	errRewrite = errors.New("the key must be written anew")
	// errLost means that a temporary key was not whole.
	errLost = errors.New("the temporary key has expired")
)

// A head says what a key is, without what it holds.
type head struct {
	kind   string
	length int64
	expiry int64
	size   int64
}

func (h head) exists() bool { return h.expiry != absent }

// step is how many elements make a piece.
func (h head) step() int64 {
	if h.length == 0 {
		return pieceLen
	}
	return min(pieceLen, max(10, pieceBytes/max(1, h.size/h.length)))
}

// head reads the head of a key.
func (s *Side) head(ctx context.Context, caps Capabilities, key string) (head, error) {
	flag := 0
	if caps.ExpireTime {
		flag = 1
	}
	c := &call{keys: []string{key}, argv: []any{flag}}
	s.run(ctx, caps, headScript, []*call{c})
	if c.err != nil {
		return head{}, c.err
	}
	if len(c.reply) != 4 {
		return head{}, fmt.Errorf("%w: %d parts of a head", errReply, len(c.reply))
	}
	var h head
	h.kind, _ = c.reply[0].(string)
	h.length, _ = c.reply[1].(int64)
	h.expiry, _ = c.reply[2].(int64)
	h.size, _ = c.reply[3].(int64)
	return h, nil
}

// A large is one large key at work.
type large struct {
	*job
	key    string
	a, b   head // of the two sides, when the work began
	result *Result
}

// changedTries is how often the copy of a key that is replaced meanwhile is
// begun again. After that the feed, which names it, sees to it.
const changedTries = 3

// pieces compares or copies a large key. Its error is that of Check; any other
// is the key's.
func (j *job) pieces(ctx context.Context, t task) error {
	l := &large{job: j, key: t.key, result: &j.results[t.index]}
	l.result.Large = true
	began := time.Now()
	defer func() { l.result.Took = time.Since(began) }()
	var err error
	for range changedTries {
		*l.result = Result{Key: t.key, Large: true}
		if err = l.run(ctx); isReply(err) && l.changed(ctx) {
			err = errChanged // WRONGTYPE, no such key: whatever came of it
		}
		if !errors.Is(err, errChanged) {
			break
		}
	}
	if errors.Is(err, errDiffers) {
		err = nil
		if l.result.Diff == Equal {
			l.result.Diff = ValueDiffers
		}
	}
	l.result.Err = err // even one of Check: the key may be mended in part
	if errors.Is(err, ErrDropped) {
		return err
	}
	return nil
}

// changed reports whether the key is of another kind than when work began, on
// either side.
func (l *large) changed(ctx context.Context) bool {
	a, err := l.from.head(ctx, l.fromCaps, l.key)
	if err != nil {
		return false
	}
	b, err := l.to.head(ctx, l.toCaps, l.key)
	return err == nil && (a.kind != l.a.kind || b.kind != l.b.kind)
}

func (l *large) run(ctx context.Context) (err error) {
	if l.a, err = l.from.head(ctx, l.fromCaps, l.key); err != nil {
		return err
	}
	if l.b, err = l.to.head(ctx, l.toCaps, l.key); err != nil {
		return err
	}
	switch {
	case !l.a.exists() && !l.b.exists():
		l.result.Diff = Equal
		return nil
	case !l.a.exists():
		l.result.Diff = Extra
		return l.remove(ctx)
	case l.copier() == nil, l.small(l.a) && l.small(l.b), l.a.length == 0 && l.a.kind == "string":
		return l.whole(ctx)
	case !l.b.exists():
		l.result.Diff = Missing
		return l.rewrite(ctx)
	case l.a.kind != l.b.kind:
		l.result.Diff = TypeDiffers
		return l.rewrite(ctx)
	}
	return l.mend(ctx)
}

// small reports whether the key is no longer large, or never was.
func (l *large) small(h head) bool { return h.size <= l.Large && h.length <= int64(l.LargeLen) }

// mend makes the values equal in place, or finds out whether they are, and the
// expiries. The mirror's expiry is set first as well: a key that expired in
// mid-work would come back with what was still to be mended, and nothing else.
func (l *large) mend(ctx context.Context) error {
	l.result.Diff = Equal
	set := l.b.expiry
	if l.writes && !l.sameExpiry(l.a.expiry, set) {
		if err := l.mendExpiry(ctx, l.a.expiry); err != nil {
			return err
		}
		set = l.a.expiry
	}
	err := l.mendValue(ctx)
	if errors.Is(err, errRewrite) {
		l.result.Diff = ValueDiffers
		return l.rewrite(ctx)
	}
	if err != nil {
		return err
	}
	now, err := l.from.head(ctx, l.fromCaps, l.key)
	if err != nil {
		return err
	}
	if now.kind != l.a.kind {
		return errChanged
	}
	if l.sameExpiry(now.expiry, set) {
		return nil
	}
	return l.mendExpiry(ctx, now.expiry)
}

// mendExpiry notes that the expiry differs, and sets it.
func (l *large) mendExpiry(ctx context.Context, at int64) error {
	if l.result.Diff == Equal {
		l.result.Diff = ExpiryDiffers
	}
	if !l.writes {
		return nil
	}
	words := []any{"persist", l.key}
	if at >= 0 {
		words = []any{"pexpireat", l.key, at}
	}
	l.result.Action = Repaired
	_, err := l.send(ctx, words)
	return err
}

func (l *large) mendValue(ctx context.Context) error {
	switch l.a.kind {
	case "string":
		return l.mendText(ctx)
	case "list":
		return l.mendList(ctx)
	case "stream":
		return l.mendStream(ctx)
	}
	return l.mendKeyed(ctx, keyedKinds[l.a.kind])
}

// put notes that the value differs and sends commands that mend it. If the job only
// compares that is the end of it: errDiffers.
func (l *large) put(ctx context.Context, commands ...[]any) error {
	l.result.Diff = ValueDiffers
	if !l.writes {
		return errDiffers
	}
	l.result.Action = Repaired
	_, err := l.send(ctx, commands...)
	return err
}

// send writes commands in one pipeline.
func (l *large) send(ctx context.Context, commands ...[]any) ([]any, error) {
	if err := l.allowed(); err != nil {
		return nil, err
	}
	for _, words := range commands {
		l.result.Bytes += int64(programSize(words))
	}
	return pipe(ctx, l.to.client, commands...)
}

// remove deletes the key.
func (l *large) remove(ctx context.Context) error {
	if !l.writes {
		return nil
	}
	_, err := l.send(ctx, []any{"unlink", l.key})
	l.result.Action = Deleted
	return err
}

// whole copies a key at once, whatever its size: it is of a type that does not
// come in pieces, or is small by now.
func (l *large) whole(ctx context.Context) error {
	inner := *l.job
	inner.Large, inner.LargeLen = 1<<62, 1<<31-1
	inner.results = []Result{{Key: l.key}}
	err := inner.run(ctx, []task{{key: l.key}})
	*l.result = inner.results[0]
	l.result.Large = true
	return errors.Join(err, l.result.Err)
}

// pipe sends commands in one pipeline and returns their replies, nil for
// redis.Nil.
func pipe(ctx context.Context, client redis.UniversalClient, commands ...[]any) ([]any, error) {
	p := client.Pipeline()
	cmds := make([]*redis.Cmd, len(commands))
	for i, words := range commands {
		cmds[i] = p.Do(ctx, words...)
	}
	_, _ = p.Exec(ctx) // each reply is looked at below
	replies := make([]any, len(commands))
	for i, cmd := range cmds {
		reply, err := cmd.Result()
		if err != nil && !errors.Is(err, redis.Nil) {
			return nil, fmt.Errorf("%v: %w", commands[i][0], err)
		}
		replies[i] = reply
	}
	return replies, nil
}

// ask sends one command and returns its reply.
func ask(ctx context.Context, client redis.UniversalClient, words ...any) (any, error) {
	replies, err := pipe(ctx, client, words)
	if err != nil {
		return nil, err
	}
	return replies[0], nil
}

// askTexts sends one command that answers with texts.
func askTexts(ctx context.Context, client redis.UniversalClient, words ...any) ([]string, error) {
	reply, err := ask(ctx, client, words...)
	if err != nil {
		return nil, err
	}
	return texts(reply)
}

// join makes one command of words and elements.
func join(list []string, words ...any) []any {
	for _, element := range list {
		words = append(words, element)
	}
	return words
}
