package coordinator

import (
	"context"
	"time"

	"github.com/transload/transload/internal/protocol"
)

// walkLoop walks the slots that are dirty.
func (s *syncer) walkLoop(ctx context.Context) {
	wait := lookEvery
	for ctx.Err() == nil {
		if s.full() && s.passed() && time.Since(s.ended()) > max(passEvery, 2*s.took()) && !s.hurry.Load() {
			s.dirty.MarkAll()
		}
		if s.dirty.SlotLen() == 0 {
			pause(ctx, 20*time.Millisecond)
			continue
		}
		err := s.ready(ctx) // else the same slots would become dirty once more
		if err == nil {
			err = s.walkDirty(ctx)
		}
		if err != nil {
			s.say(err)
			pause(ctx, wait)
			wait = min(2*wait, 5*time.Second)
			continue
		}
		wait = lookEvery
	}
}

// walkDirty walks the slots that are dirty now. What could not be walked stays
// dirty.
func (s *syncer) walkDirty(ctx context.Context) error {
	slots := s.takeSlots()
	err := s.walk(ctx, slots)
	if err != nil {
		for _, slot := range slots {
			s.dirty.MarkSlots(slot, slot)
		}
	}
	s.walked(len(slots), err)
	return err
}

// ready waits until the feeds follow every master: what is walked before that
// would have to be walked again.
func (s *syncer) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for _, f := range s.feeds {
		if f != nil && !s.full() {
			if err := f.Ready(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *syncer) takeSlots() []uint16 {
	s.mu.Lock()
	defer s.mu.Unlock()
	slots := s.dirty.TakeSlots()
	s.walking = len(slots)
	return slots
}

// walked notes the end of a walk.
func (s *syncer) walked(slots int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.walking = 0
	s.pass.Ended = time.Now()
	if err == nil && slots == protocol.Slots {
		s.passes++
		s.passedAt = s.pass.Ended
		s.trouble = ""
	}
}

// slots returns how many slots are still to be walked, or are being walked.
func (s *syncer) slots() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.walking + s.dirty.SlotLen()
}

func (s *syncer) passed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.passes > 0
}

func (s *syncer) ended() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pass.Ended
}

// took returns how long the last walk of all slots would have taken had it not
// been held back.
func (s *syncer) took() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return min(s.pass.Ended.Sub(s.pass.Began), s.pass.Busy/walkers*3/2)
}
