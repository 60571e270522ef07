package keysync

import (
	"context"
	"errors"
	"fmt"
)

// A copier writes all of a large key to a temporary one, and returns the
// length that this must have in the end.
type copier func(l *large, ctx context.Context, t *temp) (int64, error)

// copier returns how a key of that kind is copied, or nil if it can only be
// copied whole.
func (l *large) copier() copier {
	switch l.a.kind {
	case "string":
		return (*large).copyText
	case "list":
		return (*large).copyList
	case "stream":
		return (*large).copyStream
	case "hash", "set", "zset":
		return (*large).copyKeyed
	}
	return nil
}

// lengths are the commands by which a temporary key is measured.
var lengths = map[string]string{
	"string": "strlen", "list": "llen", "stream": "xlen", "hash": "hlen", "set": "scard", "zset": "zcard",
}

// A temp is a temporary key that is being filled.
type temp struct {
	*large
	name string
}

// fill sends commands to the temporary key, and puts off its expiry.
func (t *temp) fill(ctx context.Context, commands ...[]any) ([]any, error) {
	if len(commands) == 0 {
		return nil, nil
	}
	replies, err := t.send(ctx, append(commands, []any{"pexpire", t.name, tempLife.Milliseconds()})...)
	if err != nil {
		return nil, err
	}
	return replies[:len(commands)], nil
}

// rewrite copies the key to a temporary one and puts this in its place.
func (l *large) rewrite(ctx context.Context) error {
	if !l.writes {
		return nil
	}
	t := &temp{large: l, name: tempName(l.key, l.Move)}
	length, err := l.copier()(l, ctx, t)
	if err == nil {
		err = t.commit(ctx, length)
	}
	if err != nil {
		// The key expires if this does not reach it, or may not be sent.
		_, _ = l.send(context.WithoutCancel(ctx), []any{"unlink", t.name})
		return err
	}
	l.result.Action = Copied
	return nil
}

// commit renames the temporary key, if it is whole and the original still is
// of the kind that was copied.
func (t *temp) commit(ctx context.Context, length int64) error {
	now, err := t.from.head(ctx, t.fromCaps, t.key)
	if err != nil {
		return err
	}
	if now.kind != t.a.kind {
		return errChanged
	}
	if err := t.allowed(); err != nil {
		return err
	}
	c := &call{keys: []string{t.name, t.key}, argv: []any{lengths[t.a.kind], length, now.expiry}}
	t.to.run(ctx, t.toCaps, commitScript, []*call{c})
	if c.err != nil {
		return c.err
	}
	if found, _ := c.whole.(int64); found != length {
		return fmt.Errorf("%w: %d elements of %d", errLost, found, length)
	}
	return nil
}

func (l *large) copyText(ctx context.Context, t *temp) (length int64, err error) {
	for {
		text, err := ask(ctx, l.from.client, "getrange", l.key, length, length+pieceBytes-1)
		if err != nil {
			return 0, err
		}
		piece, _ := text.(string)
		if piece == "" {
			return length, l.emptied(length)
		}
		if _, err := t.fill(ctx, []any{"append", t.name, piece}); err != nil {
			return 0, err
		}
		length += int64(len(piece))
	}
}

func (l *large) copyList(ctx context.Context, t *temp) (length int64, err error) {
	for step := l.a.step(); ; {
		elements, err := askTexts(ctx, l.from.client, "lrange", l.key, length, length+step-1)
		if err != nil {
			return 0, err
		}
		if len(elements) == 0 {
			return length, l.emptied(length)
		}
		if _, err := t.fill(ctx, join(elements, "rpush", t.name)); err != nil {
			return 0, err
		}
		length += int64(len(elements))
	}
}

func (l *large) copyKeyed(ctx context.Context, t *temp) (length int64, err error) {
	k := keyedKinds[l.a.kind]
	err = l.walk(ctx, k, l.from.client, l.a.step(), func(elements []string) error {
		replies, err := t.fill(ctx, k.putting(t.name, elements))
		if err != nil {
			return err
		}
		added, _ := replies[0].(int64)
		length += added
		return nil
	})
	return length, errors.Join(err, l.emptied(length))
}

// emptied is for a key that turned out to hold nothing: it is gone, or was
// replaced (what is an empty string from the start is copied whole).
func (l *large) emptied(length int64) error {
	if length == 0 {
		return errChanged
	}
	return nil
}
