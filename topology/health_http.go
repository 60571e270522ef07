package topology

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// errNotWritable is in what Writable returns.
var errNotWritable = errors.New("topology: writes fail")

// LiveHandler answers 200 as long as the process can answer at all. It asks
// nothing of Redis: to restart an app does not bring a Redis back, and an app
// that is restarted while Redis is away loses what it has in memory.
func LiveHandler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		reply(w, r, http.StatusOK, map[string]string{"status": "alive"})
	})
}

// ReadyHandler answers 200 if ready says nil of the Redis's Health, and else 503
// with its error. A nil ready is Writable. Whether an app is ready while Redis is
// away is the app's choice: see docs/health.md.
func (c *Client) ReadyHandler(ready func(Health) error) http.Handler {
	if ready == nil {
		ready = Writable
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := ready(c.Health(r.Context())); err != nil {
			reply(w, r, http.StatusServiceUnavailable, map[string]string{"status": "not ready", "reason": err.Error()})
			return
		}
		reply(w, r, http.StatusOK, map[string]string{"status": "ready"})
	})
}

// Writable returns nil unless the Redis is Unhealthy. It is for ReadyHandler. No
// write is tried: those of the process tell.
func Writable(h Health) error {
	if h.Status != Unhealthy {
		return nil
	}
	return fmt.Errorf("%w: %s", errNotWritable, strings.Join(h.Reasons, "; "))
}

// HealthHandler answers with the Health as JSON: 200 if it is Healthy or
// Degraded, 503 if it is Unhealthy. It tells addresses, so it is not for the
// public.
func (c *Client) HealthHandler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := c.Health(r.Context())
		code := http.StatusOK
		if h.Status == Unhealthy {
			code = http.StatusServiceUnavailable
		}
		reply(w, r, code, h)
	})
}

// reply writes v as JSON. Only questions are answered.
func reply(w http.ResponseWriter, r *http.Request, code int, v any) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	_ = enc.Encode(v) // whoever asked has left
}
