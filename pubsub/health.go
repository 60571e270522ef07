package pubsub

import "time"

// Health says whether what is published is heard. It is proven by what arrives: where
// nothing else does, by probes that the Hub publishes and hears.
type Health struct {
	// Degraded is true while something that is followed has not been heard of for
	// Options.Silence, or not been read since.
	Degraded bool `json:"degraded"`
	// Age is how long ago something was heard in the partition where that is longest.
	Age time.Duration `json:"age"`
	// Topics that are followed in this process, and its open sockets.
	Topics  int `json:"topics"`
	Sockets int `json:"sockets"`
}

// Health returns the state of what is followed now. It asks no server.
func (h *Hub) Health() (s Health) {
	for _, p := range h.parts {
		topics := p.all()
		if len(topics) == 0 {
			continue
		}
		s.Topics += len(topics)
		s.Age = max(s.Age, h.age(p))
		for _, t := range topics {
			s.Degraded = s.Degraded || t.degraded()
		}
	}
	s.Sockets = h.sockets()
	return s
}

// age is how long ago a partition was heard.
func (h *Hub) age(p *partition) time.Duration { return time.Duration(h.since() - p.heard.Load()) }

// degraded reports whether something of the topic may have been missed.
func (t *topic) degraded() bool {
	if t.part.deaf.Load() {
		return true
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return !t.fresh
}

func (h *Hub) followed() (n int) {
	for _, p := range h.parts {
		p.mu.Lock()
		n += len(p.topics)
		p.mu.Unlock()
	}
	return n
}

func (h *Hub) sockets() (n int) {
	for _, s := range h.allHandlers() {
		n += s.count()
	}
	return n
}

func (h *Hub) allHandlers() (list []*Handler) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for s := range h.handlers {
		list = append(list, s)
	}
	return list
}

// tellTrouble has sockets look whether what they show is old.
func (h *Hub) tellTrouble() {
	for _, s := range h.allHandlers() {
		s.each(func(c *socket) { c.lookAtAge() })
	}
}
