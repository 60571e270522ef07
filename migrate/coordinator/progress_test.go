package coordinator

import "testing"

// TestProgressTotal fills an empty target: the keys that were copied are found
// again there, and the total has them.
func TestProgressTotal(t *testing.T) {
	t.Parallel()
	s := pair(t)
	seed(t, s.source, 500)
	c := coordinate(t, s, func(o *Options) { o.NoMembers = true })
	shadowing(t, c)
	waitShadow(t, c)
	c.mu.Lock()
	sync := c.term.syncer
	c.mu.Unlock()
	sync.mu.Lock()
	pass := sync.pass
	sync.mu.Unlock()
	if pass.Keys > pass.Total {
		t.Errorf("got %d keys of %d; want no more than the total", pass.Keys, pass.Total)
	}
	if p := sync.progress(); p.Keys > p.Total || p.ETA < 0 {
		t.Errorf("got %+v; want no more keys than the total", p)
	}
}
