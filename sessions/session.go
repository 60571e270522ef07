package sessions

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"time"
)

// A State says what a request's session is worth. The zero State means that no
// Middleware ran: nothing is known of the request.
type State uint8

const (
	// Anonymous: the request has no session, and that is certain.
	Anonymous State = iota + 1
	// Live: Redis has just confirmed the session.
	Live
	// Degraded: Redis is away. The session was there a short while ago, and may have
	// been logged out since in another process. It can be read, not changed.
	Degraded
)

// String names the state in lower case.
func (s State) String() string {
	return [...]string{"unknown", "anonymous", "live", "degraded"}[min(s, 3)]
}

// A Session is what a request may know of its session. It is not safe for
// concurrent use: Save changes it.
type Session struct {
	// User is the id that Start was given; "" for a guest.
	User string
	// Created and Expires, its absolute end, are by the server's clock.
	Created, Expires time.Time
	// Data are its values as JSON. Nil in a Degraded session that is known from its
	// envelope alone. Not to be changed: see Save.
	Data json.RawMessage
	// Confirmed is set by Start and Rotate: a replica, or the fall-back, has the
	// session, so that it outlives the primary; and after Rotate a replica knows that
	// the id of before is replaced. False if there is none, or if it did not confirm
	// within Options.Confirm; the session is good all the same.
	Confirmed bool

	id       hash
	version  int64
	degraded bool
	retired  bool // replaced by another id
}

// Handle names the session to people and logs, and to Revoke. It is the hash of the
// id: nobody gets into the session by it.
func (s *Session) Handle() string { return s.id.String() }

// Decode parses the values into v, as json.Unmarshal does. For a session that is
// known from its envelope alone it returns ErrUnavailable.
func (s *Session) Decode(v any) error {
	if s.Data == nil {
		return fmt.Errorf("%w: values of a session that is known from its envelope alone", ErrUnavailable)
	}
	return json.Unmarshal(s.Data, v)
}

// LogValue is the handle's beginning, which tells sessions apart.
func (s *Session) LogValue() slog.Value { return slog.StringValue(s.Handle()[:8]) }

// A record is a session as the server has it. It is never changed.
type record struct {
	user          string
	data          []byte // nil: known from an envelope alone
	version       int64
	created, ends int64 // milliseconds since 1970, by the server's clock
	retired       bool  // replaced by another id
}

func (r *record) session(id hash) *Session {
	return &Session{User: r.user, Created: time.UnixMilli(r.created).UTC(), Expires: time.UnixMilli(r.ends).UTC(),
		Data: r.data, id: id, version: r.version, retired: r.retired}
}
