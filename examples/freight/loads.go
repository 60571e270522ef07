package main

import (
	"context"
	"errors"
	"flag"
	"io"
	"strings"
	"time"

	"github.com/transload/transload/examples/freight/load"
)

// errVerdict means that the load found something wrong.
var errVerdict = errors.New("something is wrong: the lines above tell what")

// loads has users work with an app that runs, and prints what came of it.
func loads(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("freight load", flag.ContinueOnError)
	flags.SetOutput(out)
	length := flags.Duration("for", 30*time.Second, "how long")
	each := flags.Int("each", 20, "how many shippers, and as many drivers: up to FREIGHT_DEMO of the app")
	if err := flags.Parse(args); err != nil {
		return errUsage
	}
	urls := flags.Args()
	if len(urls) == 0 {
		urls = []string{"http://localhost:8080"}
	}
	for i, u := range urls {
		urls[i] = strings.TrimSuffix(u, "/")
	}
	j := load.NewJournal()
	l, err := load.Start(ctx, load.Options{URLs: urls, Each: *each}, j)
	if err != nil {
		return err
	}
	j.Phase("under load")
	select {
	case <-ctx.Done():
	case <-time.After(*length):
	}
	v := l.Check(context.WithoutCancel(ctx)) // bounded by itself
	v.Print(out)
	if !v.OK() {
		return errVerdict
	}
	return nil
}
