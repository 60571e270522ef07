// Command migrate moves an app's Redis workloads from one Redis to another, and
// back. See docs/cli.md for the verbs and exit codes, or `migrate help`.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, process{args: os.Args, getenv: os.Getenv, in: os.Stdin, out: os.Stdout, errOut: os.Stderr})
	stop()
	os.Exit(code) // the only exit of the program
}
