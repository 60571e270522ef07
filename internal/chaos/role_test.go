package chaos

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/history"
	"github.com/transload/transload/internal/load"
	"github.com/transload/transload/migrate"
	"github.com/transload/transload/migrate/coordinator"
	"github.com/transload/transload/topology"
)

// What this binary is told by its environment when a run starts it again.
const (
	roleVar = "TEST_CHAOS_ROLE" // member, or a coordinator's verb
	whoVar  = "TEST_CHAOS_WHO"  // a member's name
	dirVar  = "TEST_CHAOS_DIR"  // where it writes its records
	rateVar = "TEST_CHAOS_RATE" // recorded operations a second; package load makes a third as many
)

// What a member says when it has been told to work, or to rest.
const (
	works = "works"
	rests = "rests"
)

// play makes this process what it is told to be, until that is done or its
// standard input ends: so none outlives a run.
func play(role string) int {
	ctx, end := context.WithCancel(context.Background())
	words := make(chan string)
	go func() { // ends with the process
		for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
			words <- lines.Text()
		}
		end()
	}()
	source, e1 := topology.FromEnv("REDIS", os.Getenv)
	target, e2 := topology.FromEnv("REDIS_TARGET", os.Getenv)
	err := errors.Join(e1, e2)
	switch {
	case err != nil:
	case role == "member":
		err = beMember(ctx, source, target, words)
	default:
		err = lead(ctx, role, source, target)
	}
	if err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}

// beMember works, and rests when it is told to.
func beMember(ctx context.Context, source, target topology.Config, words <-chan string) error {
	who, dir := os.Getenv(whoVar), os.Getenv(dirVar)
	// The client's own retries are off: an increment that was sent twice would count
	// twice, on a plain client too.
	c, err := migrate.Open(context.WithoutCancel(ctx), migrate.Options{Source: source, Target: target, Version: who, Retries: -1})
	if err != nil {
		return err
	}
	defer c.Close()
	rec, err := history.NewRecorder(who, filepath.Join(dir, who+".history"))
	if err != nil {
		return err
	}
	j, err := load.Create(filepath.Join(dir, who+".journal"), who)
	if err != nil {
		return err
	}
	for shift := 1; ctx.Err() == nil; shift++ {
		shiftCtx, end := context.WithCancel(ctx)
		var wg sync.WaitGroup
		wg.Go(func() { work(shiftCtx, c, rec, j, fmt.Sprintf("%sx%d", who, shift)) })
		fmt.Println(works)
		await(ctx, words, "rest")
		end()
		wg.Wait()
		fmt.Println(rests)
		await(ctx, words, "work")
	}
	return errors.Join(rec.Close(), j.Close())
}

func await(ctx context.Context, words <-chan string, want string) {
	for {
		select {
		case <-ctx.Done():
			return
		case w := <-words:
			if w == want {
				return
			}
		}
	}
}

// work makes both kinds of load until ctx is done. Each shift of package load has
// a name of its own, so that no key of one is counted to another.
func work(ctx context.Context, c redis.UniversalClient, rec *history.Recorder, j *load.Journal, shift string) {
	rate, _ := strconv.Atoi(os.Getenv(rateVar))
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { load.Run(ctx, c, j, load.Options{Member: shift, Workers: 2, Rate: rate / 3}) })
	history.Run(ctx, c, rec, history.Options{Rate: rate, Keys: 12})
}

// leading are the options of every coordinator. Gates that ask for a quiet machine
// or a week of load are open; none of them guards against a loss.
func leading(source, target topology.Config) coordinator.Options {
	return coordinator.Options{Source: source, Target: target, Hold: 2 * time.Second, Limits: coordinator.Limits{
		P99: time.Minute, HitRate: -1, Lag: time.Minute, MinShadow: -1, ReadsDiffer: 1 << 30, MirrorFails: 1 << 30,
	}}
}

// lead carries out one verb: shadow, rollback, finish, or the percentage of a
// cutover.
func lead(ctx context.Context, verb string, source, target topology.Config) error {
	o := leading(source, target)
	o.Progress = func(p coordinator.Progress) { fmt.Println(p.Stage+":", p.Text) }
	c, err := coordinator.Open(o)
	if err != nil {
		return err
	}
	defer c.Close()
	switch verb {
	case "shadow":
		return c.Shadow(ctx)
	case "rollback":
		_, err = c.Rollback(ctx, coordinator.RollbackRequest{})
		return err
	case "finish":
		_, err = c.Finish(ctx, coordinator.FinishRequest{MinSoak: -1})
		return err
	}
	percent, err := strconv.Atoi(verb)
	if err == nil {
		_, err = c.Cutover(ctx, coordinator.CutoverRequest{To: []int{percent}})
	}
	return err
}
