package coordinator

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/control"
	"github.com/transload/transload/internal/protocol"
)

// A GiveUpRequest names the side that is gone.
type GiveUpRequest struct {
	Lost protocol.Side `json:"lost"`
}

// A GiveUpReport tells what giving a side up means, or meant.
type GiveUpReport struct {
	Lost     protocol.Side  `json:"lost"`
	Phase    protocol.Phase `json:"phase"`
	Gates    []Gate         `json:"gates,omitempty"`
	Taken    bool           `json:"taken"` // the other side answers for every key now
	Risk     Risk           `json:"may_be_lost"`
	Unfenced []string       `json:"unfenced,omitempty"` // members that were silent, on a side that lets nobody be fenced
}

// Err returns the refusal that giving up would meet now, or nil.
func (r GiveUpReport) Err() error { return shut(r.Gates) }

// GiveUp lets the other side answer for everything without the one that is lost:
// nothing can be proven, and what only the lost side had is gone. It refuses while
// that side answers, to the coordinator or to any member that tells so. An
// ErrAborted means that it was begun and waived.
func (c *Coordinator) GiveUp(ctx context.Context, req GiveUpRequest) (res GiveUpReport, err error) {
	if res.Lost = req.Lost; req.Lost != protocol.Source && req.Lost != protocol.Target {
		return res, fmt.Errorf("%w: Lost: want source or target", ErrOption)
	}
	err = c.leading(ctx, giveUpVerb, func(ctx context.Context, t *term) error {
		return t.desk.do(ctx, newJob(giveUpVerb, ""), func(ctx context.Context) error {
			res, err = t.giveUp(ctx, req)
			return err
		})
	}, req.Lost.Other())
	if errors.Is(err, ErrRunning) {
		c.report(giveUpVerb, "handed to the coordinator that runs")
		return follow[GiveUpReport](ctx, c, giveUpVerb, req)
	}
	return res, err
}

const giveUpVerb = "give up"

// PreviewGiveUp tells what giving a side up would lose, and what stands in its
// way. It changes nothing.
func (c *Coordinator) PreviewGiveUp(ctx context.Context, req GiveUpRequest) (GiveUpReport, error) {
	return c.lookAtLoss(ctx, nil, req.Lost)
}

// lookAtLoss finds out whether a side may be given up, and what is lost by it.
func (c *Coordinator) lookAtLoss(ctx context.Context, t *term, lost protocol.Side) (res GiveUpReport, err error) {
	res.Lost = lost
	living := c.sides[lost.Other()]
	ask, cancel := context.WithTimeout(ctx, 2*askFor)
	defer cancel()
	r, err := living.store.Read(ask, false)
	if err != nil {
		return res, fmt.Errorf("coordinator: the %v is to take over, and does not answer either: %w", living.Side, err)
	}
	roll, err := living.store.Roll(ask)
	if err != nil {
		return res, fmt.Errorf("coordinator: %w", err)
	}
	res.Phase = r.Record.Phase
	res.Risk = c.riskOf(ask, t, living, roll)
	b := &bench{c: c}
	b.givingUpGates(r.Record, lost, roll, c.answers(ctx, lost), res.Risk)
	res.Gates = b.gates
	return res, nil
}

// answerFor bounds how long the lost side is waited for at each look.
const answerFor = time.Second

// answers tells how a side answers that is said to be lost, or "" if it does not.
// A server that refuses answers: it is there, or about to be. A cluster that is
// down does not: nobody can get a lease from it.
func (c *Coordinator) answers(ctx context.Context, s protocol.Side) string {
	ctx, cancel := context.WithTimeout(ctx, answerFor)
	defer cancel()
	_, err := c.sides[s].store.Read(ctx, false)
	switch {
	case err == nil:
		return "it answers"
	case redis.IsClusterDownError(err) || redis.IsMasterDownError(err):
		return ""
	case isReply(err) || errors.Is(err, control.ErrNotMaster) || errors.Is(err, protocol.ErrFormat) || errors.Is(err, protocol.ErrOtherSide):
		return "it answers: " + err.Error()
	}
	return ""
}

// givingUpGates judge whether a side may be given up.
func (b *bench) givingUpGates(living protocol.Record, lost protocol.Side, roll []protocol.Entry, answer string, risk Risk) {
	owns := false
	for _, cut := range living.Cuts {
		owns = owns || lost == protocol.Target && cut > 0 || lost == protocol.Source && cut < protocol.Slots
	}
	verb := map[protocol.Side]string{protocol.Source: "migrate cutover", protocol.Target: "migrate rollback"}[lost]
	b.judge("phase", living.Phase.Leased() && owns, Refused, "", "nothing is to be taken from it; docs/emergency.md tells what to do about it",
		"the migration is in %v, by the record of the %v", living.Phase, living.Side)
	b.judge(lost.String(), answer == "", Refused, "", "use `"+verb+"`, which loses nothing; if the app cannot reach the "+lost.String()+", shut it down first",
		"%s", orText(answer, "it does not answer"))
	b.judge("members", len(roll) > 0 || b.c.opts.NoMembers, Refused, "at least one", "see that the app runs, or say --no-members",
		"%d on the roll of the %v", len(roll), living.Side)
	b.judge("what may be lost", risk.None(), Warn, "", "docs/emergency.md tells how to judge it", "%s", risk)
}

