package breaker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/sony/gobreaker/v2"
)

// The figures of the package's comment. With go-redis's usual 10 connections, ten
// errors are one burst of callers that a dead server has cut off.
const (
	failures = 10
	openFor  = 50 * time.Millisecond
	turnFor  = 100 * time.Millisecond
)

// ErrOpen means that a command was not sent, since those before it had no answer.
var ErrOpen = errors.New("breaker is open")

// An Error says which breaker is open. It wraps ErrOpen.
type Error struct {
	Side     string
	Workload string
	Retry    time.Time // when a command will be let through to see, at the earliest
}

// Error names side, workload and the next try.
func (e *Error) Error() string {
	return fmt.Sprintf("%v: %s does not answer for workload %s: it is tried again in %v",
		ErrOpen, e.Side, e.Workload, max(time.Until(e.Retry), 0).Round(time.Millisecond))
}

// Unwrap returns ErrOpen.
func (e *Error) Unwrap() error { return ErrOpen }

// A State is that of one workload's breaker: "closed" lets commands through,
// "open" refuses them, "half-open" has let one through to see.
type State struct {
	Side     string `json:"side"`
	Workload string `json:"workload"`
	State    string `json:"state"`
}

// A Breaker has the breakers of one side. It is safe for concurrent use.
type Breaker struct {
	order    []string
	circuits map[string]*circuit
}

// New makes closed breakers for workloads, whose names are all that there will be.
// Changes are logged: Warn when one opens, Info when it has closed.
func New(side string, workloads []string, logger *slog.Logger) *Breaker {
	b := &Breaker{order: workloads, circuits: map[string]*circuit{}}
	for _, w := range workloads {
		c := &circuit{side: side, workload: w, log: logger}
		c.renew()
		b.circuits[w] = c
	}
	return b
}

// Do runs f unless the breaker of a workload is open; then the error is an Error.
// A workload that New was not told, and a context that is over, are let through
// and not counted. So is everything by a nil Breaker.
func (b *Breaker) Do(ctx context.Context, workload string, f func() error) error {
	if b == nil || ctx.Err() != nil {
		return f()
	}
	c := b.circuits[workload]
	if c == nil {
		return f()
	}
	return c.do(f)
}

// States returns the state of every breaker, in the order of New.
func (b *Breaker) States() []State {
	if b == nil {
		return nil
	}
	states := make([]State, len(b.order))
	for i, w := range b.order {
		c := b.circuits[w]
		states[i] = State{Side: c.side, Workload: w, State: c.now.Load().State().String()}
	}
	return states
}

type two = gobreaker.TwoStepCircuitBreaker[struct{}]

// A circuit is one workload's breaker.
type circuit struct {
	side, workload string
	log            *slog.Logger
	mu             sync.Mutex // one at a time renews
	now            atomic.Pointer[two]
	calm           atomic.Bool  // closed, and the last word was an answer
	open           atomic.Bool  // or half-open: now is not closed
	retry          atomic.Int64 // when it opened last, and openFor
}

// renew puts a closed breaker in the place of the one that there is: gobreaker
// does not heed answers that come late.
func (c *circuit) renew() {
	var self *two
	self = gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		Timeout:      openFor,
		ReadyToTrip:  func(n gobreaker.Counts) bool { return n.ConsecutiveFailures >= failures },
		IsSuccessful: func(err error) bool { return verdictOf(err) == answer },
		IsExcluded:   func(err error) bool { return verdictOf(err) == nothing },
		OnStateChange: func(_ string, from, to gobreaker.State) {
			if c.now.Load() == self {
				c.changed(from, to)
			}
		},
	})
	c.now.Store(self)
	c.open.Store(false)
	c.calm.Store(true)
}

// changed is called under gobreaker's lock.
func (c *circuit) changed(from, to gobreaker.State) {
	c.open.Store(to != gobreaker.StateClosed)
	switch to {
	case gobreaker.StateClosed:
		c.tellClosed()
	case gobreaker.StateOpen:
		c.calm.Store(false)
		c.retry.Store(time.Now().Add(openFor).UnixNano())
		if from == gobreaker.StateClosed {
			c.log.Warn("breaker opened: commands fail at once until the side answers", "side", c.side, "workload", c.workload)
		}
	}
}

func (c *circuit) tellClosed() {
	c.log.Info("breaker closed: the side answers", "side", c.side, "workload", c.workload)
}

// do runs f. While all is calm there is nothing to ask gobreaker and nothing to tell
// it, as its count is nought: its lock and its clock would be a tenth of what a
// command costs its caller. An answer that meets the opening of the breaker may leave
// it calm; then the next command that has none ends that.
func (c *circuit) do(f func() error) error {
	if !c.calm.Load() {
		return c.watched(f)
	}
	err := f()
	switch verdictOf(err) {
	case silence:
		c.calm.Store(false)
		if done, refused := c.now.Load().Allow(); refused == nil {
			done(err)
		}
	case answer:
		if !c.calm.Load() { // others had none meanwhile
			c.heard()
		}
	case nothing:
	}
	return err
}

// heard counts an answer that nobody was asked for: the failures before it are in a
// row no more, and a breaker that is open closes.
func (c *circuit) heard() {
	c.calm.Store(true)
	if done, refused := c.now.Load().Allow(); refused == nil {
		done(nil)
	}
	if c.open.Load() {
		c.close()
	}
}

// watched runs f unless the breaker is open.
func (c *circuit) watched(f func() error) error {
	done, err := c.now.Load().Allow()
	if err != nil {
		return &Error{Side: c.side, Workload: c.workload, Retry: time.Unix(0, c.retry.Load())}
	}
	var turn *time.Timer
	if c.open.Load() {
		turn = time.AfterFunc(turnFor, func() { done(errTurn) })
	}
	err = f()
	heard := verdictOf(err) == answer
	if heard && !c.open.Load() {
		c.calm.Store(true)
	}
	if turn == nil || turn.Stop() {
		done(err)
	}
	if heard && c.open.Load() {
		c.close()
	}
	return err
}

// close closes a breaker that an answer did not close by itself, since it came
// late.
func (c *circuit) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open.Load() {
		c.renew()
		c.tellClosed()
	}
}

// errTurn stands for the reply of a command that has lost its turn.
var errTurn = fmt.Errorf("no reply within %v: %w", turnFor, context.DeadlineExceeded)

// A verdict is what the end of a command says of the server.
type verdict uint8

const (
	nothing verdict = iota
	answer
	silence
)

func verdictOf(err error) verdict {
	if err == nil || errors.Is(err, redis.Nil) {
		return answer
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, redis.ErrClosed) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, redis.ErrPoolTimeout) || errors.Is(err, redis.ErrPoolExhausted) {
		return nothing
	}
	if _, reply := errors.AsType[redis.Error](err); reply {
		return answer
	}
	if _, broken := errors.AsType[net.Error](err); broken || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, context.DeadlineExceeded) {
		return silence
	}
	if _, unanswered := errors.AsType[interface {
		error
		Unanswered()
	}](err); unanswered {
		return silence
	}
	return nothing
}
