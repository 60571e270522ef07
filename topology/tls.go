package topology

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io/fs"
	"os"
)

// config reads the files and returns a configuration without a ServerName unless
// one is told: the dialler puts in the host that it dials. It calls bad for each
// field at fault, with an error that holds neither paths nor what the files hold.
func (t TLS) config(bad func(field string, err error)) *tls.Config {
	conf := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.ServerName}
	if t.CAFile != "" {
		pem, err := os.ReadFile(t.CAFile)
		conf.RootCAs = x509.NewCertPool()
		if err != nil {
			bad("TLS.CAFile", reason(err))
		} else if !conf.RootCAs.AppendCertsFromPEM(pem) {
			bad("TLS.CAFile", errors.New("names a file without a PEM certificate"))
		}
	}
	if t.CertFile != "" && t.KeyFile != "" {
		cert, err1 := os.ReadFile(t.CertFile)
		key, err2 := os.ReadFile(t.KeyFile)
		switch {
		case err1 != nil:
			bad("TLS.CertFile", reason(err1))
		case err2 != nil:
			bad("TLS.KeyFile", reason(err2))
		default:
			pair, err := tls.X509KeyPair(cert, key)
			if err != nil {
				bad("TLS.CertFile", errors.New("and its key are no pair of PEM files"))
			}
			conf.Certificates = []tls.Certificate{pair}
		}
	}
	return conf
}

// reason strips the path from an error of package os.
func reason(err error) error {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		err = pe.Err
	}
	return errors.New("names a file that cannot be read: " + err.Error())
}
