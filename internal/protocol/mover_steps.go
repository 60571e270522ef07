package protocol

import "fmt"

// written goes on after a compare-and-set, or after the record was read again
// because its outcome was not known.
func (m *Mover) written(w Written, now Instant) []Output {
	if w.Side != m.pending.Side {
		return nil
	}
	if w.Err != nil { // applied or not: only the record itself can tell
		if m.stage == striking {
			return m.finish(false, m.reason) // it is struck out by whoever sees it
		}
		return append([]Output{{Kind: DoRead, Side: w.Side}}, m.advance(now)...)
	}
	before := m.run[w.Side]
	m.rec[w.Side], m.run[w.Side] = w.Current, w.RunID
	if m.stage == aborting && (w.Current.At(m.cfg.ID, Prepared) || w.Current.At(m.cfg.ID, Held)) {
		return m.abort() // not gone yet: the abort was lost, or it is an earlier record that came late
	}
	if w.Current.Nonce != m.pending.New.Nonce {
		return m.notWon(w)
	}
	if m.stage < committing && !w.Safe {
		return m.cancel(fmt.Sprintf("not every replica of the %v has the control record", w.Side))
	}
	if m.stage < committing && w.RunID != before {
		return m.cancel(fmt.Sprintf("the master of the %v has changed", w.Side))
	}
	return m.won(w)
}

// won goes to the step that follows the record that was written.
func (m *Mover) won(w Written) []Output {
	switch m.stage {
	case preparing:
		m.stage = gathering
		return []Output{m.askRoll()}
	case holding:
		m.stage = draining
		m.forgetAcks()
		return []Output{m.askRoll()}
	case offering:
		next, err := m.rec[m.giver].Commit(m.cfg.ID, m.stamp())
		if err != nil {
			return m.cancel(err.Error())
		}
		return m.write(committing, m.giver, next)
	case committing:
		return m.count(w.Safe)
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

// notWon goes on when the record is not the one that was to be written: the
// change was never applied, or somebody else changed it: a member that ended the
// hold or granted, or another coordinator.
func (m *Mover) notWon(w Written) []Output {
	cur := w.Current
	other := fmt.Sprintf("%s changed the control record of the %v", cur.Writer, w.Side)
	switch {
	case w.Side == m.giver && cur.At(m.cfg.ID, Committed):
		return m.count(w.Safe) // a member completed it
	case w.Side != m.giver && cur.At(m.cfg.ID, Granted):
		return m.finish(true, "granted by "+cur.Writer)
	case m.stage == striking:
		return m.finish(false, m.reason)
	case m.stage == granting:
		return []Output{{Kind: DoRead, Side: m.giver}}
	case m.stage == committing && cur.Same(m.pending.Old):
		return m.write(committing, m.giver, m.pending.New.stamped(m.stamp()))
	case m.stage == committing: // not held any more: it is decided, against the move
		m.reason = other
		return m.abort()
	case m.stage == aborting:
		return m.strike()
	case cur.Same(m.pending.Old):
		return m.cancel("the control record could not be written")
	}
	return m.cancel(other)
}

// count begins to count who has acknowledged the commit. What was counted
// before says nothing: only acknowledgements of a record that is safe do.
func (m *Mover) count(safe bool) []Output {
	m.stage, m.safe = counting, safe
	m.countRun = m.run[m.giver]
	if !safe {
		return []Output{{Kind: DoRead, Side: m.giver}}
	}
	m.forgetAcks()
	return []Output{m.askRoll()}
}

// read goes on after a record was read again.
func (m *Mover) read(r Read, now Instant) []Output {
	if m.stage != counting && m.stage != confirming && r.Side == m.pending.Side && !m.pending.New.Empty() {
		if r.Err != nil && (m.stage == holding || m.stage == offering) {
			return m.advance(now) // its bound ends it
		}
		return m.written(r, now)
	}
	if r.Err != nil {
		return []Output{{Kind: DoRead, Side: r.Side}} // decided: asked until it answers
	}
	m.rec[r.Side], m.run[r.Side] = r.Current, r.RunID
	switch m.stage {
	case counting:
		if !r.Current.At(m.cfg.ID, Committed) {
			return m.forgotten()
		}
		if !r.Safe { // after the commit one goes on and says so
			m.reason = "committed, but a replica of the giving side did not acknowledge the record"
		}
		m.safe, m.countRun = true, r.RunID
		return m.recount()
	case confirming:
		if !r.Current.At(m.cfg.ID, Committed) {
			return m.forgotten()
		}
		if r.RunID != m.countRun {
			m.quiet(now)
			m.stage, m.safe = counting, false
			return []Output{{Kind: DoRead, Side: m.giver}}
		}
		return m.grant()
	case granting:
		return m.grant()
	}
	return nil
}

// forgotten goes on when a giver that has committed does not say so any more.
// While it still holds, nobody has written and the proof stands: the commit is
// made again. A newer record shows that somebody has carried on. An older one
// has lost the hold too, and then members may have written: the move is no more,
// unless a member that has obeyed the commit puts it back.
func (m *Mover) forgotten() []Output {
	cur := m.rec[m.giver]
	if cur.At(m.cfg.ID, Held) {
		if next, err := cur.Commit(m.cfg.ID, m.stamp()); err == nil {
			return m.write(committing, m.giver, next)
		}
	}
	if cur.Epoch > m.pending.New.Epoch {
		return m.finish(true, "carried on by "+cur.Writer)
	}
	m.reason = fmt.Sprintf("the %v has failed over and forgotten the hold and the commit", m.giver)
	return m.strike()
}

func (m *Mover) grant() []Output {
	taker := m.giver.Other()
	if !m.rec[m.giver].At(m.cfg.ID, Committed) {
		return m.forgotten()
	}
	next, err := m.rec[taker].Grant(m.rec[m.giver], m.stamp())
	if err != nil { // it has been granted before, and has perhaps gone on since
		return m.finish(true, m.reason)
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
	m.offer = next
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
		// The first record may have been written all the same.
		m.stage = aborting
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
	if !m.offer.Empty() && m.rec[taker].Epoch < m.offer.Epoch {
		m.rec[taker] = m.offer // asked for, with an outcome that is not known
	}
	next, err := m.rec[taker].Strike(m.stamp())
	if err != nil || !m.rec[taker].At(m.cfg.ID, Offered) {
		return m.finish(false, m.reason)
	}
	return m.write(striking, taker, next)
}

// quiet begins to wait for silent members anew: nobody is silent before it could
// have found the new master.
func (m *Mover) quiet(now Instant) {
	for _, w := range m.watch {
		w.changed = now
	}
}

func (m *Mover) masterChanged(s Side, now Instant) []Output {
	if m.stage < committing {
		return m.cancel(fmt.Sprintf("the master of the %v has changed", s))
	}
	if s == m.giver {
		m.quiet(now)
	}
	return nil
}
