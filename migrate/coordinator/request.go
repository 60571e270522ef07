package coordinator

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/control"
	"github.com/transload/transload/internal/protocol"
)

// Fields of the hash of requests. What follows the prefix is a request's id.
const (
	askField    = "ask:"
	answerField = "answer:"
	cancelField = "cancel:"
	liveField   = "live"
)

// requestEvery is how often a coordinator looks for requests, and a process that
// asked for its answer.
const requestEvery = 150 * time.Millisecond

// A request is what one process asks of the coordinator that runs. It is for
// that one alone: should both processes die before it is taken, the coordinator
// of another day must not find it and move what nobody waits for any more.
type request struct {
	Verb  string          `json:"verb"`
	To    string          `json:"to"` // the lock's holder
	Args  json.RawMessage `json:"args,omitempty"`
	Asker string          `json:"asker"` // the process that asks, for people
}

// An answer is what became of a request. Seq grows with each change.
type answer struct {
	Seq      int             `json:"seq"`
	Progress []Progress      `json:"progress,omitempty"` // the last few lines, each with its number
	Lines    int             `json:"lines"`              // how many lines there were so far
	Done     bool            `json:"done"`
	Result   json.RawMessage `json:"result,omitempty"`
	Fault    *fault          `json:"fault,omitempty"`
}

// A fault is an error on its way to another process.
type fault struct {
	Kind    string   `json:"kind"`
	Text    string   `json:"text"`
	Refusal *Refusal `json:"refusal,omitempty"`
}

// kinds of errors that a caller tells apart, by the name under which they travel.
var faultKinds = map[string]error{
	"aborted": ErrAborted, "replaced": ErrReplaced, "differ": ErrDiffer, "running": ErrRunning,
	"canceled": context.Canceled, "illegal": protocol.ErrIllegalStep,
}

func faultOf(err error) *fault {
	if err == nil {
		return nil
	}
	f := &fault{Kind: "other", Text: err.Error()}
	if r, ok := errors.AsType[*Refusal](err); ok {
		f.Kind, f.Refusal = "refused", r
		return f
	}
	for name, kind := range faultKinds {
		if errors.Is(err, kind) {
			f.Kind = name
		}
	}
	return f
}

// err makes the error again that the coordinator had.
func (f *fault) err() error {
	switch {
	case f == nil:
		return nil
	case f.Refusal != nil:
		return f.Refusal
	}
	return &relayed{text: f.Text, kind: faultKinds[f.Kind]}
}

// A relayed error was met by the coordinator that runs.
type relayed struct {
	text string
	kind error
}

func (r *relayed) Error() string { return r.text }
func (r *relayed) Unwrap() error { return r.kind }

// follow hands a verb to the coordinator that runs, and waits for its answer.
func follow[T any](ctx context.Context, c *Coordinator, verb string, args any) (out T, err error) {
	text, err := json.Marshal(args)
	if err != nil {
		return out, fmt.Errorf("coordinator: encode request: %w", err)
	}
	to, err := c.leader(ctx)
	if err != nil {
		return out, err
	}
	a := &asking{c: c, id: strings.ToLower(rand.Text()[:12]), to: to}
	if err := a.put(ctx, request{Verb: verb, To: to, Args: text, Asker: thisProcess()}); err != nil {
		return out, err
	}
	defer a.clear(ctx)
	ans, err := a.wait(ctx)
	if err != nil {
		return out, err
	}
	if len(ans.Result) > 0 {
		if err := json.Unmarshal(ans.Result, &out); err != nil {
			return out, fmt.Errorf("coordinator: answer to %s: %w", verb, err)
		}
	}
	return out, ans.Fault.err()
}

// An asking is one request under way, as its asker sees it.
type asking struct {
	c    *Coordinator
	id   string
	to   string // whom it asks
	seen int    // lines of progress handed on

	looked time.Time // last, by the wall clock: a machine that sleeps stops the other
}

// leader returns who holds the lock now: on the source, or on the target if the
// source does not say.
func (c *Coordinator) leader(ctx context.Context) (string, error) {
	var errs error
	for _, s := range protocol.Sides {
		h, err := c.holder(ctx, s)
		if err == nil && h.ID != "" {
			return h.ID, nil
		}
		errs = errors.Join(errs, err)
	}
	if errs != nil {
		return "", fmt.Errorf("coordinator: look who runs: %w", errs)
	}
	return "", fmt.Errorf("%w: the coordinator that ran has ended just now; run the command again", ErrReplaced)
}

// holder returns who holds the lock of a side. Each side has its own time: one
// that hangs must not use up the other's.
func (c *Coordinator) holder(ctx context.Context, s protocol.Side) (control.Holder, error) {
	ctx, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	return c.sides[s].store.LockHolder(ctx)
}

// put writes the request.
func (a *asking) put(ctx context.Context, r request) error {
	text, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("coordinator: encode request: %w", err)
	}
	if err := a.write(ctx, askField, string(text)); err != nil {
		return fmt.Errorf("coordinator: ask the coordinator that runs: %w", err)
	}
	return nil
}

