package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/transload/transload/internal/drill"
	"github.com/transload/transload/topology"
)

func (p process) drillVerb() *cli.Command {
	return &cli.Command{
		Name:  "drill",
		Usage: "write and read through a failover, and say how long it took and what was lost",
		Description: "Writes and reads with the app's own settings, REDIS_* or with --target REDIS_TARGET_*, under keys\n" +
			"of its own that are no workload's and are removed at the end. Nothing is killed or moved unless one of these is given:\n" +
			"--wait waits for a fault from outside, --planned moves the primary, --local kills one of its own.\n" +
			"The last line is `drill: PASS ...`, or FAIL with exit code 2.",
		Flags: []cli.Flag{
			boolean("wait", fmt.Sprintf("wait for a fault from outside, at most %v", drill.DefaultWait)),
			boolean("planned", "move the primary to a replica without losing a write"),
			boolean("local", "start servers and kill their primary; with --planned, move it, and then again without what keeps writes"),
			&cli.StringFlag{Name: "mode", Value: "sentinel", Usage: "of --local: `MODE` sentinel or cluster"},
			&cli.StringFlag{Name: "promote", Usage: "of --planned: the `ADDR` of the replica to promote (default: the sentinels' choice)"},
			&cli.DurationFlag{Name: "budget", Value: drill.DefaultBudget, Usage: "the longest outage of writes with which the drill passes; reads from replicas have a fifth"},
			&cli.IntFlag{Name: "rate", Value: 600, Usage: "`WRITES` a second, and as many reads"},
			boolean("target", "drill the Redis that is being moved to"),
			jsonFlag(),
		},
		Action: p.action(runDrill),
	}
}

// runDrill checks what was asked for before anything is started.
func runDrill(ctx context.Context, v *call) error {
	if err := checkDrill(v.flags); err != nil {
		return err
	}
	o := drill.Options{
		Budget: v.flags.Duration("budget"), Load: drill.LoadOptions{Rate: v.flags.Int("rate")}, Say: v.screen.progress,
	}
	if v.flags.Bool("local") {
		return v.drillLocal(ctx, o)
	}
	cfg, err := v.drilled()
	if err != nil {
		return err
	}
	o.Config = cfg
	if err := checkRate(o); err != nil {
		return err
	}
	if v.flags.Bool("planned") {
		rep, err := v.drillPlanned(ctx, o, &drill.Handover{Promote: v.flags.String("promote")})
		return v.tellDrill(rep, err)
	}
	res, err := drill.Run(ctx, o)
	return v.tellDrill(&drillReport{Result: res}, err)
}

// checkDrill refuses what cannot be meant.
func checkDrill(f *cli.Context) error {
	given := func(names ...string) (n int) {
		for _, name := range names {
			if f.IsSet(name) {
				n++
			}
		}
		return n
	}
	const help = "migrate drill --help lists the options"
	mode, rate := f.String("mode"), f.Int("rate")
	switch {
	case given("wait", "planned", "local") == 0:
		return usage("say migrate drill --wait and bring a fault about yourself, or --planned, or try it out with --local",
			"what is to happen to the primary was not said")
	case given("wait") == 1 && given("planned", "local") > 0:
		return usage(help, "--wait waits for a fault from outside: it does not go with --planned or --local")
	case given("mode") == 1 && given("local") == 0:
		return usage("REDIS_SENTINELS or REDIS_CLUSTER_NODES tell the mode; docs/config.md", "--mode goes with --local")
	case mode != "sentinel" && mode != "cluster":
		return usage("migrate drill --local --mode sentinel or cluster", "--mode %q is unknown", mode)
	case given("promote") == 1 && (given("planned") == 0 || given("local") == 1):
		return usage(help, "--promote goes with --planned on servers that are there")
	case given("promote") == 1 && f.String("promote") == "":
		return usage("name the replica's host:port, or leave --promote out", "--promote: the address is empty")
	case given("target") == 1 && given("local") == 1:
		return usage(help, "--target does not go with --local, which has servers of its own")
	case f.Duration("budget") <= 0:
		return usage("say for example --budget 5s", "--budget: %v is not above 0", f.Duration("budget"))
	case rate < 1 || rate > 20_000:
		return usage("leave --rate out, or say for example --rate 600", "--rate: %d is not between 1 and 20000", rate)
	}
	return nil
}

