package coordinator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/transload/transload/internal/protocol"
)

// linesKept is how many lines of progress an answer holds: an asker that looks
// every 150 ms misses none.
const linesKept = 50

// A desk takes the requests of other processes and carries out one verb at a
// time, those of its own process among them.
type desk struct {
	t    *term
	turn chan struct{} // 1: held by the verb that runs
	wg   sync.WaitGroup

	mu      sync.Mutex
	known   map[string]*job // by request id
	running *job            // nil, or what has the turn
}

// A job is a verb that was asked for.
type job struct {
	verb  string
	asker string // another process, or nothing: our own

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

func newDesk(t *term) *desk {
	return &desk{t: t, turn: make(chan struct{}, 1), known: map[string]*job{}}
}

// errSuperseded ends a verb in favour of another.
var errSuperseded = errors.New("coordinator: a rollback was asked for")

// do runs a verb when those before it are over. A rollback does not wait: it
// ends what runs, which goes back to the state before its step.
func (d *desk) do(ctx context.Context, j *job, f func(context.Context) error) error {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	j.mu.Lock()
	j.end = end
	j.mu.Unlock()
	if j.verb == "rollback" {
		d.mu.Lock()
		if d.running != nil && d.running.verb == "cutover" {
			d.running.cancel(errSuperseded)
		}
		d.mu.Unlock()
	}
	select {
	case d.turn <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { <-d.turn }()
	d.mu.Lock()
	d.running = j
	d.mu.Unlock()
	defer func() {
		d.mu.Lock()
		d.running = nil
		d.mu.Unlock()
	}()
	return f(ctx)
}

// serve looks for requests until ctx is done. It returns when nothing that was
// asked for is under way any more.
func (d *desk) serve(ctx context.Context) {
	defer d.wg.Wait()
	for pause(ctx, requestEvery) {
		for _, s := range protocol.Sides {
			d.look(ctx, s)
		}
	}
}

// look takes what is new on one side, and writes what is new to tell.
func (d *desk) look(ctx context.Context, s protocol.Side) {
	sd := d.t.sides[s]
	ask, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	fields, err := sd.client.HGetAll(ask, sd.store.Keys().Requests).Result()
	if err != nil {
		return // asked again in a moment
	}
	for field, text := range fields {
		switch {
		case strings.HasPrefix(field, askField):
			if _, answered := fields[answerField+field[len(askField):]]; !answered {
				d.take(ctx, s, field[len(askField):], text)
			}
		case strings.HasPrefix(field, cancelField):
			d.cancel(field[len(cancelField):])
		}
	}
}

func (d *desk) cancel(id string) {
	d.mu.Lock()
	j := d.known[id]
	d.mu.Unlock()
	if j != nil {
		j.cancel(context.Canceled)
	}
}

// take begins what one request asks for.
func (d *desk) take(ctx context.Context, s protocol.Side, id, text string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.known[id] != nil {
		return
	}
	var r request
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		r.Verb = "unreadable"
	}
	j := newJob(r.Verb, r.Asker)
	d.known[id] = j
	d.t.log.Info("asked by another process", "op", r.Verb, "by", r.Asker)
	d.wg.Go(func() {
		var wg sync.WaitGroup
		telling, stop := context.WithCancel(context.WithoutCancel(ctx))
		wg.Go(func() { d.tell(telling, s, id, j) })
		res, err := d.run(ctx, j, r)
		j.mu.Lock()
		j.ans.Done, j.ans.Fault, j.dirty = true, faultOf(err), true
		j.ans.Result, _ = json.Marshal(res) // results are plain values
		j.mu.Unlock()
		stop()
		wg.Wait()
	})
}

// run carries out a verb for another process.
func (d *desk) run(ctx context.Context, j *job, r request) (res any, err error) {
	v, ok := verbs[r.Verb]
	if !ok {
		return nil, refuse("request", "use the same version of the migrate command everywhere", "the coordinator that runs does not know %q", r.Verb)
	}
	err = d.do(ctx, j, func(ctx context.Context) error {
		res, err = v(ctx, d.t, r.Args)
		return err
	})
	return res, err
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

// current returns the verb that runs, and which other process asked for it;
// nothing if none runs.
func (d *desk) current() (verb, asker string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.running == nil {
		return "", ""
	}
	return d.running.verb, d.running.asker
}

// busy reports whether a verb runs or waits.
func (d *desk) busy() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.running != nil {
		return true
	}
	for _, j := range d.known {
		j.mu.Lock()
		done := j.ans.Done
		j.mu.Unlock()
		if !done {
			return true
		}
	}
	return false
}

// verbs are what other processes may ask of a coordinator that runs.
var verbs map[string]func(ctx context.Context, t *term, args json.RawMessage) (any, error)

func init() {
	verbs = map[string]func(ctx context.Context, t *term, args json.RawMessage) (any, error){
		"cutover":  verb((*term).cutover),
		"rollback": verb((*term).rollback),
		"finish":   verb((*term).finish),

		"preview cutover":  verb((*term).previewCutover),
		"preview rollback": verb((*term).previewRollback),
	}
}

// verb makes a method of a term one that can be asked for from afar.
func verb[A, R any](f func(*term, context.Context, A) (R, error)) func(context.Context, *term, json.RawMessage) (any, error) {
	return func(ctx context.Context, t *term, text json.RawMessage) (any, error) {
		var args A
		if err := json.Unmarshal(text, &args); err != nil {
			return nil, fmt.Errorf("coordinator: request: %w", err)
		}
		return f(t, ctx, args)
	}
}
