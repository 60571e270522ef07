package history

import (
	"cmp"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"
)

// A Report tells whether a history is linearizable.
type Report struct {
	Ops, Keys int
	Open      int     // operations whose outcome nobody knows
	Faults    []Fault // one for each key that does not pass
}

// OK reports whether every key's history is linearizable, and was found to be.
func (r Report) OK() bool { return len(r.Faults) == 0 }

// A Fault is a key whose history does not pass.
type Fault struct {
	Key     string
	Unknown bool // the search took too long; else no order fits
	Last    []Op // up to the reply that fits no order, the latest last
}

// String tells the fault, with the operations that led to it.
func (f Fault) String() string {
	if f.Unknown {
		return f.Key + ": unknown: the search for an order took too long"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s: not linearizable at the last of these:", f.Key)
	for _, o := range f.Last {
		fmt.Fprintf(&b, "\n  %s", o)
	}
	return b.String()
}

// String is one line, with times in milliseconds of the machine's clock.
func (o Op) String() string {
	back := "        open"
	if o.Return != never {
		back = fmt.Sprintf("%12.3f", float64(o.Return)/1e6)
	}
	reply := o.Reply
	if o.Kind == Members && o.End == Returned {
		reply = fmt.Sprintf("%d elements", len(o.List))
	}
	return fmt.Sprintf("%12.3f %s %s/%d %s %s → %s %s", float64(o.Call)/1e6, back, o.Process, o.Client, o.Kind, o.Value, o.End, reply)
}

// Check looks for an order that explains every reply, for each key by itself. No
// key is searched for longer than limit.
func Check(ops []Op, limit time.Duration) Report {
	byKey := map[string][]Op{}
	rep := Report{Ops: len(ops)}
	for _, o := range ops {
		byKey[o.Key] = append(byKey[o.Key], o)
		if o.End == Open {
			rep.Open++
		}
	}
	rep.Keys = len(byKey)
	keys := slices.Sorted(maps.Keys(byKey))
	faults := make([]*Fault, len(keys))
	var wg sync.WaitGroup
	slots := make(chan struct{}, runtime.GOMAXPROCS(0))
	for i, key := range keys {
		slots <- struct{}{}
		wg.Go(func() {
			faults[i] = checkKey(key, byKey[key], limit)
			<-slots
		})
	}
	wg.Wait()
	for _, f := range faults {
		if f != nil {
			rep.Faults = append(rep.Faults, *f)
		}
	}
	return rep
}

func checkKey(key string, ops []Op, limit time.Duration) *Fault {
	switch search(ops, limit) {
	case porcupine.Ok:
		return nil
	case porcupine.Unknown:
		return &Fault{Key: key, Unknown: true}
	}
	return &Fault{Key: key, Last: explain(ops, limit)}
}

func search(ops []Op, limit time.Duration) porcupine.CheckResult {
	list, bits := steps(settle(ops))
	return porcupine.CheckOperationsTimeout(model(bits), list, limit)
}

// told is how many operations a fault shows.
const told = 15

// explain finds the first reply with which a history fits no order any more, and
// returns the operations up to it.
func explain(ops []Op, limit time.Duration) []Op {
	ops = slices.SortedStableFunc(slices.Values(ops), func(a, b Op) int { return cmp.Compare(a.Return, b.Return) })
	first, _ := slices.BinarySearchFunc(ops, true, func(o Op, _ bool) int {
		if search(Until(ops, o.Return), limit) == porcupine.Ok {
			return -1
		}
		return 1
	})
	first = min(first, len(ops)-1)
	return ops[max(0, first+1-told) : first+1]
}
