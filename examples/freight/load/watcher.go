package load

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// A watcher has the map open: it follows the trucks, and comes back where it was when
// its socket ends, as the browser's client does.
type watcher struct {
	u *user

	mu   sync.Mutex
	last map[string]fix
	pos  string
	ends int // sockets that ended
}

// silence is how long a socket may say nothing: the server speaks each 25 s.
const silence = time.Minute

func (w *watcher) live(ctx context.Context) {
	for ctx.Err() == nil {
		if w.u.signedIn() {
			w.follow(ctx)
			w.mu.Lock()
			w.ends++
			w.mu.Unlock()
			w.u.elsewhere()
		}
		wait(ctx, 200*time.Millisecond)
	}
}

func (u *user) signedIn() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.in
}

func (w *watcher) follow(ctx context.Context) {
	at := "ws" + strings.TrimPrefix(w.u.base(), "http") + "/live"
	c, resp, err := websocket.DefaultDialer.DialContext(ctx, at, http.Header{"Cookie": {w.u.cookie()}})
	if err != nil {
		if resp != nil {
			w.u.look(resp.StatusCode)
		}
		return
	}
	defer func() { _ = c.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = c.Close() })
	defer stop()
	w.mu.Lock()
	wish := map[string]string{"subscribe": "fleet", "since": w.pos}
	w.mu.Unlock()
	if c.WriteJSON(wish) != nil {
		return
	}
	for {
		_ = c.SetReadDeadline(time.Now().Add(silence))
		_, text, err := c.ReadMessage()
		if err != nil {
			return
		}
		w.take(text)
	}
}

// take notes the positions of a message.
func (w *watcher) take(text []byte) {
	var events []struct {
		Event, Pos string
		Data       json.RawMessage
	}
	if err := json.Unmarshal(text, &events); err != nil {
		w.u.j.Wrong("a socket's message is no list of events: %s", clip(text))
		return
	}
	n := int64(0)
	w.mu.Lock()
	for _, e := range events {
		if e.Pos != "" {
			w.pos = e.Pos
		}
		var x fix
		if e.Event != "" || json.Unmarshal(e.Data, &x) != nil {
			continue
		}
		n++
		if x.At >= w.last[x.Plate].At {
			w.last[x.Plate] = x
		}
	}
	w.mu.Unlock()
	w.u.j.enter(func() { w.u.j.seen += n })
}

// missing returns the trucks that the watcher does not see where they are.
func (w *watcher) missing(want map[string]fix) (plates []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for plate, x := range want {
		if w.last[plate] != x {
			plates = append(plates, plate)
		}
	}
	return plates
}
