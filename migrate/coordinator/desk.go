package coordinator

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"

	"github.com/transload/transload/internal/protocol"
)

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

func newDesk(t *term) *desk {
	return &desk{t: t, turn: make(chan struct{}, 1), known: map[string]*job{}}
}

// errSuperseded ends a verb in favour of another.
var errSuperseded = errors.New("coordinator: a verb was asked for that does not wait")

// do runs a verb when those before it are over. A rollback does not wait: it
// ends a cutover that runs, which goes back to the state before its step. Nor does
// giving a side up: what runs needs both.
func (d *desk) do(ctx context.Context, j *job, f func(context.Context) error) error {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	j.mu.Lock()
	j.end = end
	j.mu.Unlock()
	d.mu.Lock()
	if r := d.running; r != nil && (j.verb == giveUpVerb || j.verb == "rollback" && r.verb == "cutover") {
		r.cancel(errSuperseded)
	}
	d.mu.Unlock()
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
	d.forget(s, fields)
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

// forget drops the answers that their askers have taken off the side. The ids are
// kept: a side that fails over may bring back a request that was carried out.
func (d *desk) forget(s protocol.Side, fields map[string]string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for id, j := range d.known {
		if _, asked := fields[askField+id]; !asked && j.side == s {
			j.drop()
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
		r.Verb, r.To = "unreadable", d.t.id
	}
	if r.To != d.t.id {
		return // of an earlier coordinator, and nobody waits for it
	}
	j := newJob(r.Verb, r.Asker)
	j.side = s
	d.known[id] = j
	d.t.log.Info("asked by another process", "op", r.Verb, "by", r.Asker)
	d.wg.Go(func() {
		var wg sync.WaitGroup
		over := make(chan struct{})
		wg.Go(func() { d.tell(ctx, over, id, j) })
		res, err := d.run(ctx, j, r)
		j.mu.Lock()
		j.ans.Done, j.ans.Fault, j.dirty = true, faultOf(err), true
		j.ans.Result, _ = json.Marshal(res) // results are plain values
		j.mu.Unlock()
		close(over)
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
		if !j.done() {
			return true
		}
	}
	return false
}
