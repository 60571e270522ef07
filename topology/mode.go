package topology

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/redis/go-redis/v9"
)

// A ModeError means that a server is something else than was told. It is not in
// the way of any other answer: nothing was changed.
type ModeError struct {
	Told  Mode   // what the settings say
	Addr  string // the server that was asked; empty if several were
	Found string // what it is
	Next  string // what to do
}

// Error says what was found and what to do.
func (e *ModeError) Error() string {
	who := e.Addr
	if who == "" {
		who = "the server"
	}
	return fmt.Sprintf("topology: mode %s was told, but %s is %s: %s", e.Told, who, e.Found, e.Next)
}

// CheckMode asks the servers that the settings name whether they are what was
// told. The error is a ModeError if one is not, else it says why nothing could be
// learnt. Servers that do not answer are passed over as long as another does.
func (c *Client) CheckMode(ctx context.Context) error {
	var err error
	switch c.cfg.Mode {
	case Standalone:
		err = c.checkStandalone(ctx)
	case Sentinel:
		err = c.checkSentinels(ctx)
	case Cluster:
		err = c.checkCluster(ctx)
	}
	if _, ok := errors.AsType[*ModeError](err); ok || err == nil {
		return err
	}
	return fmt.Errorf("%w%s", err, c.tlsHint(err))
}

// tlsHint names the setting that is probably at fault where one end speaks TLS
// and the other does not: what such a server answers, if it does, says nothing.
func (c *Client) tlsHint(err error) string {
	_, record := errors.AsType[tls.RecordHeaderError](err)
	shake, ok := errors.AsType[*net.OpError](err)
	silent := ok && shake.Net == "tls" && (errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded))
	switch {
	case c.cfg.TLS.Enabled && (record || silent):
		return fmt.Sprintf("; perhaps it speaks no TLS, which %s or a rediss:// URL asks for", c.cfg.env("_TLS"))
	case !c.cfg.TLS.Enabled && (errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET)):
		return fmt.Sprintf("; perhaps it wants TLS: set %s=true, or write rediss:// in its URL", c.cfg.env("_TLS"))
	}
	return ""
}

// mismatch makes a ModeError of what a server says of itself, or nil if its kind
// is one of those that are wanted.
func (c *Client) mismatch(addr string, info map[string]string, wanted ...string) error {
	e := &ModeError{Told: c.cfg.Mode, Addr: addr}
	kind := kindOf(info)
	if slices.Contains(wanted, kind) {
		return nil
	}
	switch kind {
	case "sentinel":
		e.Found = "a sentinel"
		e.Next = fmt.Sprintf("name the sentinels in %s and their master in %s", c.cfg.env("_SENTINELS"), c.cfg.env("_SENTINEL_MASTER"))
	case "cluster":
		e.Found = "a node of a cluster"
		e.Next = fmt.Sprintf("name nodes of the cluster in %s, and unset what names sentinels", c.cfg.env("_CLUSTER_NODES"))
	case "replica":
		e.Found = "a replica"
		e.Next = "name its primary, or the sentinels that know it"
		if host := info["master_host"]; host != "" {
			e.Found += " of " + host + ":" + info["master_port"]
		}
	default:
		e.Found = "a standalone server"
		e.Next = fmt.Sprintf("name it in %s or %s, and unset %s and %s",
			c.cfg.env("_URL"), c.cfg.env("_HOST"), c.cfg.env("_SENTINELS"), c.cfg.env("_CLUSTER_NODES"))
		if c.cfg.Mode == Sentinel {
			e.Next = fmt.Sprintf("name the sentinels in %s (their port is mostly %d), or the server in %s", c.cfg.env("_SENTINELS"), defaultSentinelPort, c.cfg.env("_URL"))
		}
	}
	return e
}

// kindOf names what INFO describes. A server that says nothing of the kind, as an
// embedded one, passes for a standalone primary.
func kindOf(info map[string]string) string {
	switch {
	case info["redis_mode"] == "sentinel":
		return "sentinel"
	case info["cluster_enabled"] == "1" || info["redis_mode"] == "cluster":
		return "cluster"
	case info["role"] == "slave":
		return "replica"
	}
	return "primary"
}

func (c *Client) checkStandalone(ctx context.Context) error {
	info, err := readInfo(ctx, c.one)
	if err != nil {
		return fmt.Errorf("server %s: %w", c.cfg.Addrs[0], err)
	}
	return c.mismatch(c.cfg.Addrs[0], info, "primary")
}

func (c *Client) checkSentinels(ctx context.Context) error {
	ask := func(addr string) error {
		s := c.sentinel(addr)
		defer s.Close()
		_, err := c.askSentinel(ctx, s, false)
		return err
	}
	var errs []error
	answered := false
	for _, addr := range c.cfg.Addrs {
		err := ask(addr)
		switch {
		case err == nil:
			answered = true
		case errors.Is(err, errNoMaster):
			return &ModeError{Sentinel, addr, fmt.Sprintf("a sentinel that knows no master %q", c.cfg.SentinelMaster), c.knownMasters(ctx, addr)}
		case redis.HasErrorPrefix(err, "unknown command"):
			return c.wrongSentinel(ctx, addr)
		default:
			errs = append(errs, fmt.Errorf("sentinel %s: %w", addr, err))
		}
	}
	if !answered {
		return errors.Join(errs...)
	}
	info, err := readInfo(ctx, c.one)
	if err != nil {
		return err
	}
	return c.mismatch("the master that the sentinels name", info, "primary")
}

// wrongSentinel says what a server is that knows no SENTINEL command.
func (c *Client) wrongSentinel(ctx context.Context, addr string) error {
	rdb, err := c.Node(addr)
	if err != nil {
		return err
	}
	defer rdb.Close()
	info, err := readInfo(ctx, rdb)
	if err != nil {
		info = nil // it is no sentinel, whatever else it is
	}
	return c.mismatch(addr, info)
}

// knownMasters is the next step where a sentinel knows other masters.
func (c *Client) knownMasters(ctx context.Context, addr string) string {
	s := c.sentinel(addr)
	defer s.Close()
	list, err := s.Masters(ctx).Result()
	var names []string
	for _, m := range list {
		if name := masterName(m); name != "" {
			names = append(names, name)
		}
	}
	next := "set the master's name in " + c.cfg.env("_SENTINEL_MASTER")
	if err != nil || len(names) == 0 {
		return next
	}
	slices.Sort(names)
	return next + "; it knows " + strings.Join(names, ", ")
}

// masterName finds the name in one element of the reply to SENTINEL MASTERS,
// which is a map in RESP3 and a list in RESP2.
func masterName(v any) string {
	switch m := v.(type) {
	case map[any]any:
		name, _ := m["name"].(string)
		return name
	case []any:
		for i := 0; i+1 < len(m); i += 2 {
			if m[i] == "name" {
				name, _ := m[i+1].(string)
				return name
			}
		}
	}
	return ""
}

func (c *Client) checkCluster(ctx context.Context) error {
	ask := func(addr string) (map[string]string, error) {
		rdb, err := c.Node(addr)
		if err != nil {
			return nil, err
		}
		defer rdb.Close()
		return readInfo(ctx, rdb)
	}
	var errs []error
	answered := false
	for _, addr := range c.cfg.Addrs {
		info, err := ask(addr)
		if err != nil {
			errs = append(errs, fmt.Errorf("node %s: %w", addr, err))
			continue
		}
		answered = true
		if err := c.mismatch(addr, info, "cluster"); err != nil {
			return err
		}
	}
	if !answered {
		return errors.Join(errs...)
	}
	return nil
}
