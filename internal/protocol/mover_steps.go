package protocol

import "fmt"

// written goes on after a compare-and-set, or after the record was read again
// because its outcome was not known.
func (m *Mover) written(w Written, now Instant) []Output {
	if w.Side != m.pending.Side {
		return nil
	}
	if w.Err != nil { // applied or not: only the record itself can tell
		return append([]Output{{Kind: DoRead, Side: w.Side}}, m.advance(now)...)
	}
	before := m.run[w.Side]
	m.rec[w.Side], m.run[w.Side], m.safe = w.Current, w.RunID, w.Safe
	if m.stage == aborting && (w.Current.At(m.cfg.ID, Prepared) || w.Current.At(m.cfg.ID, Held)) {
		return m.abort() // not gone yet: the abort was lost, or it is the first record that came late
	}
	won := w.Current.Nonce == m.pending.New.Nonce
	if !won && w.Current.Same(m.pending.Old) { // it was never applied; and now it must not be
		switch m.stage {
		case aborting:
			return m.strike()
		case striking, granting, committing:
			return m.write(m.stage, w.Side, m.restamped())
		}
		return m.cancel("the control record could not be written")
	}
	if !won {
		return m.lost(w, now)
	}
	if !w.Safe && m.stage < committing {
		return m.cancel(fmt.Sprintf("not every replica of the %v has the control record", w.Side))
	}
	if m.stage > preparing && m.stage < committing && w.Side == m.giver && w.RunID != before {
		return m.cancel(fmt.Sprintf("the master of the %v has changed", w.Side))
	}
	return m.won(w, now)
}

// won goes to the step that follows the record that was written.
func (m *Mover) won(w Written, now Instant) []Output {
	switch m.stage {
	case preparing:
		m.stage = gathering
		return []Output{{Kind: DoRoll}}
	case holding:
		m.stage = draining
		m.forgetAcks()
		return []Output{{Kind: DoRoll}}
	case offering:
		next, err := m.rec[m.giver].Commit(m.cfg.ID, m.stamp())
		if err != nil {
			return m.cancel(err.Error())
		}
		return m.write(committing, m.giver, next)
	case committing:
		return m.count(now)
	case granting:
		if !w.Safe {
			return m.finish(true, "granted, but not every replica of the taking side has the record")
		}
		return m.finish(true, m.reason)
	case aborting:
		return m.strike()
	case striking:
		return m.finish(false, m.reason)
	}
	return nil
}

// lost goes on when somebody else has changed the record: a member that ended
// the hold or granted, or another coordinator.
func (m *Mover) lost(w Written, now Instant) []Output {
	cur := w.Current
	switch {
	case w.Side == m.giver && cur.At(m.cfg.ID, Committed):
		return m.count(now) // a member completed it
	case w.Side == m.giver.Other() && cur.At(m.cfg.ID, Granted):
		return m.finish(true, "granted by a member")
	case m.stage == granting:
		return []Output{{Kind: DoRead, Side: m.giver}}
	case m.stage == striking:
		return m.finish(false, m.reason)
	case w.Side == m.giver && (cur.At(m.cfg.ID, Prepared) || cur.At(m.cfg.ID, Held)):
		return m.cancel("the control record was put back to an earlier one")
	case w.Side == m.giver:
		if m.reason == "" {
			m.reason = fmt.Sprintf("%s changed the control record of the %v", cur.Writer, w.Side)
		}
		return m.strike()
	}
	return m.cancel(fmt.Sprintf("%s changed the control record of the %v", cur.Writer, w.Side))
}

// count begins to count who has acknowledged the commit. What was counted
// before says nothing: only acknowledgements of a record that is safe do.
func (m *Mover) count(Instant) []Output {
	m.stage = counting
	m.countRun = m.run[m.giver]
	m.forgetAcks()
	if !m.safe {
		return []Output{{Kind: DoRead, Side: m.giver}, {Kind: DoRoll}}
	}
	return []Output{{Kind: DoRoll}}
}

