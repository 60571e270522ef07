package ratelimit

import (
	"math"
	"time"
)

const (
	// share is how much of what is left all instances together grant in an outage; the
	// rest is for those that the others have not heard of.
	share = 0.8
	// rememberDenied bounds how long a denial is repeated without asking: it is also
	// how long another instance's Reset or Refund may go unseen.
	rememberDenied = int64(time.Second)
)

// A track is what an instance knows of one policy of a subject. All times are ns of
// the limiter's own clock. Its functions are pure but for the track.
type track struct {
	rule *rule

	// As Redis said last.
	asked int64 // when it was asked
	used  int64
	reset int64 // when all is free again
	sure  bool  // that nobody has begun another window since

	// Granted here without Redis: within its window, or, for GCRA, the time at which
	// it is all free again.
	local int64
	// Of that, what Redis has certainly not counted and was not told.
	owed int64

	deniedUntil, deniedCost int64
}

// learn takes what Redis has answered to a question that was asked at some time.
func (t *track) learn(used, reset, asked int64) {
	t.newWindow(reset)
	if asked < t.asked { // a later one was answered before
		t.used, t.reset = max(t.used, used), max(t.reset, reset)
		return
	}
	t.asked, t.used, t.reset = asked, used, reset
}

// newWindow forgets what was granted in a window that has ended. The time at which
// one ends jitters by a reply's time of travel; two differ by a whole period.
func (t *track) newWindow(reset int64) {
	if t.rule.Algorithm == Window && reset-t.reset > int64(t.rule.Per)/2 {
		t.local, t.owed = 0, 0
	}
}

// certain is when a window ends that nothing was heard against, 0 if there is none:
// who asks need not be told again. It is well before the end, and each instance asks
// in full once a window at least, so that a counter without an expiry gets one.
func (t *track) certain(now, fault int64) int64 {
	if t.rule.Algorithm != Window || !t.sure || t.asked <= fault || t.reset-now < int64(t.rule.Per)/10 {
		return 0
	}
	return t.reset
}

// roll ends a window whose time is over.
func (t *track) roll(now int64) {
	if t.rule.Algorithm == Window && t.reset != 0 && now >= t.reset {
		t.used, t.reset, t.local, t.owed = 0, 0, 0, 0
	}
}

// A floor is what Redis must have counted at least, and for how many ms more.
type floor struct {
	used, ms int64
	// always: whatever Redis has, since something went wrong after this was heard. Else
	// if it has no counter: what is given back leaves one, so that it was lost.
	always bool
}

// floor is of no use, 0, where nothing is known. When all of GCRA's is free again there
// is no counter, whether it was used up or given back.
func (t *track) floor(now, fault int64) floor {
	always := t.asked <= fault
	if t.asked == 0 || t.used == 0 || now >= t.reset || !always && t.rule.Algorithm == GCRA {
		return floor{}
	}
	return floor{t.used, (t.reset-now)/int64(time.Millisecond) + 1, always}
}

// spent is how much of the limit is used by what Redis said last.
func (t *track) spent(now int64) int64 {
	if now >= t.reset {
		return 0
	}
	if t.rule.Algorithm == Window {
		return t.used
	}
	return int64(math.Ceil(float64(t.reset-now) / t.rule.step))
}

// portion is what this instance may grant of what was left.
func (t *track) portion(now int64, instances int) int64 {
	left := t.rule.most - t.spent(now)
	if left <= 0 {
		return 0
	}
	return max(1, int64(share*float64(left))/int64(instances))
}

// room is how much of its portion is left, and in how long so many units are.
func (t *track) room(now, cost int64, instances int) (left int64, retry time.Duration) {
	t.roll(now)
	if t.rule.Algorithm == GCRA {
		return t.roomGCRA(now, cost, instances)
	}
	left = t.portion(now, instances) - t.local
	if left < cost {
		retry = time.Duration(max(t.reset-now, int64(time.Millisecond)))
	}
	return max(left, 0), retry
}

// roomGCRA has a bucket of this instance's own, as large as its portion of a full
// one and filled as slowly, and never fuller than its portion of Redis's.
func (t *track) roomGCRA(now, cost int64, instances int) (left int64, retry time.Duration) {
	step, full := t.ownStep(instances), max(1, int64(share*float64(t.rule.most))/int64(instances))
	t.local = max(t.local, now+int64(float64(full-t.portion(now, instances))*step))
	left = int64(float64(now-t.local)/step + float64(full) + 1e-6)
	if left < cost {
		retry = time.Duration(max(float64(t.local-now)+float64(cost-full)*step, 1e6))
	}
	return max(left, 0), retry
}

// ownStep is how long this instance's bucket takes for a unit.
func (t *track) ownStep(instances int) float64 {
	return t.rule.step * float64(instances) / share
}

// grant takes units that room has.
func (t *track) grant(now, cost int64, instances int) {
	if t.rule.Algorithm == GCRA {
		t.local = max(t.local, now) + int64(float64(cost)*t.ownStep(instances))
		return
	}
	if t.reset == 0 {
		t.reset = now + int64(t.rule.Per)
	}
	t.local += cost
}

// until is when nothing is left to know.
func (t *track) until() int64 {
	at := t.reset
	if t.rule.Algorithm == GCRA {
		at = max(at, t.local)
	}
	return max(at, t.deniedUntil)
}

// deny notes that Redis has denied so many units for a while.
func (t *track) deny(now, cost int64, retry time.Duration) {
	t.deniedUntil, t.deniedCost = now+min(int64(retry), rememberDenied), cost
}

func (t *track) denied(now, cost int64) bool {
	return now < t.deniedUntil && cost >= t.deniedCost
}
