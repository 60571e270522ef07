package pubsub

// A ring keeps the last messages of a topic, numbers without a hole.
type ring struct {
	list  []*message
	bytes int
	most  int // messages
	limit int // bytes
}

func (r *ring) add(m *message) {
	if n := len(r.list); n > 0 && r.list[n-1].seq+1 != m.seq {
		r.clear()
	}
	r.list = append(r.list, m)
	r.bytes += m.size
	drop := 0
	for len(r.list)-drop > 1 && (len(r.list)-drop > r.most || r.bytes > r.limit) {
		r.bytes -= r.list[drop].size
		r.list[drop] = nil
		drop++
	}
	r.list = r.list[drop:]
}

func (r *ring) clear() { r.list, r.bytes = nil, 0 }

// cut drops what has a number above seq.
func (r *ring) cut(seq int64) {
	for n := len(r.list); n > 0 && r.list[n-1].seq > seq; n-- {
		r.bytes -= r.list[n-1].size
		r.list = r.list[:n-1]
	}
}

// after returns the messages of which the numbers are above seq and at most end, and
// the number before the first that is kept.
func (r *ring) after(seq, end int64) (list []*message, floor int64) {
	if len(r.list) == 0 {
		return nil, end
	}
	floor = r.list[0].seq - 1
	from, to := max(seq-floor, 0), min(end-floor, int64(len(r.list)))
	if from >= to {
		return nil, floor
	}
	return r.list[from:to], floor
}
