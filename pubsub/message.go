package pubsub

import (
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A message is one that was published, as this process has it: once, for all who
// follow its topic.
type message struct {
	topic, key string
	data       string // JSON; "" when the key was removed
	epoch      string
	seq        int64
	at         int64 // milliseconds, the server's clock
	removed    bool
	size       int // of its frame
	waits      int // loads that it has waited for, while it was early

	once sync.Once
	text []byte
}

// errFrame means that something else publishes on our channels.
var errFrame = errors.New("not a frame of this package")

// parseMessage reads what publish.lua writes: a line of words, of which the last two
// are the lengths of topic and key, then topic, key and value.
func parseMessage(frame string) (*message, error) {
	head, body, ok := strings.Cut(frame, "\n")
	words := strings.Fields(head)
	if !ok || len(words) != 7 || words[0] != "m" {
		return nil, errFrame
	}
	var n [4]int64
	for i := range n {
		v, err := strconv.ParseInt(words[3+i], 10, 64)
		if err != nil || v < 0 {
			return nil, errFrame
		}
		n[i] = v
	}
	seq, at, topic, key := n[0], n[1], n[2], n[3]
	if seq < 1 || topic > int64(len(body)) || key > int64(len(body))-topic {
		return nil, errFrame
	}
	m := &message{topic: body[:topic], key: body[topic : topic+key], data: body[topic+key:], epoch: words[2], seq: seq, at: at,
		removed: words[1] == "d", size: len(frame)}
	if !m.removed && !json.Valid([]byte(m.data)) {
		return nil, errFrame // it would break the JSON of everything that is sent with it
	}
	return m, nil
}

// position is how subscribers name a message, or the place after it.
func position(epoch string, seq int64) string { return epoch + "." + strconv.FormatInt(seq, 10) }

// parsePosition reads what position writes.
func parsePosition(pos string) (epoch string, seq int64, ok bool) {
	epoch, number, ok := strings.Cut(pos, ".")
	seq, err := strconv.ParseInt(number, 10, 64)
	return epoch, seq, ok && err == nil && seq >= 0 && epoch != "" && len(pos) < 64
}

// json returns the message as sockets get it.
func (m *message) json() []byte {
	m.once.Do(func() {
		w := wire{Topic: m.topic, Key: m.key, Pos: position(m.epoch, m.seq), At: m.at, Data: json.RawMessage(m.data)}
		if m.removed {
			w.Event, w.Data = evRemoved, nil
		}
		m.text = w.encode()
	})
	return m.text
}

// event returns the message as Go subscribers get it.
func (m *message) event() Event {
	e := Event{Kind: Published, Topic: m.topic, Key: m.key, Pos: position(m.epoch, m.seq), At: time.UnixMilli(m.at), Data: json.RawMessage(m.data)}
	if m.removed {
		e.Kind, e.Data = Removed, nil
	}
	return e
}