func orText(text, or string) string {
	if text == "" {
		return or
	}
	return text
}

// giveUp has the living side take all.
func (t *term) giveUp(ctx context.Context, req GiveUpRequest) (res GiveUpReport, err error) {
	if res, err = t.c.lookAtLoss(ctx, t, req.Lost); err != nil {
		return res, err
	}
	if err := res.Err(); err != nil {
		return res, err
	}
	g := &givingUp{t: t, lost: req.Lost, living: t.sides[req.Lost.Other()], id: strings.ToLower(rand.Text()[:12])}
	if err := g.clear(ctx); err != nil {
		return res, err
	}
	defer g.resume()
	g.claimer = protocol.NewClaimer(g.id, g.lost, g.living.caps.Fence(), t.now())
	for done := false; !done; {
		if done, err = g.look(ctx, &res); err != nil {
			g.waive(ctx)
			return res, err
		}
		if !done && !pause(ctx, lookEvery) {
			g.waive(ctx)
			return res, fmt.Errorf("%w: it was stopped: %w", ErrAborted, context.Cause(ctx))
		}
	}
	g.obeyed(ctx)
	return res, nil
}

// givingUp carries out a claim.
type givingUp struct {
	t       *term
	lost    protocol.Side
	living  *side
	id      string
	claimer *protocol.Claimer
	staked  bool
	paused  bool      // the sync is held off
	tried   time.Time // when its copies were first asked to end
	said    string
}

// clear takes what an earlier coordinator has left on the living side out of the
// way: its claim, and a move that this side gives.
func (g *givingUp) clear(ctx context.Context) error {
	for range 3 {
		r, err := g.read(ctx)
		if err != nil {
			return err
		}
		rec := r.Record
		mv := rec.Move
		var next protocol.Record
		switch {
		case rec.Claim != "":
			next, err = rec.Waive(g.stamp(rec))
		case mv != nil && mv.From == rec.Side && (mv.Stage == protocol.Prepared || mv.Stage == protocol.Held):
			next, err = rec.Abort(mv.ID, g.stamp(rec))
		default:
			return nil
		}
		if err != nil {
			return fmt.Errorf("coordinator: %w", err)
		}
		if _, err := g.t.change(ctx, protocol.Change{Side: rec.Side, Old: rec, New: next}, "left by an earlier coordinator"); err != nil {
			return err
		}
	}
	return fmt.Errorf("coordinator: the control record of the %v changes all the time", g.living.Side)
}

func (g *givingUp) read(ctx context.Context) (control.Reading, error) {
	ctx, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	r, err := g.living.store.Read(ctx, true)
	if err != nil {
		return r, fmt.Errorf("coordinator: %w", err)
	}
	g.t.learn(g.living.Side, r)
	return r, nil
}

func (g *givingUp) stamp(rec protocol.Record) protocol.Stamp {
	return protocol.Stamp{Epoch: protocol.NextEpoch(rec, g.t.known()[g.lost].Record), Writer: g.t.id, Nonce: rand.Text()}
}

// look takes one look and does what the claimer wants. It reports whether all is
// taken.
func (g *givingUp) look(ctx context.Context, res *GiveUpReport) (bool, error) {
	l := protocol.ClaimLook{Asked: g.t.now()}
	l.Answered = g.t.c.answers(ctx, g.lost) != ""
	r, err := g.read(ctx)
	if err != nil {
		return false, err
	}
	if l.Roll, err = g.living.store.Roll(ctx); err != nil {
		return false, fmt.Errorf("coordinator: %w", err)
	}
	l.Record, l.RunID, l.Safe = r.Record, r.RunID, r.Safe
	step := g.claimer.Look(l, g.t.now())
	if step.Why != "" && step.Why != g.said {
		g.said = step.Why
		g.t.c.report(giveUpVerb, "%s", step.Why)
	}
	switch step.Do {
	case protocol.ClaimStake:
		return false, g.stake(ctx, r.Record)
	case protocol.ClaimFence:
		g.fence(ctx, step.Members)
	case protocol.ClaimTake:
		res.Risk, res.Unfenced = g.t.c.riskOf(ctx, g.t, g.living, l.Roll), g.claimer.Unfenced()
		if err := g.take(ctx, r.Record, res.Risk); err != nil {
			return false, err
		}
		res.Taken, res.Phase = true, g.t.known()[g.living.Side].Record.Phase
		return true, nil
	case protocol.ClaimEnd:
		if g.staked {
			return false, fmt.Errorf("%w: %s", ErrAborted, step.Why)
		}
		return false, refuse(g.lost.String(), "a side that somebody reaches is not lost: shut it down, or move as usual", "%s", step.Why)
	}
	return false, nil
}

