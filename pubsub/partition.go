package pubsub

import (
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// reserved begins the names of the Hub's own topics.
const reserved = "transload:"

// A partition is a share of the topics: their keys and the channel on which they are
// published have one hash tag, so one server of a Cluster.
type partition struct {
	tag     string // as in live:{tag}:…
	channel string

	mu     sync.Mutex
	topics map[string]*topic
	spare  time.Time // when the last topic left

	heard   atomic.Int64 // when something was heard last, since the Hub's beginning
	replied atomic.Int64 // when a script was answered last
	deaf    atomic.Bool  // for longer than Options.Silence
	up      atomic.Bool  // has been subscribed to since it is wanted
	probing atomic.Bool
	second  atomic.Bool // of a plain pair: it is on the second side, as far as is known
}

// newPartitions makes n partitions, whose slots are as far apart as can be: each has
// its own n-th of all slots, so that the servers of a Cluster have equal shares.
func newPartitions(name string, n int) (list []*partition) {
	for i := range n {
		p := &partition{topics: map[string]*topic{}}
		for try := 0; ; try++ {
			p.tag = fmt.Sprintf("%s.%d.%d.%s", name, n, i, strconv.FormatInt(int64(try), 36))
			if slotOf(p.tag)*n/slots == i {
				break
			}
		}
		p.channel = "live:{" + p.tag + "}"
		list = append(list, p)
	}
	return list
}

const slots = 16384

// slotOf is the hash slot of a tag: CRC16 (XMODEM) modulo the number of slots.
func slotOf(tag string) int {
	crc := uint16(0)
	for i := range len(tag) {
		crc ^= uint16(tag[i]) << 8
		for range 8 {
			if crc&0x8000 != 0 {
				crc = crc<<1 ^ 0x1021
			} else {
				crc <<= 1
			}
		}
	}
	return int(crc) % slots
}

// partOf returns the partition of a topic, by FNV-1a: another way of counting would
// need no other server, so it must not change.
func (h *Hub) partOf(topic string) *partition {
	sum := uint32(2166136261)
	for i := range len(topic) {
		sum = (sum ^ uint32(topic[i])) * 16777619
	}
	return h.parts[sum%uint32(len(h.parts))]
}

func (p *partition) key(topic string) string { return p.channel + ":t:" + topic }

// find returns a topic that is followed, or nil.
func (p *partition) find(name string) *topic {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.topics[name]
}

// hold returns a topic for one more who follows it, and whether he is the first in
// the topic, and in the partition.
func (p *partition) hold(name string, policy *Topic) (t *topic, first, woken bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	t = p.topics[name]
	if t == nil {
		t = newTopic(name, p.key(name), policy, p)
		woken = len(p.topics) == 0
		p.topics[name] = t
		first = true
	}
	t.refs++
	return t, first, woken
}

// release is the end of a hold.
func (p *partition) release(t *topic) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if t.refs--; t.refs > 0 {
		return
	}
	delete(p.topics, t.name)
	if len(p.topics) == 0 {
		p.spare = time.Now()
	}
}

// linger is how long a partition is listened to after its last topic has left: who
// changes pages comes back.
const linger = 10 * time.Second

// wanted reports whether the partition is to be listened to.
func (p *partition) wanted() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.topics) > 0 || !p.spare.IsZero() && time.Since(p.spare) < linger
}

// all returns the topics that are followed.
func (p *partition) all() (list []*topic) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, t := range p.topics {
		list = append(list, t)
	}
	return list
}
