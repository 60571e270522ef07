package ratelimit_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/ratelimit"
)

// A user may do 3 things a minute; log-ins are denied while Redis is away.
func Example() {
	server, err := miniredis.Run() // yours is a real one
	if err != nil {
		fmt.Println(err)
		return
	}
	defer server.Close()
	client := redis.NewClient(&redis.Options{Addr: server.Addr(), ContextTimeoutEnabled: true, MaxRetries: -1})
	defer func() { _ = client.Close() }()

	limiter, err := ratelimit.New(client, []ratelimit.Policy{
		{Name: "per-minute", Limit: 3, Per: time.Minute},
		{Name: "login", Limit: 5, Per: 15 * time.Minute, OnOutage: ratelimit.Deny},
	}, ratelimit.WithBudget(time.Second)) // the default is 50ms
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	defer func() { _ = limiter.Close(ctx) }()

	for range 4 {
		d, err := limiter.Take(ctx, "user-42", ratelimit.Only("per-minute"))
		fmt.Println(d.Allowed, d.Remaining, err)
	}

	limited, err := limiter.Middleware(ratelimit.Asking("login"))
	if err != nil {
		fmt.Println(err)
		return
	}
	login := limited(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "welcome") }))
	server.Close() // Redis dies
	w := httptest.NewRecorder()
	login.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/login", nil))
	fmt.Println(w.Code, w.Header().Get("Retry-After"), w.Header().Get("RateLimit-Policy"))
	d, err := limiter.Take(ctx, "user-43", ratelimit.Only("per-minute"))
	fmt.Println(d.Allowed, d.Source, err)
	// Output:
	// true 2 <nil>
	// true 1 <nil>
	// true 0 <nil>
	// false 0 <nil>
	// 503 1 "login";q=5;w=900
	// true outage <nil>
}
