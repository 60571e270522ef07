package coordinator

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/transload/transload/internal/protocol"
)

// A desk takes the requests of other processes and carries out one verb at a
// time, those of its own process among them.
type desk struct {
	t    *term
	turn chan struct{} // 1: held by the verb that runs
	wg   sync.WaitGroup

	mu      sync.Mutex
	known   map[string]*job      // by request id
	strays  map[string]time.Time // when fields were first seen that nobody here knows
	present map[*job]struct{}    // what runs or waits for its turn
	running *job                 // nil, or what has the turn
}

func newDesk(t *term) *desk {
	return &desk{t: t, turn: make(chan struct{}, 1), known: map[string]*job{}, strays: map[string]time.Time{}, present: map[*job]struct{}{}}
}

// errSuperseded ends a verb in favour of another.
var errSuperseded = errors.New("coordinator: a verb was asked for that does not wait")

// do runs a verb when those before it are over, and says so while it waits. A
// preview does not wait: it changes nothing. Nor does a rollback wait for cutovers:
// one that runs goes back to the state before its step, one that waits for its turn
// does not begin. Giving a side up ends everything: what is there needs both.
func (d *desk) do(ctx context.Context, j *job, f func(context.Context) error) error {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	j.begin(end)
	if previews[j.verb] {
		return f(ctx)
	}
	d.enter(j)
	defer d.leave(j)
	if err := d.await(ctx, j); err != nil {
		return err
	}
	defer func() { <-d.turn }()
	d.run(j)
	defer d.run(nil)
	return f(ctx)
}

// enter makes what is there already give way to a verb.
func (d *desk) enter(j *job) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for one := range d.present {
		if one.yields(j) {
			one.cancel(errSuperseded)
		}
	}
	d.present[j] = struct{}{}
}

func (d *desk) leave(j *job) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.present, j)
}

// await waits for a verb's turn.
func (d *desk) await(ctx context.Context, j *job) error {
	select {
	case d.turn <- struct{}{}:
		return nil
	default:
	}
	d.say(j, Progress{Stage: j.verb, Text: "waits for its turn: " + d.doing()})
	select {
	case d.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// doing tells people which verb runs, and for whom.
func (d *desk) doing() string {
	switch verb, asker := d.current(); {
	case verb == "":
		return "another verb is just ending"
	case asker == "":
		return verb + " is carried out"
	default:
		return verb + " is carried out for " + asker
	}
}

// say tells whoever asked for a verb how it goes.
func (d *desk) say(j *job, p Progress) {
	if j.asker == "" {
		d.t.c.opts.Progress(p)
		return
	}
	j.say(p)
}

func (d *desk) run(j *job) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.running = j
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
	d.forget(s, fields, time.Now())
	if old := d.stale(s, fields, time.Now()); len(old) > 0 {
		_ = sd.client.HDel(ask, sd.store.Keys().Requests, old...).Err() // tried again at the next look
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
		res, err := d.obey(ctx, j, r)
		j.mu.Lock()
		j.ans.Done, j.ans.Fault, j.dirty = true, faultOf(err), true
		j.ans.Result, _ = json.Marshal(res) // results are plain values
		j.mu.Unlock()
		close(over)
		wg.Wait()
		j.ended(time.Now())
	})
}

// obey carries out a verb for another process.
func (d *desk) obey(ctx context.Context, j *job, r request) (res any, err error) {
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