// write writes a field to the source, or to the target if that one does not answer:
// the coordinator looks at both.
func (a *asking) write(ctx context.Context, field, text string) (err error) {
	for _, s := range protocol.Sides {
		sd := a.c.sides[s]
		within, cancel := context.WithTimeout(ctx, askFor)
		e := sd.client.HSet(within, sd.store.Keys().Requests, field+a.id, text).Err()
		cancel()
		if e == nil {
			return nil
		}
		err = errors.Join(err, e)
	}
	return err
}

// clear takes the request and its answer off again.
func (a *asking) clear(ctx context.Context) {
	for _, sd := range a.c.sides {
		if sd != nil {
			within, cancel := context.WithTimeout(context.WithoutCancel(ctx), askFor)
			_ = sd.client.HDel(within, sd.store.Keys().Requests, askField+a.id, answerField+a.id, cancelField+a.id).Err() // a rest is harmless
			cancel()
		}
	}
}

// wait follows the answer. If ctx ends, the verb is cancelled, and what it comes
// to then is waited for.
func (a *asking) wait(ctx context.Context) (answer, error) {
	w := &beats{c: a.c, of: a.to}
	patient, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	leave := ctx.Done()
	for {
		slept := a.stoodStill()
		ans, err := a.look(patient)
		if err == nil && ans.Done {
			return ans, nil
		}
		if slept > answerKept && errors.Is(err, redis.Nil) {
			return ans, fmt.Errorf("coordinator: this process stood still for %v, and answers are kept for %v; `migrate status --events` tells what became of it",
				slept.Round(time.Second), answerKept)
		}
		if err := w.look(patient); err != nil {
			if last, e := a.look(patient); e == nil && last.Done { // written right before it ended
				return last, nil
			}
			return ans, err
		}
		select {
		case <-leave:
			leave = nil
			if a.write(patient, cancelField, "1") != nil {
				return ans, context.Cause(ctx)
			}
			tm := time.AfterFunc(leaveFor, cancel)
			defer tm.Stop()
		case <-patient.Done():
			return ans, fmt.Errorf("coordinator: the coordinator does not end what was asked of it: %w", context.Cause(ctx))
		case <-time.After(requestEvery):
		}
	}
}

// stoodStill is how long it has not looked for the answer.
func (a *asking) stoodStill() (d time.Duration) {
	now := time.Now().Round(0)
	if !a.looked.IsZero() {
		d = now.Sub(a.looked)
	}
	a.looked = now
	return d
}

// look reads the answer, and hands on what it says of progress. The coordinator
// writes to either side: one may be away, at any time.
func (a *asking) look(ctx context.Context) (ans answer, err error) {
	found := false
	for _, s := range protocol.Sides {
		one, e := a.read(ctx, a.c.sides[s])
		if e == nil && (!found || one.Seq > ans.Seq) {
			ans, found = one, true
		}
		err = errors.Join(err, e)
	}
	if !found {
		return ans, err
	}
	first := ans.Lines - len(ans.Progress)
	for i, p := range ans.Progress {
		if first+i >= a.seen {
			a.c.opts.Progress(p)
		}
	}
	a.seen = max(a.seen, ans.Lines)
	return ans, nil
}

func (a *asking) read(ctx context.Context, sd *side) (ans answer, err error) {
	ctx, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	text, err := sd.client.HGet(ctx, sd.store.Keys().Requests, answerField+a.id).Result()
	if err != nil {
		return ans, err
	}
	return ans, json.Unmarshal([]byte(text), &ans)
}

// beats watches whether the coordinator that was asked still lives.
type beats struct {
	c     *Coordinator
	of    string // whose lock it must be; empty means anybody's
	clock clock
	seen  [3]sighting
}

func (b *beats) look(ctx context.Context) error {
	if b.clock.start.IsZero() {
		b.clock.start = time.Now()
	}
	alive, known := false, false
	for _, s := range protocol.Sides {
		h, err := b.c.holder(ctx, s)
		if err != nil {
			continue
		}
		known = true
		if h.ID != b.seen[s].ID || h.Beat != b.seen[s].Beat {
			// A side that names nobody may have forgotten the lock in a failover.
			if was := cmp.Or(b.seen[s].ID, b.of); was != "" && h.ID != "" && h.ID != was {
				return fmt.Errorf("%w: the coordinator that was asked has ended; see `migrate status`, and run the command again", ErrReplaced)
			}
			b.seen[s] = sighting{Holder: h, changed: b.clock.now()}
		}
		alive = alive || h.ID != "" && b.clock.now().Since(b.seen[s].changed) < protocol.SilentFor
	}
	if known && !alive {
		return fmt.Errorf("coordinator: the coordinator that was asked has ended or fallen silent; see `migrate status`, and run the command again")
	}
	return nil
}
