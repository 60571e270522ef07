package topology

import (
	"errors"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Faults of URLs. net/url's own errors hold the URL, and with it the password.
var (
	errURLForm   = errors.New("cannot be parsed as a URL; a password with characters such as @ / ? # must be percent-encoded, or set in a variable of its own")
	errURLScheme = errors.New("is not a redis://, rediss:// or unix:// URL")
	errURLPath   = errors.New("has a path that is not the number of a database")
	errURLDB     = errors.New("names two different databases")
	errURLSocket = errors.New("names no absolute path, as in unix:///run/redis.sock")
	errURLVerify = errors.New("has the option skip_verify: certificates are always verified; name the authority in TLS_CA")
	errURLOption = errors.New("has a query option other than " + strings.Join(urlOptions, ", "))
	errURLValue  = errors.New("has a query option whose value is not valid; a duration needs a unit, as in 500ms")
)

// urlOptions are the query options with a meaning here. The others of go-redis
// and ioredis are refused, since ignoring one would be worse.
var urlOptions = []string{"db", "dial_timeout", "read_timeout", "pool_size", "max_retries"}

// An endpoint is what a URL says.
type endpoint struct {
	addr     string
	tls      bool
	username string
	password Secret
	db       int
	has      map[string]bool // of urlOptions; a path counts as db

	dial, read    time.Duration
	pool, retries int
}

// parseURL reads redis://, rediss:// and unix:// URLs and reports every fault,
// never with a part of the URL in it: what looks like a host or an option may be
// the rest of a password with a stray "@" or "?".
func parseURL(raw string) (endpoint, []error) {
	u, err := url.Parse(strings.TrimSpace(raw))
	if err != nil {
		return endpoint{}, []error{errURLForm}
	}
	if u.Opaque != "" || !slices.Contains([]string{"redis", "rediss", "unix"}, u.Scheme) {
		return endpoint{}, []error{errURLScheme}
	}
	if u.Fragment != "" || strings.HasSuffix(raw, "#") || u.Scheme != "unix" && strings.Contains(u.Path, "@") || strings.Contains(u.RawQuery, "@") {
		return endpoint{}, []error{errURLForm}
	}
	e := endpoint{tls: u.Scheme == "rediss", has: map[string]bool{}}
	if u.User != nil {
		e.username = u.User.Username()
		password, _ := u.User.Password()
		e.password = Secret(password)
	}
	var errs []error
	if u.Scheme == "unix" {
		e.addr = u.Path
		if u.Host != "" || !isSocket(u.Path) {
			errs = append(errs, errURLSocket)
		}
	} else {
		errs = append(errs, e.host(u)...)
		errs = append(errs, e.path(u.Path)...)
	}
	return e, append(errs, e.query(u.RawQuery)...)
}

// host takes the server's name and port.
func (e *endpoint) host(u *url.URL) []error {
	host, port := u.Hostname(), defaultPort
	var errs []error
	if err := checkHost(host); err != nil {
		errs = append(errs, err)
	}
	if strings.HasPrefix(u.Host, "[") {
		if a, err := netip.ParseAddr(host); err != nil || !a.Is6() {
			errs = append(errs, errHost)
		}
	}
	if p := u.Port(); p != "" || strings.HasSuffix(u.Host, ":") {
		n, err := parsePort(p)
		if err != nil {
			errs = append(errs, err)
		}
		port = n
	}
	e.addr = net.JoinHostPort(host, strconv.Itoa(port))
	return errs
}

// path takes the number of a database.
func (e *endpoint) path(path string) []error {
	if path = strings.TrimPrefix(path, "/"); path == "" {
		return nil
	}
	n, err := parseNumber(path)
	if err != nil {
		return []error{errURLPath}
	}
	e.db, e.has["db"] = n, true
	return nil
}

// query takes the options.
func (e *endpoint) query(raw string) []error {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return []error{errURLForm}
	}
	var errs []error
	for _, name := range urlOptions {
		if v, ok := values[name]; ok {
			if err := e.option(name, v); err != nil {
				errs = append(errs, err)
			}
			delete(values, name)
		}
	}
	if _, ok := values["skip_verify"]; ok {
		errs = append(errs, errURLVerify)
		delete(values, "skip_verify")
	}
	if len(values) != 0 {
		errs = append(errs, errURLOption)
	}
	return errs
}

func (e *endpoint) option(name string, values []string) error {
	if len(values) != 1 {
		return errURLValue
	}
	var err error
	switch v := values[0]; name {
	case "db":
		before, had := e.db, e.has["db"]
		if e.db, err = parseNumber(v); err == nil && had && e.db != before {
			return errURLDB
		}
	case "dial_timeout":
		e.dial, err = parseDuration(v)
	case "read_timeout":
		e.read, err = parseDuration(v)
	case "pool_size":
		e.pool, err = parsePositive(v)
	case "max_retries":
		e.retries, err = parseRetries(v)
	}
	if err != nil {
		return errURLValue
	}
	e.has[name] = true
	return nil
}
