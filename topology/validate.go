package topology

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Faults that settings of several kinds share.
var (
	ErrRequired = errors.New("is required")
	ErrUnknown  = errors.New("is not one of the choices")
)

// A FieldError names the setting at fault, but not its value: that may be secret.
// Name is an env variable if the setting came from one, else a field of Config.
type FieldError struct {
	Name string
	Err  error
}

// Error says what is wrong with which setting.
func (e *FieldError) Error() string { return e.Name + ": " + e.Err.Error() }

// Unwrap returns what is wrong.
func (e *FieldError) Unwrap() error { return e.Err }

// Validate reports every fault of c at once, each as a FieldError; ErrDisabled
// if there is nothing to validate. It reads the files that TLS names, and dials
// nothing.
func (c Config) Validate() error {
	if c.Disabled() {
		return ErrDisabled
	}
	var errs []error
	c.check(func(field string, err error) { errs = append(errs, &FieldError{Name: field, Err: err}) })
	return errors.Join(errs...)
}

// check calls bad with the name of each field at fault.
func (c Config) check(bad func(field string, err error)) {
	c.checkAddrs(bad)
	when := func(fault bool, field string, err error) {
		if fault {
			bad(field, err)
		}
	}
	when(c.DB < 0, "DB", errors.New("is negative"))
	when(c.DB != 0 && c.Mode == Cluster, "DB", errors.New("must be 0: a cluster has no other database"))
	when(c.Username != "" && c.Password == "", "Username", errors.New("needs a password beside it"))
	when(c.Mode == Sentinel && c.SentinelMaster == "", "SentinelMaster", ErrRequired)
	when(strings.ContainsAny(c.SentinelMaster, " \t\r\n"), "SentinelMaster", errors.New("holds white space"))
	when(c.SentinelUsername != "" && c.SentinelPassword == "" && c.Password == "",
		"SentinelUsername", errors.New("needs a password beside it"))
	c.checkTLS(bad)
	c.checkReader(bad)
	when(c.PoolSize < 0, "PoolSize", errors.New("is negative"))
	when(c.Retries < -1, "Retries", errors.New("is less than -1"))
	when(c.Retries > maxRetries, "Retries", fmt.Errorf("is more than %d", maxRetries))
	c.checkTimeouts(bad)
	for announced, reachable := range c.AddrMap {
		if checkAddr(announced) != nil || checkAddr(reachable) != nil {
			bad("AddrMap", errors.New("holds an entry that is not host:port=host:port"))
			break
		}
	}
}

// maxRetries keeps a command from being sent for minutes.
const maxRetries = 100

func (c Config) checkAddrs(bad func(field string, err error)) {
	switch c.Mode {
	case Standalone, Sentinel, Cluster:
	case "":
		bad("Mode", ErrRequired)
	default:
		bad("Mode", ErrUnknown)
	}
	if len(c.Addrs) == 0 {
		bad("Addrs", ErrRequired)
	}
	if c.Mode == Standalone && len(c.Addrs) > 1 {
		bad("Addrs", errors.New("holds several addresses: a standalone server has one"))
	}
	for _, addr := range c.Addrs {
		if isSocket(addr) && c.Mode == Standalone {
			continue
		}
		if err := checkAddr(addr); err != nil {
			bad("Addrs", err)
			return
		}
	}
}

func (c Config) checkTLS(bad func(field string, err error)) {
	set := map[string]string{"TLS.CAFile": c.TLS.CAFile, "TLS.CertFile": c.TLS.CertFile, "TLS.KeyFile": c.TLS.KeyFile, "TLS.ServerName": c.TLS.ServerName}
	if !c.TLS.Enabled {
		for _, field := range []string{"TLS.CAFile", "TLS.CertFile", "TLS.KeyFile", "TLS.ServerName"} {
			if set[field] != "" && !c.Reader.TLS {
				bad(field, errors.New("is set, but TLS is off"))
			}
		}
		return
	}
	if len(c.Addrs) == 1 && isSocket(c.Addrs[0]) {
		bad("TLS.Enabled", errors.New("has no meaning on a Unix socket"))
	}
	if c.TLS.CertFile != "" && c.TLS.KeyFile == "" {
		bad("TLS.KeyFile", errors.New("is required beside a certificate"))
	}
	if c.TLS.KeyFile != "" && c.TLS.CertFile == "" {
		bad("TLS.CertFile", errors.New("is required beside a key"))
	}
	c.TLS.config(bad)
}

// leastMaxLag is some looks: less would be taken for lag where there is none.
const leastMaxLag = 4 * lookEvery

func (c Config) checkReader(bad func(field string, err error)) {
	switch c.Reader.From {
	case "", ReadPrimary:
	case ReadReplica:
		if c.Mode == Standalone && c.Reader.Addr == "" {
			bad("Reader.From", errors.New("asks for replicas, and a standalone server's are unknown without a reader's address"))
		}
	default:
		bad("Reader.From", fmt.Errorf("%w: %s and %s", ErrUnknown, ReadPrimary, ReadReplica))
	}
	if c.Reader.PoolSize < 0 {
		bad("Reader.PoolSize", errors.New("is negative"))
	}
	if lag := c.Reader.MaxLag; lag != 0 && (lag < leastMaxLag || lag > time.Hour) {
		bad("Reader.MaxLag", fmt.Errorf("is not between %v and %v: replicas are looked at each %v", leastMaxLag, time.Hour, lookEvery))
	}
	if own := c.Reader.OwnWrites; own < -1 || own > time.Hour {
		bad("Reader.OwnWrites", fmt.Errorf("is more than %v", time.Hour))
	}
	if c.Reader.Addr == "" {
		return
	}
	if c.Mode != Standalone {
		bad("Reader.Addr", fmt.Errorf("is for a standalone server: in mode %s the replicas are known", c.Mode))
	}
	if err := checkAddr(c.Reader.Addr); err != nil {
		bad("Reader.Addr", err)
	}
	if slices.Contains(c.Addrs, c.Reader.Addr) {
		bad("Reader.Addr", errors.New("is the primary's own address"))
	}
	if c.Reader.Username != "" && c.Reader.Password == "" && c.Password == "" {
		bad("Reader.Addr", errors.New("has a user without a password"))
	}
}

func (c Config) checkTimeouts(bad func(field string, err error)) {
	const least, most = time.Millisecond, time.Hour
	fits := func(field string, d time.Duration) {
		if d != 0 && (d < least || d > most) {
			bad(field, fmt.Errorf("is not between %v and %v", least, most))
		}
	}
	fits("DialTimeout", c.DialTimeout)
	fits("ReadTimeout", c.ReadTimeout)
}
