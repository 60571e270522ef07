package coordinator

import (
	"fmt"
	"time"

	"github.com/transload/transload/internal/protocol"
)

// advise says what keeps a migration from going on, and what can be done next.
func (b *bench) advise(st *Status, errs [3]error) {
	block := func(format string, args ...any) { st.Blockers = append(st.Blockers, fmt.Sprintf(format, args...)) }
	next := func(format string, args ...any) { st.NextSteps = append(st.NextSteps, fmt.Sprintf(format, args...)) }
	for _, s := range protocol.Sides {
		if errs[s] != nil {
			block("the %v does not answer: %v", s, errs[s])
		}
	}
	if st.Phase.Leased() {
		b.blockers(st, block)
	}
	switch st.Phase {
	case protocol.Unknown, protocol.Off:
		if len(st.Members) == 0 {
			next("deploy the app with migrate.Open and the name %q", st.Name)
		}
		next("migrate check, then migrate shadow")
	case protocol.Shadow:
		if st.Coordinator == nil {
			next("migrate shadow, and leave it running: it keeps the sides equal")
		}
		next("migrate cutover --to 10,50,100 tells what would move; --execute moves it")
		next("migrate rollback goes back to off")
	case protocol.Cutover:
		next("migrate cutover --to %d --execute", 100)
		next("migrate rollback --execute gives all back to the source")
	case protocol.Soak:
		if b.away(protocol.Source) {
			break
		}
		next("migrate rollback --execute while there is doubt; migrate finish ends the migration for good")
	case protocol.Done:
		next("take the migrating client and REDIS_TARGET_* out of the app, then migrate forget")
	}
	if st.Phase.Leased() {
		b.emergency(errs, next)
	}
	for _, user := range b.shutOut {
		next("user %s is shut out of the source; to let it in again, %s", user, howToLetIn(user))
	}
	if st.WaitsFor == "" {
		st.WaitsFor = b.waitsFor(st)
	}
}

// emergency says what to do about a side that is gone, or was.
func (b *bench) emergency(errs [3]error, next func(string, ...any)) {
	how := [3]string{protocol.Source: "cutover --source-lost", protocol.Target: "rollback --target-lost"}
	for _, s := range protocol.Sides {
		switch {
		case errs[s] != nil && b.recs.owns(s):
			next("if the %v never comes back: migrate %s; docs/emergency.md tells what that loses", s, how[s])
		case errs[s] != nil && !b.given[s].IsZero():
			next("if the %v comes back: migrate shadow makes it equal again; else deploy the app with the %v alone", s, s.Other())
		case b.away(s):
			next("migrate shadow, begun anew, makes the %v equal again: until then there is no way back to it", s)
		}
	}
}

// away reports whether a side was given up and has not been made equal since, as
// far as can be told.
func (b *bench) away(s protocol.Side) bool {
	return !b.given[s].IsZero() && b.verified.Before(b.given[s])
}

func (b *bench) blockers(st *Status, block func(string, ...any)) {
	for _, s := range protocol.Sides {
		if f := b.facts[s]; f.Full {
			block("the %v has no room left and takes no writes (%s of %s are used): %s", s, bytes(f.Used), bytes(f.Max), raiseMemory)
		}
		if b.away(s) {
			block("the %v was given up at %s, and has not been made equal since", s, b.given[s].UTC().Format(time.RFC3339))
		}
		if b.lost[s] && b.recs.owns(s) {
			block("%s; moves are refused: %s", lossText(s), wayOut(s))
		}
	}
	if len(st.Members) == 0 {
		block("no member is on the roll")
	}
	for _, m := range st.Members {
		if why := b.wrong(m.ID); why != "" {
			block("member %s %s", m.ID, why)
		}
	}
	if st.Coordinator == nil {
		block("no coordinator runs: changes that members could not copy are not repaired")
	} else if !st.Sync.Done {
		block("the first sync pass has not ended")
	}
	for i, f := range []FeedState{st.Feed.Source, st.Feed.Target} {
		if st.Coordinator != nil && f.Tracking && !f.Whole {
			block("the feed of the %v is broken: %s", protocol.Sides[i], f.Gap)
		}
	}
	if st.Moving != nil && st.Coordinator == nil {
		block("a move is at %q and its coordinator has left; members end it by themselves, or any verb does", st.Moving.Stage)
	}
}

// waitsFor says in one line what is waited for, where no coordinator tells.
func (b *bench) waitsFor(st *Status) string {
	switch {
	case len(st.Blockers) > 0:
		return st.Blockers[0]
	case st.Moving != nil:
		return fmt.Sprintf("a move at %q", st.Moving.Stage)
	}
	return "nothing"
}
