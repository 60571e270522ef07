package protocol

import "slices"

// A Range says which side serves the slots from Lo up to, not including, Hi.
// None means that an operation waits.
type Range struct {
	Lo, Hi      int
	Read, Write Side
	Moving      bool // a move that is under way shall change the authority
}

// ranges works out, from the records that a member obeys, which side serves
// which slots of a workload. An empty record gives nothing. Whether the member
// holds a lease on that side is for the caller to check at each use.
func ranges(source, target Record, workload string) []Range {
	edges := []int{0, Slots}
	for _, r := range []Record{source, target} {
		edges = append(edges, r.Cuts[workload])
		if r.Move != nil {
			if goal, ok := r.Move.Goal[workload]; ok {
				edges = append(edges, goal)
			}
		}
	}
	slices.Sort(edges)
	edges = slices.Compact(edges)
	var out []Range
	for i, lo := range edges[:len(edges)-1] {
		rg := Range{Lo: lo, Hi: edges[i+1]}
		rg.Read, rg.Write = serve(source, target, workload, lo)
		rg.Moving = source.Moving(workload, lo) || target.Moving(workload, lo)
		out = append(out, rg)
	}
	return out
}

// serve decides for one slot. Where both sides own it, one of them has lost its
// record to a failover, and the higher epoch is right.
func serve(source, target Record, workload string, slot int) (read, write Side) {
	a, b := source.State(workload, slot), target.State(workload, slot)
	if a == Owns && b == Owns {
		if source.Epoch > target.Epoch {
			return Source, Source
		}
		return Target, Target
	}
	for _, side := range Sides {
		mine, theirs, other := a, b, target
		self := source
		if side == Target {
			mine, theirs, other, self = b, a, source, target
		}
		switch {
		case mine == Owns:
			// A side that still owns by an old record while the other holds or
			// owns by a newer one is decided by the case above or by epochs.
			return side, side
		case mine == Holds && theirs != Owns:
			read = side
		case mine == Awaits && theirs == Given && other.At(self.Move.ID, Committed):
			read = side
		}
	}
	return read, None
}
