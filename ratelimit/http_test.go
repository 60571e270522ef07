package ratelimit

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// serve asks a server with a limiter.
func (k *kit) serve(l *Limiter, r *http.Request, opts ...MiddlewareOption) *http.Response {
	k.t.Helper()
	m, err := l.Middleware(opts...)
	if err != nil {
		k.t.Fatal(err)
	}
	w := httptest.NewRecorder()
	m(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })).ServeHTTP(w, r)
	return w.Result()
}

func from(addr string, forwarded ...string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.RemoteAddr = addr
	for _, f := range forwarded {
		r.Header.Add("X-Forwarded-For", f)
	}
	return r
}

func TestMiddleware(t *testing.T) {
	bubble(t, func(t *testing.T, k *kit) {
		l := k.limiter([]Policy{{Name: "per-minute", Limit: 2, Per: time.Minute}, {Name: "daily", Limit: 100, Per: 24 * time.Hour}})
		res := k.serve(l, from("192.0.2.1:1000"), XHeaders())
		if res.StatusCode != http.StatusNoContent {
			t.Fatalf("got %s", res.Status)
		}
		k.serve(l, from("192.0.2.1:2000"))
		res = k.serve(l, from("192.0.2.1:3000"), XHeaders())
		for name, want := range map[string]string{
			"RateLimit":             `"per-minute";r=0;t=60, "daily";r=98;t=86400`,
			"RateLimit-Policy":      `"per-minute";q=2;w=60, "daily";q=100;w=86400`,
			"Retry-After":           "60",
			"Content-Type":          "application/problem+json",
			"Cache-Control":         "no-store",
			"X-RateLimit-Limit":     "2",
			"X-RateLimit-Remaining": "0",
			"X-RateLimit-Reset":     fmt.Sprint(time.Now().Add(time.Minute).Unix()),
		} {
			if got := res.Header.Get(name); got != want {
				t.Errorf("%s: got %s; want %s", name, got, want)
			}
		}
		var p problem
		if err := json.NewDecoder(res.Body).Decode(&p); err != nil || res.StatusCode != http.StatusTooManyRequests ||
			p.Status != http.StatusTooManyRequests || p.Type != quotaExceeded || fmt.Sprint(p.Violated) != "[per-minute]" {
			t.Errorf("got %s, %+v, %v", res.Status, p, err)
		}
		if res = k.serve(l, from("192.0.2.1:3000"), Asking("daily")); res.StatusCode != http.StatusNoContent {
			t.Errorf("asking daily alone: got %s", res.Status)
		}
		if res = k.serve(l, from("192.0.2.3:3000"), Costing(func(*http.Request) int64 { return -7 })); res.Header.Get("RateLimit") != `"per-minute";r=1;t=60, "daily";r=99;t=86400` {
			t.Errorf("less than one unit: got %v; want that it counts as one", res.Header)
		}
	})
}

// TestMoreThanThereEverIs: no waiting brings what costs more than a policy has, so that
// nobody is asked to wait; and none of it is taken.
func TestMoreThanThereEverIs(t *testing.T) {
	bubble(t, func(t *testing.T, k *kit) {
		l := k.limiter([]Policy{{Name: "per-minute", Limit: 2, Per: time.Minute}, {Name: "daily", Limit: 100, Per: 24 * time.Hour}})
		res := k.serve(l, from("192.0.2.2:3000"), Costing(func(*http.Request) int64 { return 3 }))
		var p problem
		if err := json.NewDecoder(res.Body).Decode(&p); err != nil || res.StatusCode != http.StatusTooManyRequests ||
			p.Type != quotaExceeded || fmt.Sprint(p.Violated) != "[per-minute]" {
			t.Errorf("got %s, %+v, %v; want that per-minute never has 3", res.Status, p, err)
		}
		for name, want := range map[string]string{"Retry-After": "", "RateLimit-Policy": `"per-minute";q=2;w=60, "daily";q=100;w=86400`, "Cache-Control": "no-store"} {
			if got := res.Header.Get(name); got != want {
				t.Errorf("%s: got %q; want %q", name, got, want)
			}
		}
		if keys := k.mini.Keys(); len(keys) != 0 {
			t.Errorf("got keys %q; want that Redis was not asked", keys)
		}
	})
}

