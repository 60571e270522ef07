package topology

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// variables lists the names that FromEnv reads, less the prefix. Those in
// secretVariables may also be given by a file, named in a variable with _FILE at
// its end.
var (
	variables = []string{
		"_ENABLED", "_URL", "_HOST", "_PORT", "_DB", "_USERNAME", "_PASSWORD",
		"_SENTINELS", "_SENTINEL_MASTER", "_SENTINEL_USERNAME", "_SENTINEL_PASSWORD", "_CLUSTER_NODES",
		"_TLS", "_TLS_CA", "_TLS_CERT", "_TLS_KEY", "_TLS_SERVER_NAME",
		"_READER_URL", "_READ_FROM", "_POOL_SIZE", "_READ_POOL_SIZE", "_READ_MAX_LAG", "_READ_OWN_WRITES",
		"_DIAL_TIMEOUT", "_READ_TIMEOUT", "_RETRIES", "_ADDR_MAP",
	}
	secretVariables = []string{"_URL", "_USERNAME", "_PASSWORD", "_SENTINEL_USERNAME", "_SENTINEL_PASSWORD", "_READER_URL"}
)

// FromEnv reads the env variables that begin with prefix, as docs/config.md
// describes them, by way of getenv. It dials nothing, reads the files that
// variables name, and reports every fault at once, by name and without values.
// The error is ErrDisabled if nothing is set, or ENABLED is false.
func FromEnv(prefix string, getenv func(string) string) (Config, error) {
	e := &env{prefix: prefix, getenv: getenv}
	enabled, err := e.enabled()
	if err != nil {
		return Config{}, err
	}
	if !enabled {
		return Config{}, fmt.Errorf("%w: %s_ENABLED is not true, or none of %s_URL, %s_HOST, %s_SENTINELS and %s_CLUSTER_NODES is set",
			ErrDisabled, prefix, prefix, prefix, prefix, prefix)
	}
	c := Config{prefix: prefix}
	e.servers(&c)
	e.common(&c)
	e.reader(&c)
	c.Unused = e.unused()
	// What could not be parsed is zero in c, and must not be called missing too.
	c.check(func(field string, err error) {
		name := e.name(c, field)
		untold := e.byURL && e.faulty("_URL") && !c.TLS.Enabled && strings.HasPrefix(name, "_TLS") // the URL would have said whether there is TLS
		if !e.faulty(name) && !untold {
			e.bad(name, err)
		}
	})
	if err := errors.Join(e.errs...); err != nil {
		return Config{}, err
	}
	return c, nil
}

// env collects what FromEnv has found out.
type env struct {
	prefix string
	getenv func(string) string
	used   []string // suffixes
	byURL  bool     // the server was named by _URL
	errs   []error

	overruled map[string]bool // suffixes of which the URL says the same
}

// bad notes a fault of a variable, by its name without the prefix.
func (e *env) bad(suffix string, err error) {
	e.errs = append(e.errs, &FieldError{Name: e.prefix + suffix, Err: err})
}

func (e *env) faulty(suffix string) bool {
	return slices.ContainsFunc(e.errs, func(err error) bool {
		fe, ok := errors.AsType[*FieldError](err)
		return ok && (fe.Name == e.prefix+suffix || fe.Name == e.prefix+suffix+"_FILE")
	})
}

// isSet reports whether a variable has a value, without taking it for used.
func (e *env) isSet(suffix string) bool {
	return strings.TrimSpace(e.getenv(e.prefix+suffix)) != "" ||
		slices.Contains(secretVariables, suffix) && strings.TrimSpace(e.getenv(e.prefix+suffix+"_FILE")) != ""
}

// str takes a variable's value without white space around it.
func (e *env) str(suffix string) string {
	e.used = append(e.used, suffix)
	return strings.TrimSpace(e.getenv(e.prefix + suffix))
}

// secret takes a variable's value as it is, or that of the file which the
// variable of the same name with _FILE names, less one line end.
func (e *env) secret(suffix string) string {
	e.used = append(e.used, suffix)
	value, file := e.getenv(e.prefix+suffix), strings.TrimSpace(e.getenv(e.prefix+suffix+"_FILE"))
	if file == "" {
		return value
	}
	if value != "" {
		e.bad(suffix+"_FILE", fmt.Errorf("is set beside %s%s: set one of them", e.prefix, suffix))
		return value
	}
	value, err := readSecret(file)
	if err != nil {
		e.bad(suffix+"_FILE", err)
	}
	return value
}

