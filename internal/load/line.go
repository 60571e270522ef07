package load

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"time"
)

// What an entry of a journal is about.
const (
	register = "register"
	counter  = "counter"
	element  = "element"
	push     = "push"
	pop      = "pop"
	read     = "read"
	shown    = "error"
	slow     = "slow"
)

// How far a write has come. It is noted before it is sent, so that one whose
// answer never came, or whose member was killed, is known to be open.
const (
	tried  = ""
	done   = "done"
	undone = "undone" // it is known to have changed nothing
)

// A line is one entry of a journal.
type line struct {
	What string  `json:"w"`
	Far  string  `json:"f,omitempty"`
	Key  string  `json:"k,omitempty"`
	El   string  `json:"e,omitempty"` // an element, a task, or the text of an error
	Kind string  `json:"t,omitempty"` // of a collection
	N    int64   `json:"n,omitempty"` // a register's value; of a read, 1 if it was stale
	MS   float64 `json:"m,omitempty"` // how long the slowest write took
}

func lineOf(what, key string) line { return line{What: what, Key: key} }

func (l line) as(far string) line {
	l.Far = far
	return l
}

// note enters what has happened.
func (j *Journal) note(list ...line) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, l := range list {
		j.enter(l)
		j.write(l)
	}
}

// took notes how long a write took, if none took longer.
func (j *Journal) took(d time.Duration) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if l := (line{What: slow, MS: float64(d) / 1e6}); l.MS > j.LongestMS {
		j.enter(l)
		j.write(l)
	}
}

func (j *Journal) enter(l line) {
	if l.Far == done {
		j.Acked++
	}
	switch l.What {
	case register:
		reg := entry(j.Registers, l.Key)
		if l.Far == done {
			reg.Acked = l.N
			return
		}
		reg.Tried = l.N
	case counter:
		entry(j.Counters, l.Key).step(l.Far)
	case element:
		c := entry(j.Collections, l.Key)
		c.Kind = l.Kind
		move(&c.Unknown, &c.Acked, l)
	case push:
		q := entry(j.Queues, l.Key)
		move(&q.Unknown, &q.Pushed, l)
	case pop:
		entry(j.Queues, l.Key).pop(l)
	case read:
		j.Reads++
		j.Stale += l.N
	case shown:
		j.Errors[l.El]++
	case slow:
		j.LongestMS = l.MS
	}
}

func (c *Counter) step(far string) {
	switch far {
	case tried:
		c.Unknown++
	case done:
		c.Acked++
		c.Unknown--
	case undone:
		c.Unknown--
	}
}

func (q *Queue) pop(l line) {
	if l.Far == tried {
		q.PopsUnknown++
		return
	}
	q.PopsUnknown--
	if l.Far == done {
		q.Popped = append(q.Popped, l.El)
	}
}

// move keeps an element with those that are open, until it is done.
func move(open, acked *[]string, l line) {
	if l.Far == tried {
		*open = append(*open, l.El)
		return
	}
	*acked = append(*acked, l.El)
	if i := slices.Index(*open, l.El); i >= 0 {
		*open = slices.Delete(*open, i, i+1)
	}
}

// Create returns an empty journal that is written to a file entry by entry, before
// the member goes on: it outlives the member, also one that is killed with -9. An
// existing file is replaced.
func Create(path, member string) (*Journal, error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, fmt.Errorf("load: create journal: %w", err)
	}
	j := NewJournal(member)
	j.file = f
	return j, nil
}

// write adds an entry to the file, in one piece.
func (j *Journal) write(l line) {
	if j.file == nil {
		return
	}
	b, err := json.Marshal(l)
	if err == nil {
		_, err = j.file.Write(append(b, '\n'))
	}
	if j.err == nil {
		j.err = err
	}
}

// Close ends the file of a journal from Create. Its error means that entries are
// missing there.
func (j *Journal) Close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.file.Close(); j.err == nil {
		j.err = err
	}
	j.file = nil
	if j.err != nil {
		return fmt.Errorf("load: write journal: %w", j.err)
	}
	return nil
}

// Open reads the file of a journal from Create. The member may have been killed:
// an entry that was cut off in the middle is as good as none.
func Open(path string) (*Journal, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("load: open journal: %w", err)
	}
	defer f.Close()
	j := NewJournal("")
	lines := bufio.NewReader(f)
	for {
		text, err := lines.ReadBytes('\n')
		if err != nil {
			return j, nil //nolint:nilerr // the end, maybe in the middle of a line
		}
		var l line
		if err := json.Unmarshal(text, &l); err != nil {
			return nil, fmt.Errorf("load: open journal: %w", err)
		}
		j.enter(l)
	}
}
