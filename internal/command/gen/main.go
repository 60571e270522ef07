// Command gen writes ../table.go from the COMMAND reply of a Redis server: of
// the one at -addr or, without that, of one that it starts from REDIS_SERVER or
// the PATH. `go generate ./internal/command` runs it.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"strings"

	"github.com/transload/transload/internal/redisproc"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is main less the process.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	set := flag.NewFlagSet("gen", flag.ContinueOnError)
	set.SetOutput(stderr)
	addr := set.String("addr", "", "ask the server at this `address` or socket; default: start one")
	out := set.String("o", "", "write to this `file`; default: standard output")
	if set.Parse(args) != nil {
		return 64
	}
	src, err := generate(ctx, *addr)
	switch {
	case err != nil:
	case *out == "":
		_, err = stdout.Write(src)
	default:
		err = os.WriteFile(*out, src, 0o644)
	}
	if err != nil {
		fmt.Fprintln(stderr, "gen:", err)
		return 1
	}
	return 0
}

func generate(ctx context.Context, addr string) ([]byte, error) {
	c, closeAll, err := dial(ctx, addr)
	if err != nil {
		return nil, err
	}
	defer closeAll()
	info, err := c.Do(ctx, "INFO", "server")
	if err != nil {
		return nil, err
	}
	reply, err := c.Do(ctx, "COMMAND")
	if err != nil {
		return nil, err
	}
	list, err := parse(reply)
	if err != nil {
		return nil, err
	}
	return source(version(info), list)
}

// dial connects to the server at addr or, if that is empty, to a new one.
func dial(ctx context.Context, addr string) (*redisproc.Conn, func(), error) {
	if addr == "" {
		srv, err := redisproc.Standalone(ctx, redisproc.Options{})
		if err != nil {
			return nil, nil, err
		}
		c, err := srv.Dial(ctx)
		return c, func() { _ = srv.Close() }, err
	}
	network := "tcp"
	if strings.HasPrefix(addr, "/") {
		network = "unix"
	}
	nc, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err != nil {
		return nil, nil, err
	}
	return redisproc.NewConn(nc), func() { _ = nc.Close() }, nil
}

// version returns the server's name and version out of an INFO reply.
func version(info any) string {
	s, _ := info.(string)
	for line := range strings.Lines(s) {
		if v, ok := strings.CutPrefix(line, "redis_version:"); ok {
			return "Redis " + strings.TrimSpace(v)
		}
	}
	return "an unknown server"
}
