package coordinator

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/protocol"
)

// DUMP spends half its time compressing, and compresses what is unpacked a moment
// later. So a source that compresses is told not to while an empty target is
// filled, where CONFIG is allowed. Nothing else is changed by it but the size of
// what the source saves, or sends a new replica, meanwhile.
//
// It is told to again at the end of the walk. Lest a coordinator that is killed
// leave it as it is, it is written down on the source before: each coordinator puts
// back what it finds there, before anything else. A server that was started again
// has what its own file says.

const (
	compression      = "rdbcompression"
	compressionField = compression + ":" // and the server's address

	// putBackFor bounds how long is tried to put it back.
	putBackFor = 5 * time.Second
)

// uncompressed has the source's masters dump without compression until putBack is
// called.
func (t *term) uncompressed(ctx context.Context) (putBack func()) {
	src := t.sides[protocol.Source]
	err := src.client.EachMaster(ctx, func(ctx context.Context, addr string, node *redis.Client) error {
		now, err := node.ConfigGet(ctx, compression).Result()
		if err != nil || now[compression] != "yes" {
			return err
		}
		run, err := node.Info(ctx, "server").Result()
		if err != nil {
			return err
		}
		key, field := settingsKey(t.c.opts.Name), compressionField+addr
		if err := src.client.HSet(ctx, key, field, infoField(run, "run_id")).Err(); err != nil {
			return err
		}
		err = node.ConfigSet(ctx, compression, "no").Err()
		if redis.HasErrorPrefix(err, "NOPERM") { // it may be read and not set: there is nothing to put back
			return errors.Join(err, src.client.HDel(ctx, key, field).Err())
		}
		return err
	})
	if err != nil {
		t.log.Debug("the source goes on compressing", "op", "sync", "err", err)
	}
	return func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), putBackFor)
		defer cancel()
		if err := t.compressAgain(ctx); err != nil {
			t.log.Warn("the source dumps without compression yet; the next coordinator puts that back", "op", "sync", "err", err)
		}
	}
}

// compressAgain puts back what an earlier walk, or coordinator, has changed.
func (t *term) compressAgain(ctx context.Context) error {
	src, key := t.sides[protocol.Source], settingsKey(t.c.opts.Name)
	fields, err := src.client.HGetAll(ctx, key).Result()
	if err != nil {
		return fmt.Errorf("coordinator: read what is to be put back: %w", err)
	}
	for field, run := range fields {
		addr, ok := strings.CutPrefix(field, compressionField)
		if !ok {
			continue
		}
		if e := putBack(ctx, src, addr, run); e != nil {
			err = errors.Join(err, fmt.Errorf("coordinator: %s of %s: %w", compression, addr, e))
			continue
		}
		err = errors.Join(err, src.client.HDel(ctx, key, field).Err())
	}
	return err
}

func putBack(ctx context.Context, src *side, addr, run string) error {
	node, err := src.client.Node(addr)
	if err != nil {
		return err
	}
	defer node.Close()
	info, err := node.Info(ctx, "server").Result()
	if err != nil || infoField(info, "run_id") != run { // it was started again
		return err
	}
	return node.ConfigSet(ctx, compression, "yes").Err()
}
