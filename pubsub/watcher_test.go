package pubsub

import (
	"bytes"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// A seen is what a watcher has seen of a vehicle.
type seen struct {
	last  int
	gap   bool
	got   map[int]bool // of tracks
	wrong []string
	gaps  int
	lost  []int // skipped, and told
}

// A watcher is a client in a browser, as far as it matters.
type watcher struct {
	f      *fleet
	ws     *websocket.Conn
	mu     sync.Mutex
	seen   map[string]*seen // by topic and key
	states []string
}

// watch connects n clients, each of which follows some vehicles.
func (f *fleet) watch(n int, follow func() []*vehicle) {
	f.t.Helper()
	var wg sync.WaitGroup
	slots := make(chan struct{}, 32)
	var mu sync.Mutex
	for i := range n {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			ws, _, err := f.sites[i%len(f.sites)].dial()
			if err != nil {
				f.t.Errorf("dial: %v", err)
				return
			}
			w := &watcher{f: f, ws: ws, seen: map[string]*seen{}}
			topics := map[string]bool{}
			for _, v := range follow() {
				w.seen[v.topic+v.key] = &seen{got: map[int]bool{}}
				topics[v.topic] = true
			}
			for topic := range topics {
				if err := ws.WriteJSON(map[string]string{"subscribe": topic}); err != nil {
					f.t.Errorf("subscribe: %v", err)
				}
			}
			mu.Lock()
			f.watchers = append(f.watchers, w)
			mu.Unlock()
		})
	}
	wg.Wait()
	var readers sync.WaitGroup
	for _, w := range f.watchers {
		readers.Go(w.read)
	}
	f.t.Cleanup(func() {
		for _, w := range f.watchers {
			_ = w.ws.Close()
		}
		readers.Wait()
	})
}

func (w *watcher) read() {
	for {
		_, text, err := w.ws.ReadMessage()
		if err != nil {
			return
		}
		list, err := readWires(text)
		if err != nil {
			w.f.t.Errorf("%v", err)
			return
		}
		now := time.Since(w.f.began)
		var took []time.Duration
		w.mu.Lock()
		for _, e := range list {
			if d, ok := w.take(e, now); ok {
				took = append(took, d)
			}
		}
		w.mu.Unlock()
		w.f.delays.add(took)
	}
}

// readWires reads what a socket got. Two thousand clients in one process with what they
// test must be cheap, so that messages are taken apart by hand.
func readWires(text []byte) (list []wire, err error) {
	if bytes.Contains(text, []byte(`"event"`)) {
		return list, json.Unmarshal(text, &list)
	}
	for part := range bytes.SplitSeq(text, []byte(`{"topic":"`)) {
		topic, rest, ok := bytes.Cut(part, []byte(`"`))
		if !ok {
			continue
		}
		e := wire{Topic: string(topic)}
		if _, after, ok := bytes.Cut(rest, []byte(`"key":"`)); ok {
			key, after, _ := bytes.Cut(after, []byte(`"`))
			e.Key, rest = string(key), after
		}
		_, data, ok := bytes.Cut(rest, []byte(`"data":`))
		if !ok {
			return nil, fmt.Errorf("a message without data: %s", part)
		}
		e.Data = data
		list = append(list, e)
	}
	return list, nil
}

// number reads a number of a fix.
func number(data []byte, name string) (n int64) {
	_, rest, _ := bytes.Cut(data, []byte(name))
	for _, c := range rest {
		if c < '0' || c > '9' {
			break
		}
		n = 10*n + int64(c-'0')
	}
	return n
}

// take notes an event. mu is held.
func (w *watcher) take(e wire, now time.Duration) (took time.Duration, ok bool) {
	switch e.Event {
	case evDegraded, evLive, evDenied:
		w.states = append(w.states, e.Event)
		return 0, false
	case evGap, evSnapshot:
		if s := w.seen[e.Topic+e.Key]; s != nil {
			s.gap = true
			s.gaps++
		}
		return 0, false
	case "":
	default:
		return 0, false
	}
	s := w.seen[e.Topic+e.Key]
	if s == nil {
		return 0, false
	}
	v := fix{N: int(number(e.Data, `"n":`)), Sent: number(e.Data, `"sent":`)}
	track := e.Key == ""
	switch {
	case track && s.got[v.N]:
		s.wrong = append(s.wrong, fmt.Sprintf("%d came twice", v.N))
	case track && v.N < s.last:
		s.wrong = append(s.wrong, fmt.Sprintf("%d came after %d", v.N, s.last))
	case track && s.last > 0 && v.N > s.last+1:
		for n := s.last + 1; n < v.N; n++ {
			s.lost = append(s.lost, n)
		}
		if !s.gap {
			s.wrong = append(s.wrong, fmt.Sprintf("%d came after %d, and no gap was told", v.N, s.last))
		}
	}
	if track {
		s.got[v.N] = true
	}
	s.last, s.gap = v.N, false
	return now - time.Duration(v.Sent), true
}
