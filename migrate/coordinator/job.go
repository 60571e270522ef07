package coordinator

import (
	"context"
	"encoding/json"
	"sync"

	"github.com/transload/transload/internal/protocol"
)

// linesKept is how many lines of progress an answer holds: an asker that looks
// every 150 ms misses none.
const linesKept = 50

// A job is a verb that was asked for.
type job struct {
	verb  string
	asker string        // another process, or nothing: our own
	side  protocol.Side // on which it was asked for, by another process

	mu    sync.Mutex
	end   context.CancelCauseFunc // ends it; nil before it has begun
	ans   answer
	dirty bool // ans has changed since it was written
}

func newJob(verb, asker string) *job { return &job{verb: verb, asker: asker} }

// cancel ends a job, for a reason.
func (j *job) cancel(why error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.end != nil {
		j.end(why)
	}
}

func (j *job) done() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.ans.Done
}

// drop frees the answer of a job that is over.
func (j *job) drop() {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.ans.Done && !j.dirty {
		j.ans = answer{Done: true}
	}
}

// tell writes a job's answer as it changes, and once more at its end.
func (d *desk) tell(ctx context.Context, s protocol.Side, id string, j *job) {
	for {
		more := pause(ctx, requestEvery)
		j.mu.Lock()
		text, dirty := []byte(nil), j.dirty
		if dirty {
			j.ans.Seq++
			text, _ = json.Marshal(j.ans) // plain values
			j.dirty = false
		}
		j.mu.Unlock()
		if dirty {
			d.write(ctx, s, id, text)
		}
		if !more {
			return
		}
	}
}

func (d *desk) write(ctx context.Context, s protocol.Side, id string, text []byte) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), askFor)
	defer cancel()
	sd := d.t.sides[s]
	for tries := 0; tries < 3; tries++ {
		if sd.client.HSet(ctx, sd.store.Keys().Requests, answerField+id, text).Err() == nil {
			return
		}
		pause(ctx, requestEvery)
	}
	d.t.log.Debug("answer not written", "side", s.String())
}

// progress goes to whoever asked for what runs.
func (d *desk) progress(p Progress) {
	d.mu.Lock()
	j := d.running
	d.mu.Unlock()
	if j == nil {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.ans.Lines++
	j.ans.Progress = append(j.ans.Progress, p)
	if n := len(j.ans.Progress); n > linesKept {
		j.ans.Progress = j.ans.Progress[n-linesKept:]
	}
	j.dirty = true
}
