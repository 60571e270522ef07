package pubsub

import (
	"encoding/json"
	"errors"
	"time"
)

// Events, as sockets name them. A message has none.
const (
	evHello        = "hello"        // once, at the beginning: beat is how often something comes at least
	evBeat         = "beat"         // nothing else was to be sent
	evSubscribed   = "subscribed"   // what is published after pos comes
	evUnsubscribed = "unsubscribed" // nothing more comes
	evDenied       = "denied"       // reason says why the topic is not followed
	evRemoved      = "removed"      // a key is there no more
	evSnapshot     = "snapshot"     // forget what you know of the topic: all that there is follows
	evGap          = "gap"          // messages may be missing before the next
	evDegraded     = "degraded"     // what you see is age milliseconds old: Redis does not answer
	evLive         = "live"         // no more
)

// A wire is an element of the array that a socket gets as a text message.
type wire struct {
	Event  string          `json:"event,omitempty"`
	Topic  string          `json:"topic,omitempty"`
	Key    string          `json:"key,omitempty"`
	Pos    string          `json:"pos,omitempty"`
	At     int64           `json:"at,omitempty"`   // milliseconds since 1970, the server's clock
	Age    int64           `json:"age,omitempty"`  // milliseconds
	Beat   int64           `json:"beat,omitempty"` // milliseconds
	Reason string          `json:"reason,omitempty"`
	Data   json.RawMessage `json:"data,omitempty"`
}

// encode returns the JSON. Its parts are texts, numbers and JSON that was checked.
func (w wire) encode() []byte {
	b, err := json.Marshal(w)
	if err != nil {
		b, _ = json.Marshal(wire{Event: evGap, Topic: w.Topic, Pos: w.Pos})
	}
	return b
}

// A wish is what a socket sends.
type wish struct {
	Subscribe   string `json:"subscribe"`
	Since       string `json:"since"`
	Unsubscribe string `json:"unsubscribe"`
}

var errWish = errors.New("neither subscribe nor unsubscribe")

func parseWish(text []byte) (w wish, err error) {
	if err := json.Unmarshal(text, &w); err != nil {
		return w, err
	}
	if (w.Subscribe == "") == (w.Unsubscribe == "") {
		return w, errWish
	}
	return w, nil
}

// An ending is why a socket ends. Its code tells a client whether to come back: up to
// 4499, save 1008 and 1009, yes.
type ending struct {
	name string
	code int
	text string
}

// Close codes of our own.
const (
	// CloseSlow ends a socket that was behind by more than is kept, on a topic whose
	// policy is SlowClose.
	CloseSlow = 4408
	// CloseFlood ends a socket that sent too often, or did not read the answers.
	CloseFlood = 4429
	// CloseMalformed ends a socket that sent what is no wish.
	CloseMalformed = 4500
)

var (
	endLeft      = &ending{"left", 1000, ""}
	endShutdown  = &ending{"shutdown", 1001, "shutting down: come back"}
	endRevoked   = &ending{"revoked", 1008, "session has ended"}
	endHuge      = &ending{"huge", 1009, "message is too large"}
	endSlow      = &ending{"slow", CloseSlow, "too slow"}
	endFlood     = &ending{"flood", CloseFlood, "too many messages, or answers that are not read"}
	endMalformed = &ending{"malformed", CloseMalformed, "send {\"subscribe\":TOPIC} or {\"unsubscribe\":TOPIC}"}
	endGone      = &ending{"gone", 0, ""} // the connection broke, or took and said nothing

	endings = []*ending{endLeft, endShutdown, endRevoked, endHuge, endSlow, endFlood, endMalformed, endGone}
)

// A bucket lets through some messages a second, and twice as many at once.
type bucket struct {
	rate float64
	left float64
	at   time.Time
}

func newBucket(rate int) *bucket {
	return &bucket{rate: float64(rate), left: 2 * float64(rate), at: time.Now()}
}

func (b *bucket) take() bool {
	now := time.Now()
	b.left = min(b.left+now.Sub(b.at).Seconds()*b.rate, 2*b.rate)
	b.at = now
	b.left--
	return b.left >= 0
}

// limit has a handler of control frames, which are no messages, count as one.
func (b *bucket) limit(f func(string) error) func(string) error {
	return func(text string) error {
		if !b.take() {
			return errFlood
		}
		return f(text)
	}
}
