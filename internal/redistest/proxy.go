package redistest

import (
	"testing"

	"github.com/transload/transload/internal/faultproxy"
	"github.com/transload/transload/internal/redisproc"
)

// Proxy puts a fault proxy in front of a server; it ends with the test. Clients
// reach the server at the proxy's Addr.
func Proxy(tb testing.TB, s *redisproc.Server) *faultproxy.Proxy {
	tb.Helper()
	p, err := faultproxy.Start(s.Network(), s.Addr())
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := p.Close(); err != nil {
			tb.Errorf("close: %v", err)
		}
	})
	return p
}
