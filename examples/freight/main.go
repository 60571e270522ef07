// Command freight is an app that uses all of Transload: a market on which shippers post
// loads and drivers bid for them, with e-mail, text messages and a live map.
//
//	freight              serves it: docs are in README.md
//	freight probe [URL]  tries the workloads of one that runs
//	freight load [URL…]  behaves like its users
//
// Without settings it has a Redis and a database of its own, which end with it.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// errUsage means that the command was not understood.
var errUsage = errors.New("usage: freight, freight probe [URL] or freight load [-for 30s] [URL…]")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "freight:", err)
		os.Exit(1)
	}
}

// run is main less the process.
func run(ctx context.Context, args []string, getenv func(string) string, out, errOut io.Writer) error {
	if len(args) == 0 {
		return serve(ctx, getenv, errOut)
	}
	switch args[0] {
	case "probe":
		return probe(ctx, args[1:], out)
	case "load":
		return loads(ctx, args[1:], out)
	}
	return errUsage
}
