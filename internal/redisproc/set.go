package redisproc

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// A Set is several servers that belong together: a primary with replicas and
// Sentinels, or a Cluster.
type Set struct {
	// Nodes are the data servers, those that began as primaries first.
	Nodes []*Server

	// Sentinels are the Sentinels; a Cluster has none.
	Sentinels []*Server

	opts  Options
	certs *Certs
	home  *workdir
	ports []int
}

// newSet makes the servers of a set, without starting any.
func newSet(o Options, nodes, sentinels int) (_ *Set, err error) {
	home, err := newWorkdir()
	if err != nil {
		return nil, err
	}
	s := &Set{opts: o, home: home}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if o.TLS {
		if s.certs, err = newCerts(home.path); err != nil {
			return nil, err
		}
	}
	if s.ports, err = takePorts(nodes + sentinels); err != nil {
		return nil, err
	}
	for i, port := range s.ports {
		srv := &Server{opts: o, certs: s.certs, port: port, sentinel: i >= nodes, password: o.Password}
		srv.dir = filepath.Join(home.path, fmt.Sprintf("n%d", i))
		if srv.sentinel {
			srv.dir = filepath.Join(home.path, fmt.Sprintf("s%d", i-nodes))
			srv.password = o.SentinelPassword
			s.Sentinels = append(s.Sentinels, srv)
		} else {
			s.Nodes = append(s.Nodes, srv)
		}
		if err := os.Mkdir(srv.dir, 0o700); err != nil {
			return nil, fmt.Errorf("redisproc: make a directory: %w", err)
		}
	}
	return s, nil
}

// Env returns the variables, begun with prefix ("REDIS"), by which an app finds
// this set.
func (s *Set) Env(prefix string) map[string]string {
	env := map[string]string{}
	if len(s.Sentinels) > 0 {
		env[prefix+"_SENTINELS"] = strings.Join(addrs(s.Sentinels), ",")
		env[prefix+"_SENTINEL_MASTER"] = s.opts.MasterName
		if s.opts.SentinelPassword != "" {
			env[prefix+"_SENTINEL_PASSWORD"] = s.opts.SentinelPassword
		}
	} else {
		env[prefix+"_CLUSTER_NODES"] = strings.Join(addrs(s.Nodes), ",")
	}
	commonEnv(env, prefix, s.opts, s.certs)
	return env
}

func addrs(servers []*Server) []string {
	var list []string
	for _, s := range servers {
		list = append(list, s.Addr())
	}
	return list
}

// Servers returns every server of the set, Sentinels included.
func (s *Set) Servers() []*Server {
	return append(append([]*Server(nil), s.Nodes...), s.Sentinels...)
}

// Certs returns the files of the set's CA and certificates, or nil without TLS.
func (s *Set) Certs() *Certs { return s.certs }

// answerLimit is how long Primaries waits for a server, which may be frozen.
const answerLimit = time.Second

// Primaries returns the data servers that say of themselves that they are
// primaries. One that does not answer within a second is none.
func (s *Set) Primaries(ctx context.Context) []*Server {
	ctx, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	is := make([]bool, len(s.Nodes))
	var wg sync.WaitGroup
	for i, n := range s.Nodes {
		wg.Go(func() {
			role, err := n.role(ctx)
			is[i] = err == nil && role == "master"
		})
	}
	wg.Wait()
	var list []*Server
	for i, n := range s.Nodes {
		if is[i] {
			list = append(list, n)
		}
	}
	return list
}

// Node returns the data server with that address, or nil.
func (s *Set) Node(addr string) *Server {
	for _, n := range s.Nodes {
		if n.Addr() == addr {
			return n
		}
	}
	return nil
}

// Close ends every process and removes the directory. It may be called twice.
func (s *Set) Close() error {
	var err error
	for _, srv := range s.Servers() {
		err = errors.Join(err, srv.Close())
	}
	releasePorts(s.ports)
	return errors.Join(err, s.home.remove())
}

// each runs f for all servers at once and returns the first error.
func each(ctx context.Context, servers []*Server, f func(context.Context, *Server) error) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, s := range servers {
		g.Go(func() error { return f(ctx, s) })
	}
	return g.Wait()
}

func startServer(ctx context.Context, s *Server) error { return s.start(ctx) }

func (s *Server) role(ctx context.Context) (string, error) {
	v, err := s.Do(ctx, "ROLE")
	if err != nil {
		return "", err
	}
	list, ok := v.([]any)
	if !ok || len(list) == 0 {
		return "", fmt.Errorf("redisproc: role: got %v", v)
	}
	role, _ := list[0].(string)
	return role, nil
}

// info returns the fields of INFO's section.
func (s *Server) info(ctx context.Context, section ...string) (map[string]string, error) {
	v, err := s.Do(ctx, section...)
	if err != nil {
		return nil, err
	}
	text, _ := v.(string)
	fields := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			fields[name] = value
		}
	}
	return fields, nil
}

// follows returns nil once a replica has all that its primary has.
func (s *Server) follows(ctx context.Context) error {
	f, err := s.info(ctx, "INFO", "replication")
	if err != nil {
		return err
	}
	if f["master_link_status"] != "up" {
		return fmt.Errorf("%s: master_link_status:%s", s.Addr(), f["master_link_status"])
	}
	return nil
}

// leads returns nil once a primary counts n replicas as online.
func (s *Server) leads(ctx context.Context, n int) error {
	f, err := s.info(ctx, "INFO", "replication")
	if err != nil {
		return err
	}
	online := 0
	for i := range n {
		if strings.Contains(f[fmt.Sprintf("slave%d", i)], "state=online") {
			online++
		}
	}
	if online < n {
		return fmt.Errorf("%s: %d of %d replicas online", s.Addr(), online, n)
	}
	return nil
}

// newID returns a name such as Redis gives to nodes: 40 hexadecimal digits.
func newID() string {
	b := make([]byte, 20)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}
