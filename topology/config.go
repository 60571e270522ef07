package topology

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"runtime"
	"slices"
	"strings"
	"time"
)

// A Mode says how a Redis is made up.
type Mode string

// The modes.
const (
	Standalone Mode = "standalone" // one server, or a managed service's one address
	Sentinel   Mode = "sentinel"   // a primary that sentinels watch and replace
	Cluster    Mode = "cluster"    // several primaries that share the slots
)

// ReadFrom says which servers are to answer reads.
type ReadFrom string

// The choices of ReadFrom.
const (
	ReadPrimary ReadFrom = "primary" // the default
	ReadReplica ReadFrom = "replica" // replicas, and the primary where none is fit
)

// DefaultSentinelMaster is the master's name where FromEnv finds none.
const DefaultSentinelMaster = "freight-master"

// The defaults of the time-outs. DialTimeout is longer than a failover is to
// take, since calls wait it out within it. They are the same in every mode, so
// that a move from one mode to another does not change what an app waits for.
const (
	defaultDialTimeout = 5 * time.Second
	defaultReadTimeout = 500 * time.Millisecond
	defaultRetries     = 3
	defaultMaxLag      = 10 * time.Second
	defaultOwnWrites   = time.Second
)

// A Secret is a string that does not show when it is printed, logged or encoded.
// Convert it to a string to use it.
type Secret string

// String returns "***", or nothing if there is no secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return "***"
}

// GoString is String for the verb %#v.
func (s Secret) GoString() string { return `"` + s.String() + `"` }

// LogValue is String for package slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText is String for encoding/json and its like.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// TLS holds the settings of encrypted connections. The server's certificate is
// always verified, and TLS 1.2 is the least that is spoken.
type TLS struct {
	// Enabled turns TLS on, for the sentinels too. The default is false.
	Enabled bool

	// CAFile names a PEM file with the certificates that may sign the server's.
	// It is read once, by Open. The default is the system's.
	CAFile string

	// CertFile and KeyFile name PEM files with a certificate that the server may
	// ask for, and its key. Both or neither. The default is none.
	CertFile, KeyFile string

	// ServerName is the name that the server's certificate must hold. The default
	// is the host that is dialled, after AddrMap.
	ServerName string
}

// A Reader says where reads may go.
type Reader struct {
	// From chooses between primary and replicas. The default is ReadPrimary, and
	// nothing else in a Reader has a meaning then. ReadReplica has single reads,
	// and pipelines of reads alone, go to replicas; a standalone server's must
	// have an Addr.
	From ReadFrom

	// Addr is the host:port of a standalone service's own address for reads, as
	// managed services have it. The default is none.
	Addr string

	// Username and Password belong to Addr. The default is the Config's own.
	Username string
	Password Secret

	// TLS tells whether Addr speaks TLS, with the Config's TLS files. The default
	// is false.
	TLS bool

	// PoolSize is PoolSize for the connections that reads use. The default is the
	// Config's own.
	PoolSize int

	// MaxLag bounds the age of what a replica may answer: the time since this
	// process saw that the replica had everything that the primary had then. It
	// must be longer than a failover, during which replicas learn nothing new, if
	// reads are to go on. At least 2s; the default is 10s.
	MaxLag time.Duration

	// OwnWrites is how long a key that this process has written is read from the
	// primary at least, counted from the write's reply; and after that, until a
	// replica is known to have the write. -1 means that reads do not heed this
	// process's own writes. The default is 1s.
	OwnWrites time.Duration
}

// A Config tells where a Redis is and how to talk to it. Zero fields mean the
// default; the zero Config means that Redis is disabled.
type Config struct {
	// Mode must be told.
	Mode Mode

	// Addrs holds the host:port of the server, of the sentinels, or of some nodes
	// of the cluster. A standalone server may be the path of a Unix socket
	// instead. At least one is required, and a standalone server has only one.
	Addrs []string

	// DB is the database's number. The default is 0, the only one a cluster has.
	DB int

	// Username and Password log in to the servers. A user needs a password. The
	// default is not to log in.
	Username string
	Password Secret

	// SentinelMaster is the name under which the sentinels know the master. It is
	// required in mode sentinel.
	SentinelMaster string

	// SentinelUsername and SentinelPassword log in to the sentinels. The default
	// is no user, and the Config's Password. (A sentinel of Redis 6 or later that
	// asks for no password takes any.)
	SentinelUsername string
	SentinelPassword Secret

	// TLS encrypts the connections. The default is not to.
	TLS TLS

	// Reader says where reads may go. The default is the primary.
	Reader Reader

	// PoolSize is how many connections a client opens at most to each server,
	// subscriptions not counted. The default is 10 a CPU, in a cluster 5.
	PoolSize int

	// DialTimeout bounds the making of one connection: in mode sentinel with the
	// wait for a primary while there is none, with TLS with its handshake. The
	// default is 5s.
	DialTimeout time.Duration

	// ReadTimeout bounds the wait for one reply, and for a write to be taken. A
	// blocking command's own time comes on top. The default is 500ms.
	ReadTimeout time.Duration

	// Retries is how often a command is sent again after an error that may pass.
	// It may then run more than once; -1 means never. The default is 3.
	Retries int

	// AddrMap leads from a host:port that sentinels, cluster nodes or servers
	// announce to the one by which it can be reached. The default is none.
	AddrMap map[string]string

	// Unused names the env variables that FromEnv found set and had no use for,
	// as a URL beside sentinels. It is for people to read.
	Unused []string

	prefix string // of the env variables, for advice
}

