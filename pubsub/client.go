package pubsub

import (
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"net/http"
)

//go:embed live.js
var liveJS []byte

// Client serves the browser's half: one ES module without dependencies, which connects
// again by itself and goes on where it was. Its beginning tells how it is used.
func Client() http.Handler {
	sum := sha256.Sum256(liveJS)
	etag := `"` + hex.EncodeToString(sum[:8]) + `"`
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, http.StatusText(http.StatusMethodNotAllowed), http.StatusMethodNotAllowed)
			return
		}
		head := w.Header()
		head.Set("Content-Type", "text/javascript; charset=utf-8")
		head.Set("Cache-Control", "no-cache") // asked for each time, sent when it has changed
		head.Set("X-Content-Type-Options", "nosniff")
		head.Set("ETag", etag)
		if r.Header.Get("If-None-Match") == etag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		_, _ = w.Write(liveJS) // who has left needs no answer
	})
}
