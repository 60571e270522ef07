package redisproc

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// configure writes the server's settings. A file and not arguments, so that
// CONFIG REWRITE works: Sentinels use it to make a failover survive a restart.
func (s *Server) configure(ctx context.Context, extra []string) error {
	v, err := version(ctx, s.opts.Binary)
	if err != nil {
		return err
	}
	lines := []string{
		"bind 127.0.0.1", "daemonize no", "unixsocket " + s.Socket(), "dir " + s.dir,
		"save \"\"", "appendonly no",
	}
	if s.certs != nil {
		lines = append(lines, s.certs.settings(s.port, s.opts.ClientCerts)...)
	} else {
		lines = append(lines, "port "+strconv.Itoa(s.port))
	}
	if s.password != "" {
		lines = append(lines, "requirepass "+s.password)
	}
	if !s.sentinel {
		// Over a pipe a replica counts as online only at its second report, which
		// comes a second later; over a file it does at once.
		lines = append(lines, "repl-diskless-sync no")
		if s.password != "" {
			lines = append(lines, "masterauth "+s.password)
		}
		if v[0] >= 7 {
			lines = append(lines, "enable-debug-command yes", "enable-protected-configs yes")
		}
		if s.opts.Username != "" {
			lines = append(lines, "user "+s.opts.Username+" on >"+s.opts.Password+" ~* &* +@all")
		}
	}
	lines = append(lines, extra...)
	conf := filepath.Join(s.dir, "redis.conf")
	if err := os.WriteFile(conf, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		return fmt.Errorf("redisproc: write settings: %w", err)
	}
	s.args = []string{conf}
	if s.sentinel {
		s.args = append(append(s.args, "--sentinel"), s.opts.SentinelArgs...)
	} else {
		s.args = append(s.args, s.opts.Args...)
	}
	return nil
}
