package crash

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/transload/transload/internal/faultproxy"
	"github.com/transload/transload/internal/protocol"
	"github.com/transload/transload/topology"
)

// Wires lead one process to every server of both sides. They can be cut, and they
// see what the process sends, so that something is done at an exact step of a move
// without a switch in the code that makes it.
type wires struct {
	t       *testing.T
	proxies map[protocol.Side][]*faultproxy.Proxy
	env     map[string]string                  // leads a process through them
	past    map[protocol.Side]*topology.Client // leads past them
	sent    map[*faultproxy.Link][]byte        // of each link, what is no whole command yet
	held    bool                               // a hold was seen
	gone    bool                               // nothing is delivered any more
	plans   []*plan

	mu sync.Mutex // of the three above; whatever is sent waits while it is locked
}

// A plan is what is to be done at one moment.
type plan struct {
	step step
	when when
	do   func()
	done chan struct{}
	left int // commands that still pass, once the step was seen
}

// When, about a step: before the server has it; when the server has carried it
// out, and the process has no answer yet; or some commands later, in the middle of
// what comes next.
type when string

const (
	before when = "before"
	in     when = "in"
	after  when = "after"
)

// A moment is a step of a move, and when about it.
type moment struct {
	when when
	step step
}

func (x moment) String() string { return fmt.Sprintf("%s_%s", x.when, x.step) }

// whens are all of them.
var whens = []when{before, in, after}

// commandsAfter is how many commands after a step "after" is, unless the next step
// comes first.
const commandsAfter = 5

// wires lays wires from one process to every server.
func (m *migration) wires() *wires {
	m.t.Helper()
	w := &wires{t: m.t, proxies: map[protocol.Side][]*faultproxy.Proxy{}, env: map[string]string{},
		past: map[protocol.Side]*topology.Client{}, sent: map[*faultproxy.Link][]byte{}}
	for _, side := range protocol.Sides {
		w.past[side] = m.plain(side)
		var pairs []string
		for _, s := range m.places[side].servers {
			p, err := faultproxy.Start(s.Network(), s.Addr())
			if err != nil {
				m.t.Fatal(err)
			}
			m.t.Cleanup(func() { _ = p.Close() })
			p.Watch(w.see)
			w.proxies[side] = append(w.proxies[side], p)
			pairs = append(pairs, s.Addr()+"="+p.Addr())
		}
		w.env[prefixes[side]+"_ADDR_MAP"] = strings.Join(pairs, ",")
	}
	return w
}

// cut, stall and heal act on all wires to one side.
func (w *wires) cut(s protocol.Side)   { w.each(s, (*faultproxy.Proxy).Cut) }
func (w *wires) stall(s protocol.Side) { w.each(s, (*faultproxy.Proxy).Stall) }
func (w *wires) heal(s protocol.Side)  { w.each(s, (*faultproxy.Proxy).Heal) }

func (w *wires) each(s protocol.Side, f func(*faultproxy.Proxy)) {
	for _, p := range w.proxies[s] {
		f(p)
	}
}

// at has something done at a moment of a move; what the process sends waits
// meanwhile. Plans come about in the order in which they were made. done is closed
// afterwards.
func (w *wires) at(s step, wh when, do func()) (done <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	p := &plan{step: s, when: wh, do: do, done: make(chan struct{})}
	w.plans = append(w.plans, p)
	return p.done
}

// standStill stops a move at a moment until goOn is called.
func (w *wires) standStill(s step, wh when) (stands <-chan struct{}, goOn func()) {
	there, leave := make(chan struct{}), make(chan struct{})
	w.at(s, wh, func() {
		close(there)
		<-leave
	})
	goOn = sync.OnceFunc(func() { close(leave) })
	w.t.Cleanup(goOn) // before the wires are taken away
	return there, goOn
}

// die is for do: what the process sends from now on does not arrive, as if it had
// been killed at this very moment.
func (w *wires) die() { w.gone = true }

// see looks at what the process sends, and reports whether it is delivered.
func (w *wires) see(l *faultproxy.Link, chunk []byte) bool {
	w.mu.Lock()
	if w.gone {
		w.mu.Unlock()
		return false
	}
	var await func(context.Context, *wires) error
	buf := append(w.sent[l], chunk...)
	for {
		cmd, rest, ok := parse(buf)
		if !ok {
			break
		}
		buf = rest
		if f := w.pass(cmd); f != nil {
			await = f
		}
	}
	w.sent[l] = buf
	deliver := !w.gone
	if await == nil {
		w.mu.Unlock()
		return deliver
	}
	// The server has it, and its answer stays on the way until do has run. The lock is
	// handed on for so long: nothing else is sent.
	l.HoldReplies()
	go w.inStep(l, await)
	return deliver
}

// inStep waits until a step was carried out, and does what is planned for then. It
// is called with the lock, and gives it back.
func (w *wires) inStep(l *faultproxy.Link, await func(context.Context, *wires) error) {
	defer w.mu.Unlock()
	if err := await(w.t.Context(), w); err != nil {
		logLine(w.t, fmt.Sprintf("step %s was not carried out: %v", w.plans[0].step, err))
		return // the row waits for it in vain
	}
	w.act()
	if !w.gone {
		l.Release()
	}
}

// pass looks at one command. If something is planned for when it is carried out,
// it returns how to wait for that.
func (w *wires) pass(cmd []string) (await func(context.Context, *wires) error) {
	s, carried := w.recognise(cmd)
	if s == hold {
		w.held = true
	}
	if len(w.plans) == 0 {
		return nil
	}
	switch p := w.plans[0]; {
	case p.left > 0:
		if p.left--; p.left == 0 || s != "" {
			w.act()
		}
	case s != p.step:
	case p.when == before:
		w.act()
	case p.when == in:
		return carried
	case p.when == after:
		p.left = commandsAfter
	}
	return nil
}

// act carries out the first plan.
func (w *wires) act() {
	p := w.plans[0]
	w.plans = w.plans[1:]
	p.do()
	close(p.done)
}

// wait waits for a moment that must come.
func wait(t *testing.T, moment <-chan struct{}, missed string) {
	t.Helper()
	select {
	case <-moment:
	case <-time.After(within):
		t.Fatal(missed)
	}
}
