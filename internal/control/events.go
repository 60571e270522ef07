package control

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// An Event is one line of the audit: who did what, when and why, with figures.
type Event struct {
	At      time.Time         `json:"at,omitzero"` // by the server's clock; set by Events
	Who     string            `json:"who"`
	What    string            `json:"what"`
	Why     string            `json:"why,omitempty"`
	Figures map[string]string `json:"figures,omitempty"`
}

func (e Event) encode() string {
	b, err := json.Marshal(e)
	if err != nil { // strings and a map of them
		return "{}"
	}
	return string(b)
}

// Note appends an event that changes no record.
func (s *Store) Note(ctx context.Context, e Event) error {
	return s.node(ctx, func(c *redis.Client) error {
		return c.XAdd(ctx, &redis.XAddArgs{Stream: s.keys.Events, MaxLen: 10000, Approx: true,
			Values: []any{"event", e.encode()}}).Err()
	})
}

// Events returns the newest n events, oldest first.
func (s *Store) Events(ctx context.Context, n int64) (out []Event, err error) {
	err = s.node(ctx, func(c *redis.Client) error {
		msgs, err := c.XRevRangeN(ctx, s.keys.Events, "+", "-", n).Result()
		if err != nil {
			return err
		}
		out = make([]Event, len(msgs))
		for i, m := range msgs {
			text, _ := m.Values["event"].(string)
			ev := Event{What: "unreadable"}
			_ = json.Unmarshal([]byte(text), &ev) // a line of another version is shown as unreadable
			ms, _, _ := strings.Cut(m.ID, "-")
			if at, err := strconv.ParseInt(ms, 10, 64); err == nil {
				ev.At = time.UnixMilli(at).UTC()
			}
			out[len(msgs)-1-i] = ev
		}
		return nil
	})
	return out, err
}
