package chaos

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/transload/transload/internal/protocol"
)

var (
	runs = flag.Int("runs", 0, "how many runs in a row; 0 is the short form")
	seed = flag.Uint64("seed", 0, "the first run's seed; the next ones follow it. 0 draws one")
	rate = flag.Int("rate", 30, "operations a second of each member's recorded clients, in the short form")
	tell = flag.Bool("tell", false, "print what happened, of runs that pass too")
)

// TestHistory moves an app there and back while the processes that do it are
// killed and stopped and their links are hurt. Redis itself does not fail, so that
// every key's history must be linearizable from beginning to end.
func TestHistory(t *testing.T) {
	short(t)
	t.Parallel()
	ms := time.Millisecond
	r := carryOut(t, plan{mode: "standalone", keeps: true, brief: true, strikes: []strike{
		{fault: "link half-open", step: 1, after: 200 * ms, lasts: 3 * time.Second, who: 1, side: protocol.Source},
		{fault: "member stopped", step: 2, after: 300 * ms, lasts: 900 * ms, who: 0},
		{fault: "link slow", step: 2, after: 0, lasts: 6 * time.Second, who: 2, side: protocol.Source},
		{fault: "coordinator killed", step: 3, after: 600 * ms},
		{fault: "link cut", step: 4, after: 500 * ms, lasts: 2 * time.Second, who: 1, side: protocol.Target},
		{fault: "slow", step: 5, after: 0, lasts: 2 * time.Second, side: protocol.Target},
	}}, *rate)
	t.Log(r)
}

// TestChaos makes runs from seeds. The short form makes one, and LONG one of each
// mode, of seeds that are always the same; -runs makes as many as it is told, in a
// row.
func TestChaos(t *testing.T) {
	short(t)
	if *runs > 0 {
		inARow(t)
		return
	}
	t.Parallel()
	for mode, seed := range map[string]uint64{"sentinel": 5, "cluster": 38} {
		t.Run(mode, func(t *testing.T) {
			if mode != "sentinel" && os.Getenv("LONG") == "" {
				t.Skip("LONG=1 makes this run too")
			}
			p := draw(seed, mode)
			p.brief = true
			t.Log(carryOut(t, p, *rate))
		})
	}
}

// inARow prints a line a run, and one for all.
func inARow(t *testing.T) {
	first := *seed
	if first == 0 {
		first = rand.Uint64N(1_000_000)
	}
	var sum result
	for i := range uint64(*runs) {
		p := draw(first+i, "")
		t.Run(fmt.Sprint("seed=", p.seed), func(t *testing.T) {
			fmt.Println(p)
			one := carryOut(t, p, 200)
			fmt.Println(one)
			sum.add(one)
		})
	}
	if t.Failed() && sum.pass() {
		sum.wrong = append(sum.wrong, "a run broke off")
	}
	fmt.Println(sum.sum())
}

func short(t *testing.T) {
	if testing.Short() {
		t.Skip("needs real servers")
	}
}
