package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/urfave/cli/v2"

	"github.com/transload/transload/internal/load"
	"github.com/transload/transload/migrate"
	"github.com/transload/transload/topology"
)

// memberVerb is the hidden verb by which a demonstration starts its members.
const memberVerb = "demo-member"

// tellEvery is how often a member tells how far it has come.
const tellEvery = 200 * time.Millisecond

// What a member that is a process is told, and answers.
const (
	wordRest = "rest"
	wordWork = "work"
)

// An actor is one process of the demonstration's app.
type actor interface {
	count() int64 // writes acknowledged so far
	// rest ends the load until work is called; both return when it is so.
	rest(context.Context) error
	work(context.Context) error
	// stop ends the process and returns its journal. It may be called twice.
	stop() (*load.Journal, error)
}

// An order to a member: rest, or work. done is closed when it is carried out.
type order struct {
	rest bool
	done chan struct{}
}

// play is a member's life: it makes load until ctx is done, and rests meanwhile
// if it is told to.
func play(ctx context.Context, o migrate.Options, j *load.Journal, lo load.Options, orders <-chan order, ready func()) error {
	// The client outlives the load by what the load has under way.
	client, err := migrate.Open(context.WithoutCancel(ctx), o)
	if err != nil {
		return err
	}
	wait, cancel := context.WithTimeout(ctx, 20*time.Second)
	err = client.Ready(wait)
	cancel()
	if err == nil {
		ready()
		shifts(ctx, client, j, lo, orders)
	}
	return errors.Join(err, client.Close())
}

// shifts makes load, with pauses. Each shift has a name of its own, so that no
// key of one is counted to another.
func shifts(ctx context.Context, client redis.UniversalClient, j *load.Journal, lo load.Options, orders <-chan order) {
	member := lo.Member
	for n := 1; ctx.Err() == nil; n++ {
		lo.Member = fmt.Sprintf("%sx%d", member, n)
		shift, end := context.WithCancel(ctx)
		var wg sync.WaitGroup
		wg.Go(func() { load.Run(shift, client, j, lo) })
		for resting := false; !resting; {
			select {
			case <-ctx.Done():
				resting = true
			case o := <-orders:
				resting = o.rest
				if o.rest {
					end()
					wg.Wait()
				}
				close(o.done)
			}
		}
		end()
		wg.Wait()
		for resting := true; resting && ctx.Err() == nil; {
			select {
			case <-ctx.Done():
			case o := <-orders:
				resting = o.rest
				close(o.done)
			}
		}
	}
}

// demoMemberVerb is what an outer actor runs.
func (p process) demoMemberVerb() *cli.Command {
	return &cli.Command{
		Name: memberVerb, Hidden: true,
		Flags: options(&cli.StringFlag{Name: "member"}, &cli.IntFlag{Name: "workers"}, &cli.IntFlag{Name: "rate"}, &cli.StringFlag{Name: "journal"}),
		Action: p.action(func(ctx context.Context, v *call) error {
			source, err := topology.FromEnv("REDIS", v.getenv)
			if err != nil {
				return err
			}
			target, err := topology.FromEnv("REDIS_TARGET", v.getenv)
			if err != nil {
				return err
			}
			ctx, end := context.WithCancel(ctx)
			defer end()
			orders := make(chan order)
			go func() { // ends with the process
				obey(ctx, v.in, v.out, orders)
				end()
			}()
			lo := load.Options{Member: v.flags.String("member"), Workers: v.flags.Int("workers"), Rate: v.flags.Int("rate")}
			j, err := load.Create(v.flags.String("journal"), lo.Member)
			if err != nil {
				return err
			}
			told := make(chan struct{})
			ready := func() {
				fmt.Fprintln(v.out, "ready")
				go func() { defer close(told); tell(ctx, v.out, j) }()
			}
			err = play(ctx, demoOptions(v.name(), source, target), j, lo, orders, ready)
			end()
			if err != nil {
				return err
			}
			<-told
			return j.Close()
		}),
	}
}

// obey reads orders, a word a line, and answers each with the same word.
func obey(ctx context.Context, in io.Reader, out io.Writer, orders chan<- order) {
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		o := order{rest: lines.Text() == wordRest, done: make(chan struct{})}
		select {
		case orders <- o:
		case <-ctx.Done():
			return
		}
		select {
		case <-o.done:
			fmt.Fprintln(out, lines.Text())
		case <-ctx.Done():
			return
		}
	}
}

// tell writes how many writes were acknowledged, until ctx is done.
func tell(ctx context.Context, w io.Writer, j *load.Journal) {
	t := time.NewTicker(tellEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			fmt.Fprintln(w, "acked", j.Count())
		}
	}
}

// demoOptions are those of every member.
func demoOptions(name string, source, target topology.Config) migrate.Options {
	return migrate.Options{Name: name, Source: source, Target: target, Version: "demo", ShadowReads: 0.1}
}
