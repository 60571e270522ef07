package sessions_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/transload/transload/sessions"
	"github.com/transload/transload/topology"
	"github.com/transload/transload/topology/embedded"
)

func Example() {
	srv, err := embedded.Start(nil) // a Redis inside the process
	if err != nil {
		fmt.Println(err)
		return
	}
	defer srv.Close()
	client, err := topology.Open(srv.Config()) // or migrate.Open, or any client of go-redis's
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()

	key := make([]byte, 32) // from the app's secrets, the same in every process
	_, _ = rand.Read(key)
	m, err := sessions.New(client, sessions.Options{Keys: [][]byte{key}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer m.Close()

	type cart struct{ Items []string }
	app := http.NewServeMux()
	app.HandleFunc("/login", func(w http.ResponseWriter, r *http.Request) {
		if _, err := m.Start(w, r, "alice", cart{}); err != nil { // once the password is proven
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
		}
	})
	app.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		s, state := sessions.From(r.Context())
		if s == nil {
			fmt.Println(state)
			return
		}
		err := sessions.Update(r.Context(), m, s, func(c *cart) error { c.Items = append(c.Items, "pallet"); return nil })
		if err != nil && !errors.Is(err, sessions.ErrUnavailable) {
			fmt.Println(err)
		}
		fmt.Println(state, s.User, string(s.Data))
	})
	h := m.Middleware(app)

	visit := func(path string, cookies []*http.Cookie) []*http.Cookie {
		r := httptest.NewRequestWithContext(context.Background(), http.MethodGet, path, nil)
		for _, c := range cookies {
			r.AddCookie(c)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Result().Cookies()
	}
	visit("/", nil)
	cookies := visit("/login", nil)
	visit("/", cookies)
	_ = srv.Close() // Redis dies
	visit("/", cookies)
	// Output:
	// anonymous
	// live alice {"Items":["pallet"]}
	// degraded alice {"Items":["pallet"]}
}
