package redistest

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"testing"

	"github.com/transload/transload/internal/redisproc"
)

// TLSConfig returns a client's settings for servers with these certificates, or
// nil if they have none.
func TLSConfig(tb testing.TB, c *redisproc.Certs) *tls.Config {
	tb.Helper()
	if c == nil {
		return nil
	}
	ca, err := os.ReadFile(c.CA)
	if err != nil {
		tb.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(ca) {
		tb.Fatalf("%s: no certificate", c.CA)
	}
	pair, err := tls.LoadX509KeyPair(c.Cert, c.Key)
	if err != nil {
		tb.Fatal(err)
	}
	return &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
}
