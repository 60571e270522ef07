package coordinator

import (
	"context"
	"fmt"
	"time"

	"github.com/transload/transload/internal/control"
	"github.com/transload/transload/internal/protocol"
)

// A CheckReport is what Check found.
type CheckReport struct {
	Name    string      `json:"name"`
	At      time.Time   `json:"at"`
	Verdict Verdict     `json:"verdict"` // the worst of the lines
	Lines   []CheckLine `json:"lines"`
}

// A CheckLine is the answer to one question. What could not be found out is a
// warning, whose next step says how to find it out by hand.
type CheckLine struct {
	Check   string  `json:"check"`
	Side    string  `json:"side,omitempty"` // source or target; empty if it is about both, or about the app
	Verdict Verdict `json:"verdict"`        // ok, warn or refuse
	Figure  string  `json:"figure"`
	Next    string  `json:"next,omitempty"`
}

// Refusal returns the first line that refuses as an error, or nil.
func (r CheckReport) Refusal() error {
	for _, l := range r.Lines {
		if l.Verdict == Refused {
			gate := l.Check
			if l.Side != "" {
				gate += " of the " + l.Side
			}
			return &Refusal{Gate: gate, Figure: l.Figure, Next: l.Next}
		}
	}
	return nil
}

// Check asks both sides, and reads what the members tell, to find whether the
// migration can be made, and what would go wrong on the way. It changes nothing
// on either side, needs no lock, and may run beside everything else. What is
// found is in the report, whatever the verdict; the error means that ctx ended
// first.
func (c *Coordinator) Check(ctx context.Context) (CheckReport, error) {
	k := &checker{c: c, at: time.Now().UTC()}
	c.report("check", "asking both sides")
	k.meet(ctx)
	c.report("check", "asking every node, and looking at keys")
	k.learn(ctx)
	k.lookAgain(ctx)
	if ctx.Err() != nil {
		return CheckReport{}, fmt.Errorf("coordinator: check: %w", context.Cause(ctx))
	}
	k.judge()
	return k.report(), nil
}

// A checker gathers facts first, and judges them then: the judging asks nobody.
type checker struct {
	c      *Coordinator
	at     time.Time
	sides  [3]*sideFacts
	plan   *plan // the members' workloads, or those of the options
	noPlan error // why the members have no common one
	again  [3][]protocol.Entry
	twice  bool // both sides are one server, as far as its counters tell
	lines  []CheckLine
}

// judge makes the lines, in the order in which people would ask.
func (k *checker) judge() {
	for _, s := range protocol.Sides {
		k.judgeReach(k.sides[s])
	}
	if k.both() {
		k.judgeSame()
		k.judgeRecords()
		k.judgeTrips()
		k.judgeClocks()
		k.judgeVersions()
		k.judgeMemory()
		k.judgeNotCarried()
	}
	for _, s := range protocol.Sides {
		if f := k.sides[s]; f.met() {
			k.judgeCommands(f)
			k.judgeServer(f)
			k.judgeConnections(f)
			k.judgeDatabases(f)
			k.judgeBypass(f)
		}
	}
	if f := k.sides[protocol.Source]; f.met() {
		k.judgeBigKeys(f)
	}
	if f := k.sides[protocol.Target]; f.met() {
		k.judgeForeign(f)
	}
	k.judgeMembers()
	k.judgeCensus()
}

// both reports whether both sides could be asked.
func (k *checker) both() bool {
	return k.sides[protocol.Source].met() && k.sides[protocol.Target].met()
}

func (k *checker) report() CheckReport {
	r := CheckReport{Name: k.c.opts.Name, At: k.at, Verdict: OK, Lines: k.lines}
	for _, l := range r.Lines {
		switch {
		case l.Verdict == Refused:
			r.Verdict = Refused
		case l.Verdict == Warn && r.Verdict == OK:
			r.Verdict = Warn
		}
	}
	return r
}

// add adds a line; about is a side's name or nothing.
func (k *checker) add(check, about string, v Verdict, next, figure string, args ...any) {
	k.lines = append(k.lines, CheckLine{Check: check, Side: about, Verdict: v, Figure: fmt.Sprintf(figure, args...), Next: next})
}

func (k *checker) ok(check, about, figure string, args ...any) {
	k.add(check, about, OK, "", figure, args...)
}

func (k *checker) warn(check, about, next, figure string, args ...any) {
	k.add(check, about, Warn, next, figure, args...)
}

func (k *checker) refuse(check, about, next, figure string, args ...any) {
	k.add(check, about, Refused, next, figure, args...)
}

// unknown is the line of a question that a side would not answer.
func (k *checker) unknown(check, about, byHand string, why error) {
	k.add(check, about, Warn, byHand, "unknown: %v", why)
}

// checkName names the connections that Check opens.
func (k *checker) checkName() string {
	return control.ClientName(k.c.opts.Name, "observer-check")
}

// lookAgain reads the rolls a second time, some beats after the first: a member
// that lives has refreshed since.
func (k *checker) lookAgain(ctx context.Context) {
	some := false
	for _, s := range protocol.Sides {
		some = some || len(k.sides[s].roll) > 0
	}
	if !some || !pause(ctx, time.Until(k.at.Add(beatsSeen*beatEvery))) {
		return
	}
	for _, s := range protocol.Sides {
		if k.sides[s].met() {
			k.again[s], _ = k.c.sides[s].store.Roll(ctx) // a roll that cannot be read was told of already
		}
	}
}

// beatsSeen is how many beats lie between two looks at the roll, so that one
// that comes late is not taken for silence.
const beatsSeen = 3

// denied reports whether a server answered that it does not know, or does not
// allow, what was asked.
func denied(err error) bool { return err != nil && isReply(err) && control.Lacks(err) }
