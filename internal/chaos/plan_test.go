package chaos

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/transload/transload/internal/protocol"
)

// A plan is what a seed comes to.
type plan struct {
	seed    uint64
	mode    string // of the target
	keeps   bool   // whether a coordinator shadows all the time; else each verb leads by itself
	brief   bool   // leaves out the steps that are most like others
	strikes []strike
}

// A strike is one fault, at one moment.
type strike struct {
	fault string
	step  int           // of the life cycle, in which it comes
	after time.Duration // from the step's beginning
	lasts time.Duration
	who   int           // of members, operator last; of servers
	side  protocol.Side // of links
}

func (s strike) String() string {
	what := s.fault
	switch {
	case strings.Contains(what, "member"):
		what += fmt.Sprint(" ", s.who)
	case strings.Contains(what, "link"):
		what += fmt.Sprintf(" of %s to %v", parties[s.who], s.side)
	case strings.Contains(what, "slow"):
		what = fmt.Sprintf("%v %s", s.side, what)
	}
	if !strings.Contains(what, "primary killed") && what != "coordinator killed" {
		what += fmt.Sprint(" for ", s.lasts)
	}
	return fmt.Sprintf("%s+%v %s", cycle[s.step].name, s.after, what)
}

func (p plan) String() string {
	all := []string{fmt.Sprintf("seed=%d mode=%s keeps=%v", p.seed, p.mode, p.keeps)}
	for _, s := range p.strikes {
		all = append(all, s.String())
	}
	return strings.Join(all, "; ")
}

const members = 3

// parties are whose links may be hurt: the members, and whoever coordinates.
var parties = []string{"m0", "m1", "m2", "operator"}

// A kind of fault. Those that are dear have the migration wait out a lease, or a
// failover.
type kind struct {
	name        string
	short, long time.Duration // between which it lasts
	dear        bool
	server      bool // it strikes a server of the target
	strike      func(*run, strike)
}

// kinds are what may be drawn; a longer one of the same name is dear.
var kinds = []kind{
	{"coordinator killed", 0, 0, true, false, (*run).coordinatorKilled},
	{"coordinator stopped", 300 * time.Millisecond, 4 * time.Second, false, false, (*run).coordinatorStopped},
	{"coordinator stopped", 17 * time.Second, 19 * time.Second, true, false, (*run).coordinatorStopped},
	{"member killed", 0, 2 * time.Second, true, false, (*run).memberKilled},
	{"member stopped", 300 * time.Millisecond, 5 * time.Second, false, false, (*run).memberStopped},
	{"member stopped", 16 * time.Second, 19 * time.Second, true, false, (*run).memberStopped},
	{"target primary killed", 0, 0, true, true, (*run).primaryKilled},
	{"target primary stopped", 200 * time.Millisecond, 1200 * time.Millisecond, false, true, (*run).primaryStopped},
	{"target primary stopped", 4 * time.Second, 6 * time.Second, true, true, (*run).primaryStopped},
	{"target replica stopped", 500 * time.Millisecond, 5 * time.Second, false, true, (*run).replicaStopped},
	{"source killed", 100 * time.Millisecond, 2 * time.Second, false, false, (*run).sourceKilled},
	{"source stopped", 300 * time.Millisecond, 5 * time.Second, false, false, (*run).sourceStopped},
	{"link cut", 300 * time.Millisecond, 4 * time.Second, false, false, (*run).linkCut},
	{"link cut", 16 * time.Second, 18 * time.Second, true, false, (*run).linkCut},
	{"link hung", 300 * time.Millisecond, 4 * time.Second, false, false, (*run).linkHung},
	{"link half-open", time.Second, 6 * time.Second, false, false, (*run).linkHalfOpen},
	{"link slow", time.Second, 5 * time.Second, false, false, (*run).linkSlow},
	{"slow", time.Second, 5 * time.Second, false, false, (*run).slow},
}

// What a run's time allows.
const (
	strikesEach = 5
	dearMost    = 2
)

// draw makes a seed's plan, for a mode or, if that is empty, for one that is drawn.
func draw(seed uint64, mode string) plan {
	r := rand.New(rand.NewPCG(seed, 0)) // the same for ever
	if drawn := []string{"sentinel", "cluster"}[r.IntN(2)]; mode == "" {
		mode = drawn
	}
	dear := r.IntN(dearMost + 1)
	p := plan{seed: seed, mode: mode, keeps: r.IntN(3) > 0}
	for len(p.strikes) < strikesEach {
		k := kinds[r.IntN(len(kinds))]
		s := strike{
			fault: k.name, step: r.IntN(len(cycle)), after: time.Duration(r.IntN(1500)) * time.Millisecond,
			lasts: (k.short + time.Duration(r.Int64N(int64(k.long-k.short)+1))).Round(time.Millisecond),
			who:   r.IntN(len(parties)), side: protocol.Sides[r.IntN(len(protocol.Sides))],
		}
		if k.dear && dear == 0 || k.server && mode == "standalone" {
			continue
		}
		if k.dear {
			dear--
		}
		if strings.HasPrefix(k.name, "member") {
			s.who %= members
		}
		p.strikes = append(p.strikes, s)
	}
	return p
}

// kindOf finds what a strike does.
func kindOf(s strike) kind {
	for _, k := range kinds {
		if k.name == s.fault {
			return k
		}
	}
	panic("unknown fault " + s.fault) // plans are made of kinds
}

// TestSameSeedSamePlan is what makes a printed seed worth something.
func TestSameSeedSamePlan(t *testing.T) {
	seen := map[string]bool{}
	for seed := range uint64(200) {
		p := draw(seed, "")
		if again := draw(seed, ""); p.String() != again.String() {
			t.Fatalf("got %v, then %v", p, again)
		}
		for _, s := range p.strikes {
			seen[s.fault] = true
			seen[cycle[s.step].name] = true
		}
		seen[p.mode] = true
	}
	for _, k := range kinds {
		if !seen[k.name] {
			t.Errorf("%s was never drawn", k.name)
		}
	}
	for _, s := range cycle {
		if !seen[s.name] {
			t.Errorf("nothing ever strikes in step %s", s.name)
		}
	}
	if got, want := draw(7, "").String(), plan7; got != want {
		t.Errorf("seed 7 gives another plan than it did: got %s; want %s", got, want)
	}
}

// plan7 is pinned: who is given a seed must get the plan that was printed with it.
const plan7 = "seed=7 mode=sentinel keeps=false; shadow+1.162s link half-open of m1 to target for 5.567s; again 100+686ms target replica stopped for 1.277s; " +
	"rollback+1.037s source stopped for 3.486s; again 100+1.193s link hung of m2 to source for 816ms; cutover 100+771ms target slow for 3.464s"
