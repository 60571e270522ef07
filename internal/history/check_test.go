package history

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// Times of the tables below are small numbers; a return of 0 means open.

func op(kind Kind, value, reply string, from, to int64) Op {
	o := Op{Process: "m", Kind: kind, Key: "k", Value: value, Reply: reply, Call: from, Return: to, End: Returned}
	if kind == Members {
		o.Reply, o.List = "", strings.Fields(reply)
	}
	if to == 0 {
		o.Return, o.End = never, Open
	}
	return o
}

func failed(o Op) Op {
	o.End = Failed
	return o
}

func TestLinearizable(t *testing.T) {
	for name, ops := range map[string][]Op{
		"nothing":                        {},
		"a value is read":                {op(Set, "a", "", 1, 2), op(Get, "", "a", 3, 4)},
		"read before and in a write":     {op(Get, "", "", 1, 9), op(Set, "a", "", 2, 8), op(Get, "", "a", 3, 4)},
		"an open write is seen late":     {op(Set, "a", "", 1, 0), op(Get, "", "", 2, 3), op(Get, "", "a", 4, 5)},
		"an open write is never seen":    {op(Set, "a", "", 1, 2), op(Set, "b", "", 3, 0), op(Get, "", "a", 4, 5)},
		"an open exchange is seen":       {op(Set, "a", "", 1, 2), op(GetSet, "b", "", 3, 0), op(Get, "", "b", 4, 5)},
		"a failed write is not there":    {failed(op(Set, "a", "", 1, 2)), op(Get, "", "", 3, 4)},
		"exchanges hand on":              {op(GetSet, "a", "", 1, 2), op(GetSet, "b", "a", 3, 4), op(Get, "", "b", 5, 6)},
		"increments":                     {op(Count, "", "", 0, 1), op(Incr, "", "1", 1, 5), op(Incr, "", "2", 2, 4), op(Count, "", "2", 6, 7)},
		"open increments fill the gap":   {op(Incr, "", "", 1, 0), op(Incr, "", "", 2, 0), op(Incr, "", "3", 3, 4)},
		"open increments that were none": {op(Incr, "", "", 1, 0), op(Incr, "", "", 2, 0), op(Incr, "", "1", 3, 4), op(Count, "", "1", 5, 6)},
		"elements":                       {op(Members, "", "", 0, 1), op(Add, "a", "1", 1, 2), op(Add, "b", "1", 3, 9), op(Members, "", "a", 4, 5), op(Members, "", "b a", 4, 8)},
		"an open element comes late":     {op(Add, "a", "", 1, 0), op(Members, "", "", 2, 3), op(Members, "", "a", 4, 5)},
	} {
		t.Run(name, func(t *testing.T) {
			if rep := Check(ops, time.Minute); !rep.OK() {
				t.Errorf("got %v; want it to pass", rep.Faults)
			}
		})
	}
}

// TestEachFaultIsSeen is what makes a pass worth something.
func TestEachFaultIsSeen(t *testing.T) {
	for name, ops := range map[string][]Op{
		"a lost write":                      {op(Set, "a", "", 1, 2), op(Set, "b", "", 3, 4), op(Get, "", "a", 5, 6)},
		"a lost first write":                {op(Set, "a", "", 1, 2), op(Get, "", "", 3, 4)},
		"a stale read beside a good one":    {op(Set, "a", "", 1, 2), op(Set, "b", "", 3, 4), op(Get, "", "b", 5, 6), op(Get, "", "a", 7, 8)},
		"a read goes back in time":          {op(Set, "a", "", 1, 2), op(Set, "b", "", 3, 9), op(Get, "", "b", 4, 5), op(Get, "", "a", 6, 7)},
		"an exchange that another has had":  {op(Set, "a", "", 1, 2), op(GetSet, "b", "a", 3, 4), op(GetSet, "c", "a", 5, 6)},
		"a value from nowhere":              {op(Get, "", "z", 1, 2)},
		"a failed write that is there":      {failed(op(Set, "a", "", 1, 2)), op(Get, "", "a", 3, 4)},
		"a write is seen before its call":   {op(Get, "", "a", 1, 2), op(Set, "a", "", 3, 4)},
		"a doubled increment":               {op(Incr, "", "1", 1, 2), op(Incr, "", "3", 3, 4)},
		"a doubled increment, seen by GET":  {op(Incr, "", "1", 1, 2), op(Count, "", "2", 3, 4)},
		"a lost increment":                  {op(Incr, "", "1", 1, 2), op(Incr, "", "1", 3, 4)},
		"one open increment, two gaps":      {op(Incr, "", "", 1, 0), op(Incr, "", "3", 2, 3)},
		"an open increment before its call": {op(Incr, "", "2", 1, 2), op(Incr, "", "", 3, 0)},
		"a lost element":                    {op(Add, "a", "1", 1, 2), op(Add, "b", "1", 3, 4), op(Members, "", "b", 5, 6)},
		"an element is gone again":          {op(Add, "a", "", 1, 0), op(Members, "", "a", 2, 3), op(Members, "", "", 4, 5)},
		"an element that was there already": {op(Add, "a", "0", 1, 2), op(Members, "", "a", 3, 4)},
		"an element from nowhere":           {op(Add, "a", "1", 1, 2), op(Members, "", "a z", 3, 4)},
	} {
		t.Run(name, func(t *testing.T) {
			rep := Check(ops, time.Minute)
			if rep.OK() || rep.Faults[0].Unknown {
				t.Fatalf("got %+v; want it not linearizable", rep)
			}
			if s := rep.Faults[0].String(); !strings.Contains(s, "not linearizable") {
				t.Errorf("got %q", s)
			}
		})
	}
}

// TestUnknownIsNoPass gives the search more than it can do in its time.
func TestUnknownIsNoPass(t *testing.T) {
	var ops []Op
	for i := range int64(40) {
		v := fmt.Sprint("v", i)
		ops = append(ops, op(Set, v, "", i, 1000+i), op(Get, "", v, 100+i, 2000+i))
	}
	ops = append(ops, op(Get, "", "z", 3000, 3001), op(Set, "z", "", 4000, 4001))
	rep := Check(ops, 50*time.Millisecond)
	if rep.OK() || !rep.Faults[0].Unknown || !strings.Contains(rep.Faults[0].String(), "unknown") {
		t.Errorf("got %+v; want it unknown", rep)
	}
}

// TestExplain wants the first reply that fits nothing to be shown last.
func TestExplain(t *testing.T) {
	var ops []Op
	for i := int64(1); i < 100; i++ {
		n := i
		if i >= 60 {
			n++ // one was carried out twice
		}
		ops = append(ops, op(Incr, "", fmt.Sprint(n), 10*i, 10*i+5))
	}
	rep := Check(ops, time.Minute)
	if len(rep.Faults) != 1 {
		t.Fatalf("got %+v; want one fault", rep)
	}
	last := rep.Faults[0].Last
	if got := last[len(last)-1].Reply; got != "61" || len(last) != told {
		t.Errorf("got %s; want 61 to be last of %d", rep.Faults[0], told)
	}
}

func TestUntil(t *testing.T) {
	ops := []Op{op(Set, "a", "", 1, 2), op(GetSet, "b", "a", 3, 8), failed(op(Set, "c", "", 3, 9)), op(Get, "", "b", 6, 7)}
	got := Until(ops, 5)
	if len(got) != 3 || got[0].End != Returned || got[1].End != Open || got[1].Reply != "" || got[1].Return != never || got[2].End != Failed {
		t.Errorf("got %v", got)
	}
}