// take parses a variable if it is set and the URL has not overruled it.
func take[T any](e *env, suffix string, to *T, parse func(string) (T, error)) {
	if e.overruled[suffix] {
		return
	}
	s := e.str(suffix)
	if s == "" {
		return
	}
	v, err := parse(s)
	if err != nil {
		e.bad(suffix, err)
		return
	}
	*to = v
}

// enabled tells whether Redis is to be used: ENABLED=false overrules everything,
// and an address stands for ENABLED=true.
func (e *env) enabled() (bool, error) {
	var told bool
	take(e, "_ENABLED", &told, parseBool)
	if len(e.errs) != 0 {
		return false, e.errs[0]
	}
	if e.isSet("_ENABLED") {
		return told, nil
	}
	return slices.ContainsFunc([]string{"_URL", "_HOST", "_SENTINELS", "_CLUSTER_NODES"}, e.isSet), nil
}

// servers takes mode and addresses: sentinels before cluster nodes before a URL
// before a host.
func (e *env) servers(c *Config) {
	list := func(port int) func(string) ([]string, error) {
		return func(s string) ([]string, error) { return parseAddrs(s, port) }
	}
	take(e, "_TLS", &c.TLS.Enabled, parseBool)
	switch {
	case e.isSet("_SENTINELS"):
		c.Mode, c.SentinelMaster = Sentinel, DefaultSentinelMaster
		take(e, "_SENTINELS", &c.Addrs, list(defaultSentinelPort))
		if master := e.str("_SENTINEL_MASTER"); master != "" {
			c.SentinelMaster = master
		}
		c.SentinelUsername = e.secret("_SENTINEL_USERNAME")
		c.SentinelPassword = Secret(e.secret("_SENTINEL_PASSWORD"))
	case e.isSet("_CLUSTER_NODES"):
		c.Mode = Cluster
		take(e, "_CLUSTER_NODES", &c.Addrs, list(defaultPort))
	case e.isSet("_URL"):
		c.Mode = Standalone
		e.url(c)
	default:
		c.Mode = Standalone
		e.host(c)
	}
}

// url takes _URL. What it says goes before the variable of the same meaning.
func (e *env) url(c *Config) {
	e.byURL = true
	u, errs := parseURL(e.secret("_URL"))
	if e.faulty("_URL") {
		return // the file could not be read
	}
	for _, err := range errs {
		e.bad("_URL", err)
	}
	if u.tls && e.isSet("_TLS") && !c.TLS.Enabled {
		e.bad("_TLS", errors.New("is false beside a rediss:// URL"))
	}
	c.Addrs, c.TLS.Enabled = []string{u.addr}, c.TLS.Enabled || u.tls
	c.Username, c.Password, c.DB = u.username, u.password, u.db
	c.DialTimeout, c.ReadTimeout, c.PoolSize, c.Retries = u.dial, u.read, u.pool, u.retries
	overruled := map[string]bool{"_USERNAME": u.username != "", "_PASSWORD": u.password != ""}
	for option, suffix := range map[string]string{
		"db": "_DB", "dial_timeout": "_DIAL_TIMEOUT", "read_timeout": "_READ_TIMEOUT",
		"pool_size": "_POOL_SIZE", "max_retries": "_RETRIES",
	} {
		overruled[suffix] = u.has[option]
	}
	e.overruled = overruled
}

// host takes _HOST and _PORT, or localhost:6379.
func (e *env) host(c *Config) {
	host, port := e.str("_HOST"), defaultPort
	take(e, "_PORT", &port, parsePort)
	if host == "" {
		host = "localhost"
	}
	bare := strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if a, err := netip.ParseAddr(bare); err == nil && a.Is6() {
		host = bare
	} else if _, err := parseAddr(host, port); err != nil {
		e.bad("_HOST", err)
	} else if strings.Contains(host, ":") {
		e.bad("_HOST", fmt.Errorf("holds a port, which belongs in %s_PORT", e.prefix))
	}
	c.Addrs = []string{net.JoinHostPort(host, strconv.Itoa(port))}
}