// read goes on after a record was read again.
func (m *Mover) read(r Read, now Instant) []Output {
	switch m.stage {
	case preparing, holding, offering, committing, aborting, striking, granting:
		if r.Side == m.pending.Side && !m.pending.New.Empty() {
			if r.Err != nil && m.stage < committing && m.stage != preparing {
				return m.advance(now)
			}
			return m.written(r, now)
		}
	}
	if r.Err != nil {
		return []Output{{Kind: DoRead, Side: r.Side}} // decided: asked until it answers
	}
	changed := r.RunID != m.run[r.Side]
	m.rec[r.Side], m.run[r.Side] = r.Current, r.RunID
	switch m.stage {
	case counting:
		if r.Side != m.giver {
			return nil
		}
		m.safe = r.Safe
		if !r.Current.At(m.cfg.ID, Committed) {
			return m.recommit()
		}
		if !r.Safe {
			m.reason = "committed, but a replica of the giving side did not acknowledge the record"
			m.safe = true // after the commit one goes on and says so
		}
		if changed {
			m.countRun = r.RunID
			m.forgetAcks()
			return []Output{{Kind: DoRoll}}
		}
		return m.advance(now)
	case confirming:
		if !r.Current.At(m.cfg.ID, Committed) {
			return m.recommit()
		}
		if r.RunID != m.countRun {
			m.safe = r.Safe
			return m.count(now)
		}
		return m.grant()
	case granting:
		return m.grant()
	}
	return nil
}

// recommit writes the commit again to a giver that has failed over and
// forgotten it: the offer and the acknowledgements stand, so it is completed.
func (m *Mover) recommit() []Output {
	cur := m.rec[m.giver]
	if cur.At(m.cfg.ID, Held) {
		next, err := cur.Commit(m.cfg.ID, m.stamp())
		if err == nil {
			return m.write(committing, m.giver, next)
		}
	}
	if cur.At(m.cfg.ID, Prepared) || cur.Move == nil || cur.Move.ID != m.cfg.ID {
		next := m.pendingCommit(cur)
		return m.write(committing, m.giver, next)
	}
	return []Output{{Kind: DoRead, Side: m.giver}}
}

// pendingCommit is the commit as it was decided, over whatever older record the
// giver fell back to.
func (m *Mover) pendingCommit(cur Record) Record {
	next := cur.stamped(m.stamp())
	next.Move = &Move{ID: m.cfg.ID, From: m.giver, Goal: m.cfg.Goal, Stage: Committed, HoldMS: m.cfg.Hold.Milliseconds()}
	next.settle()
	return next
}

func (m *Mover) grant() []Output {
	taker := m.giver.Other()
	next, err := m.rec[taker].Grant(m.rec[m.giver], m.stamp())
	if err != nil {
		if m.rec[taker].At(m.cfg.ID, Granted) {
			return m.finish(true, m.reason)
		}
		m.stage = granting
		m.pending = Change{Side: taker}
		return []Output{{Kind: DoRead, Side: taker}}
	}
	return m.write(granting, taker, next)
}

func (m *Mover) proved(p Proved) []Output {
	if m.stage != proving {
		return nil
	}
	if !p.OK {
		return m.cancel(p.Reason)
	}
	taker := m.giver.Other()
	next, err := m.rec[taker].Offer(*m.rec[m.giver].Move, m.stamp())
	if err != nil {
		return m.cancel(err.Error())
	}
	return m.write(offering, taker, next)
}

// cancel aborts a move that is not decided. A commit that may have been applied
// is not aborted but read again.
func (m *Mover) cancel(reason string) []Output {
	if m.stage >= committing {
		return nil
	}
	m.reason = reason
	if m.stage == preparing && !m.rec[m.giver].At(m.cfg.ID, Prepared) {
		// The first record may still arrive late: it is read until it is known.
		m.stage = aborting
		m.pending.Side = m.giver
		return []Output{{Kind: DoRead, Side: m.giver}}
	}
	return m.abort()
}

func (m *Mover) abort() []Output {
	next, err := m.rec[m.giver].Abort(m.cfg.ID, m.stamp())
	if err != nil {
		return m.strike()
	}
	return m.write(aborting, m.giver, next)
}

// strike takes this move's offer off the taker, if there may be one. The taker
// need not answer: an offer whose move is gone is struck out by anybody later.
func (m *Mover) strike() []Output {
	taker := m.giver.Other()
	if !m.rec[taker].At(m.cfg.ID, Offered) {
		return m.finish(false, m.reason)
	}
	next, err := m.rec[taker].Strike(m.stamp())
	if err != nil {
		return m.finish(false, m.reason)
	}
	return m.write(striking, taker, next)
}

// restamped is the pending change again, over the record that is there.
func (m *Mover) restamped() Record { return m.pending.New.stamped(m.stamp()) }

func (m *Mover) masterChanged(s Side, now Instant) []Output {
	if m.stage < committing {
		return m.cancel(fmt.Sprintf("the master of the %v has changed", s))
	}
	for _, w := range m.watch { // nobody is silent before it could have found the new master
		w.changed = now
	}
	return nil
}