// checkRate refuses a load whose own pace would be taken for an outage.
func checkRate(o drill.Options) error {
	if least := o.LeastRate(); o.Load.Rate < least {
		return usage(fmt.Sprintf("say --rate %d or more, or a longer --budget; reads from replicas have a fifth of it", least),
			"--rate: with %d a second each goroutine waits between two calls for longer than the budget of %v allows", o.Load.Rate, o.Budget)
	}
	return nil
}

// drilled reads the settings of the Redis that is to be drilled.
func (v *call) drilled() (topology.Config, error) {
	prefix := "REDIS"
	if v.flags.Bool("target") {
		prefix = "REDIS_TARGET"
	}
	cfg, err := topology.FromEnv(prefix, v.getenv)
	if errors.Is(err, topology.ErrDisabled) {
		err = fmt.Errorf("the Redis to be drilled is not told: set %s_SENTINELS or %s_CLUSTER_NODES, or for one server %s_URL", prefix, prefix, prefix)
	}
	if err != nil {
		return cfg, &usageError{err, "set these variables as the app has them (docs/config.md), or try it out with --local"}
	}
	return cfg, nil
}

// drillPlanned moves the primary under load.
func (v *call) drillPlanned(ctx context.Context, o drill.Options, h *drill.Handover) (*drillReport, error) {
	control, err := topology.Open(o.Config)
	if err != nil {
		return nil, err
	}
	defer control.Close()
	if err := h.Check(ctx, control); err != nil {
		return nil, err // before the first key is written
	}
	o.Cause, o.Lossless = drill.Planned(control, h), !h.Plain
	res, err := drill.Run(ctx, o)
	if err != nil {
		return nil, err
	}
	return &drillReport{Result: res, Steps: h.Steps}, nil
}

// localLimit bounds a drill on servers of its own; it takes some 15 seconds.
const localLimit = 5 * time.Minute

// drillLocal drills servers of its own.
func (v *call) drillLocal(ctx context.Context, o drill.Options) (err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, localLimit, fmt.Errorf("the drill took longer than %v", localLimit))
	defer cancel()
	mode := topology.Mode(v.flags.String("mode"))
	v.screen.progress("start", fmt.Sprintf("starting servers, mode %s", mode))
	servers, err := drill.StartLocal(ctx, mode)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, servers.Close()) }()
	if o.Config, err = topology.FromEnv("REDIS", localEnv(servers.Env("REDIS"), v.getenv)); err != nil {
		return &usageError{err, "unset or mend these variables; docs/config.md tells each"}
	}
	if err := checkRate(o); err != nil {
		return err
	}
	if !v.flags.Bool("planned") {
		o.Cause = servers.KillPrimary
		res, err := drill.Run(ctx, o)
		return v.tellDrill(&drillReport{Result: res}, err)
	}
	rep, err := v.drillPlanned(ctx, o, &drill.Handover{})
	if err == nil && mode == topology.Sentinel {
		var plain *drillReport
		if plain, err = v.drillPlanned(ctx, o, &drill.Handover{Plain: true}); err == nil {
			rep.Plain = plain.Result
		}
	}
	return v.tellDrill(rep, err)
}

// tuning are the settings that a local drill takes from the app's environment:
// how to talk to a Redis, but not to which.
var tuning = []string{
	"REDIS_READ_FROM", "REDIS_READ_MAX_LAG", "REDIS_READ_OWN_WRITES", "REDIS_POOL_SIZE", "REDIS_READ_POOL_SIZE",
	"REDIS_READ_TIMEOUT", "REDIS_DIAL_TIMEOUT", "REDIS_RETRIES",
}

// localEnv makes a getenv of the servers' variables and the app's tuning. Reads go
// to replicas unless the app has it otherwise: that is what the plan is for.
func localEnv(env map[string]string, getenv func(string) string) func(string) string {
	env["REDIS_READ_FROM"] = string(topology.ReadReplica)
	for _, name := range tuning {
		if value := getenv(name); value != "" {
			env[name] = value
		}
	}
	return func(name string) string { return env[name] }
}