func TestMiddlewareInAnOutage(t *testing.T) {
	for name, tt := range map[string]struct {
		outage Outage
		want   int
	}{
		"local share": {LocalShare, http.StatusTooManyRequests},
		"deny":        {Deny, http.StatusServiceUnavailable},
		"allow":       {Allow, http.StatusNoContent},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, k *kit) {
				l := k.limiter([]Policy{{Name: "login", Limit: 5, Per: time.Minute, OnOutage: tt.outage}})
				k.mode.Store(down)
				k.serve(l, from("192.0.2.1:1"))
				res := k.serve(l, from("192.0.2.1:1"))
				if res.StatusCode != tt.want || (res.Header.Get("Retry-After") == "") != (tt.outage == Allow) {
					t.Errorf("got %s, retry after %q; want %d", res.Status, res.Header.Get("Retry-After"), tt.want)
				}
				if tt.outage == Allow {
					return
				}
				var p problem
				if err := json.NewDecoder(res.Body).Decode(&p); err != nil || p.Status != tt.want || fmt.Sprint(p.Violated) != "[login]" ||
					res.Header.Get("Cache-Control") != "no-store" {
					t.Errorf("got %+v, %v, %v; want the policy named, and not to be cached", p, err, res.Header)
				}
			})
		})
	}
}

func TestProxies(t *testing.T) {
	proxies, err := ParseProxies("10.0.0.0/8", "fd00::/8", "192.0.2.9")
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		r    *http.Request
		want string
	}{
		"no proxy":                          {from("198.51.100.7:80"), "198.51.100.7"},
		"forged by who is no proxy":         {from("198.51.100.7:80", "203.0.113.1"), "198.51.100.7"},
		"one proxy":                         {from("10.0.0.1:80", "198.51.100.7"), "198.51.100.7"},
		"forged before the proxy wrote":     {from("10.0.0.1:80", "203.0.113.1, 198.51.100.7"), "198.51.100.7"},
		"forged as if of a proxy":           {from("10.0.0.1:80", "10.0.0.3, 198.51.100.7"), "198.51.100.7"},
		"two proxies":                       {from("10.0.0.1:80", "203.0.113.1, 198.51.100.7, 10.0.0.2"), "198.51.100.7"},
		"two proxies, a header each":        {from("10.0.0.1:80", "203.0.113.1", "198.51.100.7", "192.0.2.9"), "198.51.100.7"},
		"nobody but proxies":                {from("10.0.0.1:80", "10.0.0.3, 10.0.0.2"), "10.0.0.3"},
		"no header":                         {from("10.0.0.1:80"), "10.0.0.1"},
		"empty header":                      {from("10.0.0.1:80", ""), "10.0.0.1"},
		"rubbish":                           {from("10.0.0.1:80", "198.51.100.7, <script>"), "10.0.0.1"},
		"rubbish behind who is named":       {from("10.0.0.1:80", "unknown, 198.51.100.7"), "198.51.100.7"},
		"with a port":                       {from("10.0.0.1:80", "198.51.100.7:4711"), "198.51.100.7"},
		"IPv6":                              {from("[fd00::1]:80", "2001:db8::1"), "2001:db8::1"},
		"IPv6 with a port":                  {from("[fd00::1]:80", "[2001:db8::1]:4711"), "2001:db8::1"},
		"IPv6 with a zone":                  {from("[fe80::1%eth0]:80", "1.1.1.1"), "fe80::1"},
		"IPv4 in IPv6":                      {from("[::ffff:10.0.0.1]:80", "::ffff:198.51.100.7"), "198.51.100.7"},
		"a proxy's Unix socket":             {from("@", "203.0.113.1, 198.51.100.7"), "198.51.100.7"},
		"a megabyte":                        {from("10.0.0.1:80", strings.Repeat("203.0.113.1,", 100_000)+"198.51.100.7"), "198.51.100.7"},
		"a megabyte of what looks like one": {from("10.0.0.1:80", strings.Repeat("10.0.0.2,", 100_000)+"10.0.0.3"), "10.0.0.2"},
	} {
		if got := proxies.Client(tt.r).String(); got != tt.want {
			t.Errorf("%s: got %s; want %s", name, got, tt.want)
		}
	}
	if got := Proxies(nil).Client(from("10.0.0.1:80", "203.0.113.1")).String(); got != "10.0.0.1" {
		t.Errorf("nobody is trusted: got %s", got)
	}
	if _, err := ParseProxies("10.0.0.0/33", "proxy.example"); err == nil || !strings.Contains(err.Error(), "proxy.example") || !strings.Contains(err.Error(), "/33") {
		t.Errorf("got %v; want both faults", err)
	}
}