// Disabled reports whether c is the zero Config, that of a Redis that is not to
// be used.
func (c Config) Disabled() bool { return c.Mode == "" && len(c.Addrs) == 0 }

// withDefaults returns a copy of c in which only what has no default is zero.
func (c Config) withDefaults() Config {
	c.Addrs, c.AddrMap = slices.Clone(c.Addrs), maps.Clone(c.AddrMap)
	if c.SentinelPassword == "" {
		c.SentinelPassword = c.Password
	}
	if c.PoolSize == 0 {
		c.PoolSize = 10 * runtime.GOMAXPROCS(0)
		if c.Mode == Cluster {
			c.PoolSize /= 2
		}
	}
	if c.Retries == 0 {
		c.Retries = defaultRetries
	}
	if c.ReadTimeout == 0 {
		c.ReadTimeout = defaultReadTimeout
	}
	if c.DialTimeout == 0 {
		c.DialTimeout = defaultDialTimeout
	}
	c.Reader = c.Reader.withDefaults()
	return c
}

func (r Reader) withDefaults() Reader {
	if r.From == "" {
		r.From = ReadPrimary
	}
	if r.MaxLag == 0 {
		r.MaxLag = defaultMaxLag
	}
	if r.OwnWrites == 0 {
		r.OwnWrites = defaultOwnWrites
	}
	return r
}

// String describes c without its secrets.
func (c Config) String() string {
	if c.Disabled() {
		return "redis disabled"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s", c.Mode, strings.Join(c.Addrs, ","))
	for _, a := range c.attrs() {
		fmt.Fprintf(&b, " %s=%v", a.Key, a.Value)
	}
	return b.String()
}

// GoString is String for the verb %#v, which would show unexported fields.
func (c Config) GoString() string { return "topology.Config{" + c.String() + "}" }

// LogValue describes c for package slog, without its secrets.
func (c Config) LogValue() slog.Value {
	if c.Disabled() {
		return slog.StringValue(c.String())
	}
	attrs := []slog.Attr{slog.String("mode", string(c.Mode)), slog.String("addrs", strings.Join(c.Addrs, ","))}
	return slog.GroupValue(append(attrs, c.attrs()...)...)
}

// attrs holds what is set besides mode and addresses.
func (c Config) attrs() []slog.Attr {
	var attrs []slog.Attr
	add := func(set bool, a slog.Attr) {
		if set {
			attrs = append(attrs, a)
		}
	}
	add(c.Mode == Sentinel, slog.String("master", c.SentinelMaster))
	add(c.DB != 0, slog.Int("db", c.DB))
	add(c.Username != "", slog.String("username", c.Username))
	add(c.Password != "", slog.Any("password", c.Password))
	add(c.SentinelUsername != "", slog.String("sentinel_username", c.SentinelUsername))
	add(c.SentinelPassword != "", slog.Any("sentinel_password", c.SentinelPassword))
	add(c.TLS.Enabled, slog.Bool("tls", true))
	add(c.Reader.Addr != "", slog.String("reader", c.Reader.Addr))
	add(c.Reader.From != "" && c.Reader.From != ReadPrimary, slog.String("read_from", string(c.Reader.From)))
	add(c.PoolSize != 0, slog.Int("pool_size", c.PoolSize))
	add(c.DialTimeout != 0, slog.Duration("dial_timeout", c.DialTimeout))
	add(c.ReadTimeout != 0, slog.Duration("read_timeout", c.ReadTimeout))
	add(c.Retries != 0, slog.Int("retries", c.Retries))
	add(len(c.AddrMap) != 0, slog.Int("addr_map", len(c.AddrMap)))
	return attrs
}

// env returns the name of an env variable, for advice.
func (c Config) env(suffix string) string {
	if c.prefix == "" {
		return "REDIS" + suffix
	}
	return c.prefix + suffix
}

// ErrDisabled means that Redis is not to be used: nothing is set, or ENABLED is
// false. Package embedded holds a stand-in.
var ErrDisabled = errors.New("topology: redis is disabled")
