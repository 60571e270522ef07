package pubsub

import (
	"fmt"
	"slices"
)

// A state is what Redis keeps of a topic.
type state struct {
	line   []span // the last is the present one
	seq    int64
	oldest int64 // of history
	kept   []*message
}

// parseState reads the reply of load.lua.
func parseState(reply any) (s state, err error) {
	list, _ := reply.([]any)
	if len(list) < 5 {
		return s, fmt.Errorf("%w: a topic's state of %d parts", errFrame, len(list))
	}
	epoch, ok1 := list[0].(string)
	seq, ok2 := list[1].(int64)
	run, ok3 := list[2].(string)
	past, ok4 := list[3].(string)
	oldest, ok5 := list[4].(int64)
	if !(ok1 && ok2 && ok3 && ok4 && ok5) {
		return s, fmt.Errorf("%w: a topic's state", errFrame)
	}
	s.line, s.seq, s.oldest = append(parseSpans(past), span{epoch: epoch, run: run}), seq, oldest
	for _, v := range list[5:] {
		text, _ := v.(string)
		if m, err := parseMessage(text); err == nil { // else somebody else writes there: it is missing
			s.kept = append(s.kept, m)
		}
	}
	return s, nil
}

// merge brings the topic to what Redis has. before is the number that the topic had
// when it was asked: what arrived since may be ahead of the answer. It reports whether
// something waits that the answer does not explain.
func (t *topic) merge(s state, before int64) (again bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	adopt(s.line, t.line)
	last := t.epoch()
	at := find(s.line, last)
	switch {
	case last == "":
		t.begin(s)
	case at < 0: // the key has gone meanwhile, or very many servers
		t.begin(s)
	case at == len(s.line)-1 && s.seq < before: // a server has lost what it had, and does not know
		t.fallBack(s.seq)
		t.line = s.line
		t.goOn(s)
	case at < len(s.line)-1:
		t.change(s, at)
	default:
		t.line = s.line
		t.goOn(s)
	}
	t.fresh, t.loading = true, false
	t.takeEarly()
	t.early = slices.DeleteFunc(t.early, func(m *message) bool {
		m.waits++ // a line that is not known even now: that of a server which has been replaced
		return m.waits > 1 && find(t.line, m.epoch) < 0
	})
	if !t.isLoaded() {
		close(t.loaded)
	}
	t.tell()
	return len(t.early) > 0
}

// begin takes a state as it is.
func (t *topic) begin(s state) {
	t.line, t.seq = s.line, s.oldest-1
	t.ring.clear()
	if t.latest != nil {
		t.latest = newLatest()
		t.seq = 0
	}
	t.goOn(s)
}

// change goes on with a later line than the one at a place of the state's. What this
// process has beyond the line's end was lost by the servers since.
func (t *topic) change(s state, at int) {
	end := s.line[at].end
	lost := t.seq > end
	for i := at; i < len(s.line)-1; i++ {
		lost = lost || !s.line[i].whole
	}
	t.line = s.line
	if t.latest != nil && lost {
		t.begin(s)
		return
	}
	t.ring.cut(end)
	t.seq = min(t.seq, end)
	t.goOn(s)
}

// fallBack forgets what has a number above seq: the line that it belonged to goes on
// without it.
func (t *topic) fallBack(seq int64) {
	t.seq = seq
	t.ring.cut(seq)
	if t.latest != nil {
		t.latest, t.seq = newLatest(), 0
	}
	for f := range t.follows {
		f.sent = min(f.sent, seq)
		f.missed, f.whole = true, false
	}
}

// goOn takes what the state has beyond what the topic has.
func (t *topic) goOn(s state) {
	if t.latest != nil {
		t.refresh(s)
		return
	}
	for _, m := range s.kept {
		if m.seq > t.seq {
			t.take(m)
		}
	}
	if s.seq > t.seq { // history does not reach that far, or there is none
		t.ring.clear()
		t.seq = s.seq
	}
}

// refresh takes the last values that are newer, and removes the keys that are gone.
func (t *topic) refresh(s state) {
	if s.seq < t.seq {
		return // what has arrived since it was asked for is newer
	}
	there := make(map[string]bool, len(s.kept))
	for _, m := range s.kept {
		there[m.key] = true
	}
	var gone []*message
	t.latest.after(0, func(m *message) bool {
		if !m.removed && !there[m.key] {
			gone = append(gone, m)
		}
		return true
	})
	sortBySeq(s.kept)
	for _, m := range s.kept {
		if m.seq > t.seq {
			t.latest.add(m)
		}
	}
	for _, m := range gone { // when, nobody knows any more: it is told as of now
		t.latest.add(&message{topic: m.topic, key: m.key, epoch: t.epoch(), seq: s.seq, at: m.at, removed: true})
	}
	t.seq = s.seq
}