// common takes what has a meaning in every mode.
func (e *env) common(c *Config) {
	take(e, "_DB", &c.DB, parseNumber)
	if !e.overruled["_USERNAME"] {
		c.Username = e.secret("_USERNAME")
	}
	if !e.overruled["_PASSWORD"] {
		c.Password = Secret(e.secret("_PASSWORD"))
	}
	c.TLS.CAFile, c.TLS.CertFile, c.TLS.KeyFile = e.str("_TLS_CA"), e.str("_TLS_CERT"), e.str("_TLS_KEY")
	c.TLS.ServerName = e.str("_TLS_SERVER_NAME")
	take(e, "_POOL_SIZE", &c.PoolSize, parsePositive)
	take(e, "_DIAL_TIMEOUT", &c.DialTimeout, parseDuration)
	take(e, "_READ_TIMEOUT", &c.ReadTimeout, parseDuration)
	take(e, "_RETRIES", &c.Retries, parseRetries)
	take(e, "_ADDR_MAP", &c.AddrMap, parseAddrMap)
}

// reader takes what says where reads may go. The rest has no meaning where they go
// to the primary.
func (e *env) reader(c *Config) {
	take(e, "_READ_FROM", &c.Reader.From, func(s string) (ReadFrom, error) {
		return ReadFrom(strings.ToLower(s)), nil // checked with all else
	})
	if c.Reader.From == "" || c.Reader.From == ReadPrimary {
		return
	}
	take(e, "_READ_POOL_SIZE", &c.Reader.PoolSize, parsePositive)
	take(e, "_READ_MAX_LAG", &c.Reader.MaxLag, parseDuration)
	take(e, "_READ_OWN_WRITES", &c.Reader.OwnWrites, parseWindow)
	raw := e.secret("_READER_URL")
	if raw == "" || e.faulty("_READER_URL") {
		return
	}
	u, errs := parseURL(raw)
	for _, err := range errs {
		e.bad("_READER_URL", err)
	}
	switch {
	case isSocket(u.addr):
		e.bad("_READER_URL", errors.New("is a Unix socket: a reader is another server"))
	case u.db != c.DB && u.has["db"]:
		e.bad("_READER_URL", errors.New("names another database than the primary's"))
	case len(u.has) > 1 || len(u.has) == 1 && !u.has["db"]:
		e.bad("_READER_URL", errors.New("has query options: set the primary's"))
	}
	c.Reader.Addr, c.Reader.TLS = u.addr, u.tls
	c.Reader.Username, c.Reader.Password = u.username, u.password
}

// name returns the variable, less its prefix, that a field of Config came from.
func (e *env) name(c Config, field string) string {
	switch field {
	case "Addrs", "Mode":
		switch {
		case c.Mode == Sentinel:
			return "_SENTINELS"
		case c.Mode == Cluster:
			return "_CLUSTER_NODES"
		case e.byURL:
			return "_URL"
		}
		return "_HOST"
	case "Username", "Password", "DB", "DialTimeout", "ReadTimeout", "PoolSize", "Retries":
		if e.overruled[fields[field]] {
			return "_URL"
		}
	case "TLS.Enabled":
		if !e.isSet("_TLS") {
			return "_URL"
		}
	}
	return fields[field]
}

// fields leads from fields of Config to variables, less the prefix.
var fields = map[string]string{
	"DB": "_DB", "Username": "_USERNAME", "Password": "_PASSWORD",
	"SentinelMaster": "_SENTINEL_MASTER", "SentinelUsername": "_SENTINEL_USERNAME", "SentinelPassword": "_SENTINEL_PASSWORD",
	"TLS.Enabled": "_TLS", "TLS.CAFile": "_TLS_CA", "TLS.CertFile": "_TLS_CERT", "TLS.KeyFile": "_TLS_KEY", "TLS.ServerName": "_TLS_SERVER_NAME",
	"Reader.Addr": "_READER_URL", "Reader.From": "_READ_FROM", "Reader.PoolSize": "_READ_POOL_SIZE",
	"Reader.MaxLag": "_READ_MAX_LAG", "Reader.OwnWrites": "_READ_OWN_WRITES",
	"PoolSize": "_POOL_SIZE", "DialTimeout": "_DIAL_TIMEOUT", "ReadTimeout": "_READ_TIMEOUT", "Retries": "_RETRIES", "AddrMap": "_ADDR_MAP",
}

// unused names the variables that are set and were not taken.
func (e *env) unused() []string {
	var names []string
	for _, suffix := range variables {
		if e.isSet(suffix) && !slices.Contains(e.used, suffix) {
			names = append(names, e.prefix+suffix)
		}
	}
	return names
}
