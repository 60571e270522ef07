package topology

import (
	"cmp"
	"time"
)

const (
	// memory is for how long a sentinel's answer counts: calm ones are asked once
	// a second, and one that hangs says nothing new.
	memory = 3 * time.Second

	// headStart is by how much a replica may have turned primary before we saw
	// trouble. While all is calm nodes are asked once a second, so that a quick
	// failover may be over before the first sign of it; and a replica that turned
	// primary long before is an operator's stray one.
	headStart = 2 * time.Second

	// hintLife is for how long a sentinel's message about a failover counts. From
	// then on its answers say whether that is still so.
	hintLife = 2 * time.Second

	// probation is for how long a primary may stay unconfirmed that we took on
	// its own word and the old one's silence. The leader of a failover names it
	// within a second of the promotion, the others within two.
	probation = 10 * time.Second
)

// A scene is all that the choice of a primary depends on.
type scene struct {
	now       time.Time
	current   string    // the primary so far; empty for none yet
	epoch     uint64    // of the sentinels' latest word for current, or that it had when it was chosen
	chosen    time.Time // when current was chosen
	backed    time.Time // when a sentinel last named current, or it was chosen
	trouble   time.Time // when the trouble began; zero for none
	hint      time.Time // when a sentinel last told of a failover
	nodes     map[string]*nodeState
	sentinels map[string]*sentinelState
}

// choose returns who is the primary. The argument for each rule is in doc.go.
func (s *scene) choose() string {
	word := s.sentinelsSay()
	switch {
	case word.master == "":
	case s.current == "" && (word.agreed || s.allAsked()):
		return word.master
	case s.current == "":
		return ""
	case word.epoch > s.epoch:
		return word.master
	case word.master != s.current && s.says(word.master) == Master &&
		(s.says(s.current) == Replica || word.agreed && s.now.Sub(s.backed) > probation):
		return word.master
	}
	if heir := s.heir(); heir != "" {
		return heir
	}
	return s.current
}

// A word is what sentinels say together.
type word struct {
	master string
	epoch  uint64
	agreed bool // by more than half of them
}

// sentinelsSay returns what the sentinel with the freshest epoch says.
func (s *scene) sentinelsSay() word {
	var w word
	for _, x := range s.sentinels {
		if s.counts(x) && (w.master == "" || x.epoch > w.epoch) {
			w = word{master: x.master, epoch: x.epoch}
		}
	}
	w.agreed = s.majority(func(x *sentinelState) bool { return x.master == w.master && x.epoch == w.epoch })
	return w
}

// majority reports whether more than half of all sentinels answered lately and
// are such as f wants. How many there are is what they say themselves: one may be
// known here by two addresses, and others not at all yet.
func (s *scene) majority(f func(*sentinelState) bool) bool {
	like, all := map[string]bool{}, 1
	for _, x := range s.sentinels {
		if !s.counts(x) {
			continue
		}
		all = max(all, x.others+1)
		if f(x) {
			like[cmp.Or(x.id, x.addr)] = true
		}
	}
	return 2*len(like) > all
}

// counts reports whether a sentinel's answer is new enough.
func (s *scene) counts(x *sentinelState) bool {
	return x.master != "" && s.now.Sub(x.answered) < memory
}

// allAsked reports whether every sentinel has answered, or not in time.
func (s *scene) allAsked() bool {
	for _, x := range s.sentinels {
		if x.asked.IsZero() {
			return false
		}
	}
	return true
}

// says is what a node said of itself if it answered the latest question. What the
// current primary said before it was chosen counts no more: it may have been a
// replica until then.
func (s *scene) says(addr string) Role {
	n := s.nodes[addr]
	if n == nil || n.err != nil || addr == s.current && n.asked.Before(s.chosen) {
		return ""
	}
	return n.says
}

// heir returns the replica that has turned primary in the current one's place,
// or "".
func (s *scene) heir() string {
	var heir *nodeState
	for addr, n := range s.nodes {
		if addr == s.current || s.says(addr) != Master {
			continue
		}
		if s.follows(addr) {
			return addr
		}
		if !n.turned.IsZero() && (heir == nil || n.turned.After(heir.turned)) {
			heir = n
		}
	}
	if heir == nil || !s.leaderless() || s.trouble.IsZero() || heir.turned.Before(s.trouble.Add(-headStart)) {
		return ""
	}
	return heir.Addr
}

// follows reports whether the current primary says that it is addr's replica now.
func (s *scene) follows(addr string) bool {
	return s.says(s.current) == Replica && s.nodes[s.current].of == addr
}

// leaderless reports whether the current primary has lost its place: by its own
// word, by a sentinel's, or since it does not answer and no majority of the
// sentinels, asked since the trouble began, holds it to be up.
func (s *scene) leaderless() bool {
	if s.says(s.current) == Replica || s.underFailover() {
		return true
	}
	n := s.nodes[s.current]
	return n != nil && n.err != nil && !n.asked.Before(s.chosen) && !s.heldUp()
}

// underFailover reports whether a sentinel says that the current primary is down
// by common consent, or is being replaced.
func (s *scene) underFailover() bool {
	if s.now.Sub(s.hint) < hintLife {
		return true
	}
	for _, x := range s.sentinels {
		if s.counts(x) && x.failover && x.master == s.current {
			return true
		}
	}
	return false
}

// heldUp reports whether a majority of the sentinels that were asked since the
// trouble began sees nothing wrong with the current primary.
func (s *scene) heldUp() bool {
	return s.majority(func(x *sentinelState) bool {
		return x.master == s.current && !x.down && !x.asked.Before(s.trouble)
	})
}
