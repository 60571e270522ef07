package coordinator

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

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
	over  time.Time               // when its answer was written for good; zero before
	gone  time.Time               // when its request was first seen to be off the side
	end   context.CancelCauseFunc // ends it; nil before it has begun
	ans   answer
	dirty bool // ans has changed since it was written
}

func newJob(verb, asker string) *job { return &job{verb: verb, asker: asker} }

// begin gives a job what ends it.
func (j *job) begin(end context.CancelCauseFunc) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.end = end
}

// yields reports whether a job ends in favour of one that is asked for.
func (j *job) yields(to *job) bool {
	return to.verb == giveUpVerb || to.verb == "rollback" && j.verb == "cutover"
}

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

func (j *job) ended(now time.Time) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.over = now
}

// tell writes a job's answer as it changes, and once more when it is over: its asker
// waits for that. It is written to the other side if that of the request is away, and
// tried until the coordinator ends.
func (d *desk) tell(ctx context.Context, over <-chan struct{}, id string, j *job) {
	for last, tries := false, 0; ; {
		select {
		case <-over:
			last, over = true, nil
		case <-time.After(requestEvery):
		}
		switch err := d.write(ctx, id, j); {
		case err == nil && last:
			return
		case err != nil && ctx.Err() != nil:
			if tries++; tries == 3 {
				d.t.log.Warn("answer not written", "op", j.verb, "side", j.side.String(), "err", err)
				return
			}
		}
	}
}

// write writes a job's answer if it has changed.
func (d *desk) write(ctx context.Context, id string, j *job) error {
	text := j.take()
	if text == nil {
		return nil
	}
	var err error
	for _, s := range []protocol.Side{j.side, j.side.Other()} { // its asker looks at both
		within, cancel := context.WithTimeout(context.WithoutCancel(ctx), askFor)
		sd := d.t.sides[s]
		e := sd.client.HSet(within, sd.store.Keys().Requests, answerField+id, text).Err()
		cancel()
		if e == nil {
			return nil
		}
		err = errors.Join(err, e)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.dirty = true
	return err
}

// take returns the answer for writing, or nil if it is as it was written last.
func (j *job) take() []byte {
	j.mu.Lock()
	defer j.mu.Unlock()
	if !j.dirty {
		return nil
	}
	j.ans.Seq++
	j.dirty = false
	text, _ := json.Marshal(j.ans) // plain values
	return text
}

// progress goes to whoever asked for what runs.
func (d *desk) progress(p Progress) {
	d.mu.Lock()
	j := d.running
	d.mu.Unlock()
	if j != nil {
		j.say(p)
	}
}

// say puts a line into a job's answer.
func (j *job) say(p Progress) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.ans.Lines++
	j.ans.Progress = append(j.ans.Progress, p)
	if n := len(j.ans.Progress); n > linesKept {
		j.ans.Progress = j.ans.Progress[n-linesKept:]
	}
	j.dirty = true
}