// endFor bounds how long copies of our own may take to end: those that wait for the
// lost side do so by the time-outs of their connections.
const endFor = 30 * time.Second

// stake writes the claim. Copies of our own end before; if they do not yet, it is
// tried again at the next look.
func (g *givingUp) stake(ctx context.Context, rec protocol.Record) error {
	if g.tried.IsZero() {
		g.tried = time.Now()
	}
	if err := g.endCopies(ctx); err != nil {
		if time.Since(g.tried) > endFor {
			return err
		}
		g.t.c.report(giveUpVerb, "%v", err)
		return nil
	}
	next, err := rec.Stake(g.id, g.stamp(rec))
	if err != nil {
		return fmt.Errorf("coordinator: %w", err)
	}
	g.staked = true // or it may be
	ev := control.Event{Who: g.t.id, What: fmt.Sprintf("the %v is about to be given up", g.lost), Why: g.t.why()}
	if _, err := g.t.changeAs(ctx, protocol.Change{Side: rec.Side, Old: rec, New: next}, ev); err != nil {
		return err
	}
	g.claimer.Staked(g.t.now())
	return nil
}

// endCopies ends what this process copies to the living side: it must not arrive
// after the take.
func (g *givingUp) endCopies(ctx context.Context) error {
	if g.t.syncer == nil {
		return nil
	}
	if !g.paused {
		if err := g.t.syncer.halt(ctx); err != nil {
			return fmt.Errorf("coordinator: %w", err)
		}
		g.paused = true
	}
	var only [3]*side
	only[g.living.Side] = g.living
	if err := fence(ctx, only, g.t.c.opts.Name, copyName(g.t.id)); err != nil && !errors.Is(err, errNoFence) {
		return fmt.Errorf("coordinator: end copies of our own: %w", err)
	}
	return g.t.openKeys(g.living.Side)
}

func (g *givingUp) fence(ctx context.Context, members []string) {
	var only [3]*side
	only[g.living.Side] = g.living
	for _, id := range members {
		if err := fence(ctx, only, g.t.c.opts.Name, id); err != nil {
			g.t.log.Warn("member cannot be fenced", "op", giveUpVerb, "member", id, "err", err)
			continue
		}
		g.claimer.Fenced(id)
	}
}

// take makes the living side own all, with what may be lost by it in the audit.
func (g *givingUp) take(ctx context.Context, rec protocol.Record, risk Risk) error {
	next, err := rec.Take(g.id, g.stamp(rec))
	if err != nil {
		return fmt.Errorf("coordinator: %w", err)
	}
	ev := control.Event{Who: g.t.id, What: gaveUp(g.lost), Why: g.t.why(), Figures: risk.figures()}
	if _, err := g.t.changeAs(ctx, protocol.Change{Side: rec.Side, Old: rec, New: next}, ev); err != nil {
		return err
	}
	g.t.given[g.lost].Store(true)
	return nil
}

// gaveUp is the line of the audit that tells of it.
func gaveUp(s protocol.Side) string { return fmt.Sprintf("gave up the %v", s) }

// waive takes the claim off again, if it may stand.
func (g *givingUp) waive(ctx context.Context) {
	if !g.staked {
		return
	}
	ctx = context.WithoutCancel(ctx)
	r, err := g.read(ctx)
	if err != nil || r.Record.Claim != g.id {
		return // members waive it
	}
	next, err := r.Record.Waive(g.stamp(r.Record))
	if err == nil {
		_, err = g.t.change(ctx, protocol.Change{Side: r.Record.Side, Old: r.Record, New: next}, "the side is not given up")
	}
	if err != nil {
		g.t.log.Warn("claim not waived; members do so within a minute", "op", giveUpVerb, "err", err)
	}
}

func (g *givingUp) resume() {
	if g.paused {
		g.t.syncer.batches.Unlock()
	}
}

// obeyed waits a moment for the members to use the living side.
func (g *givingUp) obeyed(ctx context.Context) {
	epoch := g.t.known()[g.living.Side].Record.Epoch
	for began := time.Now(); time.Since(began) < tellFor; {
		roll, err := g.living.store.Roll(ctx)
		late := 0
		for _, e := range roll {
			if e.Epoch < epoch {
				late++
			}
		}
		if err != nil || late == 0 || !pause(ctx, lookEvery) {
			return
		}
	}
}
