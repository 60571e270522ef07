package chaos

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/transload/transload/internal/history"
	"github.com/transload/transload/internal/redisproc"
)

// A span is a time within which a write that was under way may have been lost by
// a failover of Redis itself.
type span struct{ from, to int64 }

// A shard is a primary and its replicas, by their places in the set. Which of
// them is the primary changes; who belongs together does not.
type shard struct {
	replid string // of its primary, when it was last confirmed
	at     int64  // the last moment up to which every replica has every write
}

// A witness watches what the replicas of a set have.
type witness struct {
	set      *redisproc.Set
	replicas int // of each primary

	mu     sync.Mutex
	shards map[string]*shard
	spans  []span
}

const lookEvery = 200 * time.Millisecond

// watch looks until ctx is done.
func (w *witness) watch(ctx context.Context) {
	t := time.NewTicker(lookEvery)
	defer t.Stop()
	for ctx.Err() == nil {
		w.look(ctx)
		select {
		case <-ctx.Done():
		case <-t.C:
		}
	}
}

// A standing is what a server says of its replication.
type standing struct {
	role, replid, offset, port, primary string
}

// look confirms each shard whose replicas all have what its primary had.
func (w *witness) look(ctx context.Context) {
	before := history.Now()
	first := w.ask(ctx)
	second := w.ask(ctx) // replicas must be asked after their primary
	after := history.Now()
	for i, p := range first {
		if p.role != "master" {
			continue
		}
		members := []string{strconv.Itoa(i)}
		for j, r := range second {
			if r.role == "slave" && r.primary == p.port && r.replid == p.replid && number(r.offset) >= number(p.offset) {
				members = append(members, strconv.Itoa(j))
			}
		}
		if len(members) == 1+w.replicas {
			slices.Sort(members)
			w.confirm(strings.Join(members, ","), p.replid, before, after)
		}
	}
}

func (w *witness) confirm(members, replid string, before, after int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.shards[members]
	if s == nil {
		s = &shard{replid: replid}
		w.shards[members] = s
	}
	if s.replid != replid {
		w.spans = append(w.spans, span{s.at, after})
	}
	s.replid, s.at = replid, before
}

// ask asks every data server at once. One that does not answer has no role.
func (w *witness) ask(ctx context.Context) []standing {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	all := make([]standing, len(w.set.Nodes))
	var wg sync.WaitGroup
	for i, n := range w.set.Nodes {
		wg.Go(func() { all[i] = ask(ctx, n) })
	}
	wg.Wait()
	return all
}

func ask(ctx context.Context, n *redisproc.Server) (s standing) {
	v, err := n.Do(ctx, "INFO", "replication")
	if err != nil {
		return s
	}
	text, _ := v.(string)
	f := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			f[name] = value
		}
	}
	_, s.port, _ = strings.Cut(n.Addr(), ":")
	s.role, s.replid, s.offset = f["role"], f["master_replid"], f["master_repl_offset"]
	if s.role == "slave" {
		s.primary, s.offset = f["master_port"], f["slave_repl_offset"]
		if f["master_link_status"] != "up" {
			s.role = ""
		}
	}
	return s
}

func number(s string) int64 {
	n, _ := strconv.ParseInt(s, 10, 64)
	return n
}

// whole waits until every shard has been confirmed anew.
func (w *witness) whole(ctx context.Context, shards int) error {
	since := history.Now()
	for {
		w.mu.Lock()
		good := 0
		for _, s := range w.shards {
			if s.at > since {
				good++
			}
		}
		w.mu.Unlock()
		if good == shards {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d of %d shards have all their replicas: %w", good, shards, context.Cause(ctx))
		case <-time.After(lookEvery):
		}
	}
}

// failovers returns the spans so far.
func (w *witness) failovers() []span {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.spans)
}
