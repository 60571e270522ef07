package pubsub

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"time"
)

// kicks is the Hub's own topic, by which processes tell each other whose sockets are
// to be closed. Its history has those who were deaf for a moment learn of it too.
var kicks = Topic{Prefix: reserved + "kicks", Delivery: Recoverable, History: 1000}

// A kick names whose sockets are to be closed, by hashes: who reads what is published
// learns no session.
type kick struct {
	User    string `json:"user,omitempty"`
	Session string `json:"session,omitempty"`
}

func kickOf(p Peer) kick { return kick{hashOf("user", p.User), hashOf("session", p.Session)} }

func hashOf(what, s string) string {
	if s == "" {
		return ""
	}
	sum := sha256.Sum256([]byte("transload pubsub " + what + " " + s))
	return hex.EncodeToString(sum[:16])
}

// Disconnect closes the sockets of a session, in every process, with 1008: after a
// logout or a revocation. Without a Session those of a User: all that he has. Those of
// this process are closed at once. The error is ErrUnavailable when the others could
// not be told: their sockets are closed when Sockets.Valid next says so.
func (h *Hub) Disconnect(ctx context.Context, p Peer) error {
	if p == (Peer{}) {
		return errors.New("pubsub: disconnect: neither a session nor a user is named")
	}
	k := kickOf(p)
	h.kick(k)
	_, err := h.publishValue(ctx, kicks.Prefix, "", k)
	return err
}

// kick closes the sockets of this process.
func (h *Hub) kick(k kick) {
	for _, s := range h.allHandlers() {
		s.each(func(c *socket) {
			if k.Session != "" && c.who.Session == k.Session || k.Session == "" && k.User != "" && c.who.User == k.User {
				c.end(endRevoked)
			}
		})
	}
}

// followKicks closes what other processes say, until ctx is done.
func (h *Hub) followKicks(ctx context.Context) {
	for ctx.Err() == nil {
		if sub, err := h.subscribe(ctx, kicks.Prefix, ""); err == nil {
			h.obey(ctx, sub)
			_ = sub.Close()
		}
		pause(ctx, 50*time.Millisecond)
	}
}

func (h *Hub) obey(ctx context.Context, sub *Sub) {
	for {
		e, err := sub.Next(ctx)
		if err != nil {
			return
		}
		var k kick
		switch {
		case e.Kind == Gap: // somebody may have been named: Valid knows
			for _, s := range h.allHandlers() {
				s.each(func(c *socket) { c.doubtPeer() })
			}
		case json.Unmarshal(e.Data, &k) == nil:
			h.kick(k)
		}
	}
}