func FuzzProxies(f *testing.F) {
	f.Add("10.0.0.1:80", "203.0.113.1, 198.51.100.7")
	f.Add("@", "[::1%x]:1,,")
	proxies := Proxies{netip.MustParsePrefix("10.0.0.0/8")}
	f.Fuzz(func(t *testing.T, peer, forwarded string) {
		// What a client writes itself, in front, changes nothing.
		r := from("10.0.0.1:80", forwarded+",198.51.100.7")
		if got := proxies.Client(r).String(); got != "198.51.100.7" {
			t.Errorf("got %s; want the address that the proxy saw", got)
		}
		if got := AddressSubject(proxies.Client(from(peer, forwarded))); got == "" {
			t.Error("got no subject")
		}
	})
}

func TestAddressSubject(t *testing.T) {
	same := func(a, b string, want bool) {
		t.Helper()
		if got := AddressSubject(netip.MustParseAddr(a)) == AddressSubject(netip.MustParseAddr(b)); got != want {
			t.Errorf("%s and %s are one subject: got %v; want %v", a, b, got, want)
		}
	}
	same("2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff", true)
	same("2001:db8:1:2::1", "2001:db8:1:3::1", false)
	same("192.0.2.1", "192.0.2.2", false)
	same("192.0.2.1", "::ffff:192.0.2.1", true)
	if AddressSubject(netip.Addr{}) == "" {
		t.Error("got no subject for an unknown address")
	}
}

// TestIPv6Rotation: a customer has 2^64 addresses, and one limit.
func TestIPv6Rotation(t *testing.T) {
	bubble(t, func(t *testing.T, k *kit) {
		l := k.limiter(perMinute(5))
		allowed := 0
		for i := range 100 {
			if k.serve(l, from(fmt.Sprintf("[2001:db8:1:2::%x]:80", i))).StatusCode == http.StatusNoContent {
				allowed++
			}
		}
		if allowed != 5 {
			t.Errorf("got %d allowed; want 5", allowed)
		}
	})
}

// TestForgedHeaders: whatever a client writes, its address is limited.
func TestForgedHeaders(t *testing.T) {
	bubble(t, func(t *testing.T, k *kit) {
		l := k.limiter(perMinute(5))
		proxies := Proxies{netip.MustParsePrefix("10.0.0.0/8")}
		key := By(func(r *http.Request) string { return r.Header.Get("X-API-Key") })
		allowed := 0
		for i := range 100 {
			r := from("10.0.0.1:80", fmt.Sprintf("203.0.113.%d, 10.0.0.%d", i, i), "198.51.100.7")
			r.Header.Set("X-Real-IP", fmt.Sprintf("203.0.113.%d", i))
			r.Header.Set("Forwarded", fmt.Sprintf("for=203.0.113.%d", i))
			if k.serve(l, r, BehindProxies(proxies), key).StatusCode == http.StatusNoContent {
				allowed++
			}
		}
		if allowed != 5 {
			t.Errorf("got %d allowed; want 5", allowed)
		}
		r := from("203.0.113.1:80")
		r.Header.Set("X-API-Key", "address 198.51.100.7/32")
		if res := k.serve(l, r, key); res.StatusCode != http.StatusNoContent {
			t.Errorf("a key that names an address: got %s; want a subject of its own", res.Status)
		}
	})
}
