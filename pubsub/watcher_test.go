package pubsub

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// A seen is what a watcher has seen of a vehicle.
type seen struct {
	topic string
	track bool
	last  int
	gap   bool
	got   []bool // of tracks, by number
	came  int    // of tracks
	wrong []string
	gaps  int
	lost  []int // skipped, and told
}

// A watcher is a client in a browser, as far as it matters.
type watcher struct {
	f      *fleet
	ws     *websocket.Conn
	delays *delays
	mu     sync.Mutex
	seen   map[string]*seen // by topic and key; of tracks the topic alone
	states []string
	name   []byte // of what is looked for
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
			w := &watcher{f: f, ws: ws, delays: f.delays[i%len(f.delays)], seen: map[string]*seen{}}
			topics := map[string]bool{}
			for _, v := range follow() {
				w.seen[v.topic+v.key] = &seen{topic: v.topic, track: !v.latest}
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

// read takes messages until the socket ends. Two thousand clients in one process with
// what they test must be cheap: one buffer each, and messages are taken apart by hand.
func (w *watcher) read() {
	var buf []byte
	var took []time.Duration
	for {
		_, r, err := w.ws.NextReader()
		if err != nil {
			return
		}
		if buf, err = appendAll(buf[:0], r); err != nil {
			return
		}
		now := time.Since(w.f.began)
		w.mu.Lock()
		took, err = w.takeAll(buf, now, took[:0])
		w.mu.Unlock()
		if err != nil {
			w.f.t.Errorf("%v", err)
			return
		}
		w.delays.add(took)
	}
}

// appendAll is io.ReadAll into a buffer that there is.
func appendAll(buf []byte, r io.Reader) ([]byte, error) {
	for {
		buf = slices.Grow(buf, 256)
		n, err := r.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		switch {
		case errors.Is(err, io.EOF):
			return buf, nil
		case err != nil:
			return buf, err
		}
	}
}

// takeAll takes the elements of an array, and adds how long messages were under way. No
// fix has what divides elements. mu is held.
func (w *watcher) takeAll(text []byte, now time.Duration, took []time.Duration) ([]time.Duration, error) {
	text, ok := bytes.CutPrefix(text, []byte(`[{"`))
	if !ok {
		return took, fmt.Errorf("no array of elements: %s", text)
	}
	for part := range bytes.SplitSeq(text, []byte(`},{"`)) {
		topic := quoted(part, `topic":"`)
		if bytes.HasPrefix(part, []byte(`event":"`)) {
			w.told(string(quoted(part, `event":"`)), string(topic))
			continue
		}
		_, data, ok := bytes.Cut(part, []byte(`"data":{`))
		if !ok || topic == nil {
			return took, fmt.Errorf("neither a message nor an event: %s", part)
		}
		w.name = append(append(w.name[:0], topic...), quoted(part, `"key":"`)...)
		if s := w.seen[string(w.name)]; s != nil {
			s.take(int(number(data, `"n":`)))
			took = append(took, now-time.Duration(number(data, `"sent":`)))
		}
	}
	return took, nil
}

// quoted reads a text.
func quoted(part []byte, name string) []byte {
	_, rest, ok := bytes.Cut(part, []byte(name))
	if !ok {
		return nil
	}
	text, _, _ := bytes.Cut(rest, []byte(`"`))
	return text
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

// told notes what is no message.
func (w *watcher) told(event, topic string) {
	switch event {
	case evDegraded, evLive, evDenied:
		w.states = append(w.states, event)
	case evGap, evSnapshot:
		for _, s := range w.seen {
			if s.topic == topic {
				s.gap = true
				s.gaps++
			}
		}
	}
}

// take notes a fix. Of tracks none may be missing or come twice, and a position may
// skip some; neither goes back, unless the client was told that something is new.
func (s *seen) take(n int) {
	wrong := func(format string, args ...any) { s.wrong = append(s.wrong, fmt.Sprintf(format, args...)) }
	if n <= s.last && !(s.gap && !s.track) {
		wrong("%d came after %d", n, s.last)
	}
	if s.track {
		s.got = append(s.got, make([]bool, max(n+1-len(s.got), 0))...)
		if s.got[n] {
			wrong("%d came twice", n)
		}
		s.got[n] = true
		s.came++
		for missed := s.last + 1; s.last > 0 && missed < n; missed++ {
			s.lost = append(s.lost, missed)
			if !s.gap {
				wrong("%d is missing, and no gap was told before %d", missed, n)
			}
		}
	}
	s.last, s.gap = n, false
}
