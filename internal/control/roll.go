package control

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/protocol"
)

// Roll returns the entries of the members on this side's roll, by id. A line
// that cannot be read is an error: a member that is not counted is one that may
// write.
func (s *Store) Roll(ctx context.Context) ([]protocol.Entry, error) {
	lines, err := s.hash(ctx, s.keys.Roll)
	if err != nil {
		return nil, err
	}
	out := make([]protocol.Entry, 0, len(lines))
	for id, line := range lines {
		var e protocol.Entry
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			return nil, fmt.Errorf("control: roll of the %v: entry of %s: %w", s.side, id, err)
		}
		out = append(out, e)
	}
	slices.SortFunc(out, func(a, b protocol.Entry) int { return strings.Compare(a.ID, b.ID) })
	return out, nil
}

// Strike takes a member off the roll: it said goodbye, or it was fenced.
func (s *Store) Strike(ctx context.Context, id string) error {
	return s.node(ctx, func(c *redis.Client) error {
		p := c.Pipeline()
		p.HDel(ctx, s.keys.Roll, id)
		p.HDel(ctx, s.keys.Census, id)
		_, err := p.Exec(ctx)
		return err
	})
}

// TellCensus writes what a member's app does, as JSON.
func (s *Store) TellCensus(ctx context.Context, id string, census []byte) error {
	return s.node(ctx, func(c *redis.Client) error { return c.HSet(ctx, s.keys.Census, id, census).Err() })
}

// Census returns what the members told of their apps, by member.
func (s *Store) Census(ctx context.Context) (map[string]string, error) {
	return s.hash(ctx, s.keys.Census)
}

func (s *Store) hash(ctx context.Context, key string) (lines map[string]string, err error) {
	err = s.node(ctx, func(c *redis.Client) error {
		lines, err = c.HGetAll(ctx, key).Result()
		return err
	})
	return lines, err
}

// node runs f on the master that has the control record, off the pinned
// connection.
func (s *Store) node(ctx context.Context, f func(*redis.Client) error) error {
	node, err := s.masters.MasterFor(ctx, s.keys.Control)
	if err == nil {
		err = f(node)
	}
	if err != nil {
		return fmt.Errorf("control: %v: %w", s.side, err)
	}
	return nil
}
