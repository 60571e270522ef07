package history

import (
	"cmp"
	"slices"
	"strconv"
)

// settle takes out of one key's history what cannot change the answer, and gives
// open increments their numbers. The package's doc says why it may.
func settle(ops []Op) []Op {
	shown := map[string]bool{} // by replies
	for _, o := range ops {
		if o.End == Returned {
			shown[o.Reply] = true
			for _, el := range o.List {
				shown[el] = true
			}
		}
	}
	numbers := unnamed(ops)
	ops = slices.SortedStableFunc(slices.Values(ops), func(a, b Op) int { return cmp.Compare(a.Call, b.Call) })
	var out []Op
	for _, o := range ops {
		switch {
		case o.End == Failed, o.End == Open && o.Kind.reads():
			continue
		case o.End == Open && o.Kind == Incr:
			if len(numbers) == 0 {
				continue
			}
			o.Reply, numbers = numbers[0], numbers[1:]
		case o.End == Open && !shown[o.Value]:
			continue
		}
		out = append(out, o)
	}
	return out
}

// unnamed returns the numbers that a counter has had and no reply of INCR names,
// in order.
func unnamed(ops []Op) (out []string) {
	named, top := map[int]bool{}, 0
	for _, o := range ops {
		if o.End != Returned || o.Kind != Incr && o.Kind != Count {
			continue
		}
		n, _ := strconv.Atoi(o.Reply) // no reply is a counter that was never made
		top = max(top, n)
		if o.Kind == Incr {
			named[n] = true
		}
	}
	for n := 1; n <= top; n++ {
		if !named[n] {
			out = append(out, strconv.Itoa(n))
		}
	}
	return out
}
