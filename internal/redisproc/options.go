package redisproc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"
)

// ErrNoServer means that there is no redis-server to run.
var ErrNoServer = errors.New("redisproc: no redis-server found; install the Debian package redis-server " +
	"(apt-get install redis-server), or set REDIS_SERVER to the path of one")

// DefaultMaster is the name under which Sentinels know their primary.
const DefaultMaster = "freight-master"

// Options say what to start. The zero Options give a server without a password
// and without TLS, that keeps nothing on disk, on 127.0.0.1.
type Options struct {
	// Binary is the redis-server to run. The default is $REDIS_SERVER, else
	// redis-server from PATH.
	Binary string

	// Password is asked of every client, and used between the servers too. The
	// default is none.
	Password string

	// Username is a further user, with the same Password, who may do everything.
	// The default is none.
	Username string

	// SentinelPassword is asked by the Sentinels. The default is Password.
	SentinelPassword string

	// TLS makes the servers speak only TLS, to clients and to each other, with
	// certificates of a CA made for the occasion. The default is false.
	TLS bool

	// ClientCerts makes TLS servers refuse who shows no certificate of that CA.
	// The default is false.
	ClientCerts bool

	// Unix leaves a standalone server without a port: its Unix socket is its
	// only address. The default is false.
	Unix bool

	// Args are added to the command line of each data server, and override what
	// this package sets: {"--maxmemory", "10mb"}. The default is none.
	Args []string

	// SentinelArgs are the same for the Sentinels. The default is none.
	SentinelArgs []string

	// MasterName is what Sentinels call the primary. The default is DefaultMaster.
	MasterName string

	// DownAfter is how long a server must be silent before a Sentinel holds it
	// for dead. The default is 2s: under the race detector on two cores, less
	// brings failovers that nobody asked for.
	DownAfter time.Duration

	// Hasty makes Sentinels look and talk four to ten times as often as they
	// are built to, so that a killed primary that comes back is a replica after one
	// second instead of ten. The default is false: what is measured with it is
	// nobody's outage. It needs Redis 7.0.
	Hasty bool

	// NodeTimeout is the same between the nodes of a Cluster. The default is 2s.
	NodeTimeout time.Duration

	// Replicas is how many replicas each primary has. The default is 2 for
	// Sentinel and 1 for Cluster; a negative number means none.
	Replicas int
}

// withDefaults fills what was left zero; replicas is the mode's number of them.
func (o Options) withDefaults(replicas int) (Options, error) {
	var err error
	if o.Binary, err = findBinary(o.Binary); err != nil {
		return o, err
	}
	if o.SentinelPassword == "" {
		o.SentinelPassword = o.Password
	}
	if o.MasterName == "" {
		o.MasterName = DefaultMaster
	}
	if o.DownAfter == 0 {
		o.DownAfter = 2 * time.Second
	}
	if o.NodeTimeout == 0 {
		o.NodeTimeout = 2 * time.Second
	}
	switch {
	case o.Replicas == 0:
		o.Replicas = replicas
	case o.Replicas < 0:
		o.Replicas = 0
	}
	return o, nil
}

func findBinary(name string) (string, error) {
	if name == "" {
		name = os.Getenv("REDIS_SERVER")
	}
	if name == "" {
		name = "redis-server"
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("%w (%s: %w)", ErrNoServer, name, errors.Unwrap(err))
	}
	return path, nil
}

var versions sync.Map // path → [2]int

// version returns the major and minor version of a binary: some settings are
// refused by servers that do not know them.
func version(ctx context.Context, path string) (v [2]int, err error) {
	if known, ok := versions.Load(path); ok {
		return known.([2]int), nil
	}
	out, err := exec.CommandContext(ctx, path, "--version").Output()
	if err != nil {
		return v, fmt.Errorf("redisproc: ask %s for its version: %w", path, err)
	}
	_, after, _ := strings.Cut(string(out), " v=")
	parts := strings.SplitN(after, ".", 3)
	for i := 0; i < len(parts) && i < len(v); i++ {
		v[i], _ = strconv.Atoi(parts[i])
	}
	versions.Store(path, v)
	return v, nil
}
