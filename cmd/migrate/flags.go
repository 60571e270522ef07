package main

import (
	"errors"
	"log/slog"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/transload/transload/migrate/coordinator"
	"github.com/transload/transload/topology"
)

const defaultName = "default"

func nameFlag() cli.Flag {
	return &cli.StringFlag{Name: "name", Usage: "the migration's `NAME`, as the app has it (default: $MIGRATE_NAME, else " + defaultName + ")"}
}

func jsonFlag() cli.Flag {
	return boolean("json", "print JSON; errors too, on stderr")
}

func helpFlag() cli.Flag {
	return &cli.BoolFlag{Name: "help", Aliases: []string{"h"}, Usage: "show help", DisableDefaultText: true}
}

// boolean makes a flag that is off unless it is given.
func boolean(name, usage string) cli.Flag {
	return &cli.BoolFlag{Name: name, Usage: usage, DisableDefaultText: true}
}

// duration makes a flag whose default is the library's.
func duration(name, byDefault, usage string) cli.Flag {
	return &cli.DurationFlag{Name: name, Usage: usage, DefaultText: byDefault}
}

// options are a verb's own flags with those that every verb takes.
func options(flags ...cli.Flag) []cli.Flag { return append(flags, nameFlag(), jsonFlag()) }

// leading are the flags of verbs that lead.
func leading(flags ...cli.Flag) []cli.Flag {
	return options(append(flags,
		boolean("no-members", "go on though no process of the app is on the roll"),
		boolean("take-over", "take over from a coordinator that fell silent and cannot be fenced: you have made sure that it has ended"),
		verboseFlag(),
	)...)
}

func verboseFlag() cli.Flag {
	return boolean("verbose", "log each phase and what a human should look at, on stderr")
}

// globalBool reads a flag that may stand before the verb as well as after it.
func globalBool(c *cli.Context, name string) bool {
	for _, at := range c.Lineage() {
		if at.Command != nil && at.Bool(name) {
			return true
		}
	}
	return false
}

// globalString is globalBool for a text; the verb's own goes first.
func globalString(c *cli.Context, name string) string {
	for _, at := range c.Lineage() {
		if at.Command == nil {
			continue
		}
		if s := at.String(name); s != "" {
			return s
		}
	}
	return ""
}

// name returns the migration's name.
func (v *call) name() string {
	for _, name := range []string{globalString(v.flags, "name"), strings.TrimSpace(v.getenv("MIGRATE_NAME"))} {
		if name != "" {
			return name
		}
	}
	return defaultName
}

// sides reads both sides' settings, and reports the faults of both at once.
func (v *call) sides() (source, target topology.Config, err error) {
	source, e1 := topology.FromEnv("REDIS", v.getenv)
	target, e2 := topology.FromEnv("REDIS_TARGET", v.getenv)
	for _, one := range []struct {
		err  error
		hint string
	}{
		{e1, "the Redis that is being left is not told: set REDIS_URL, or REDIS_HOST, REDIS_SENTINELS or REDIS_CLUSTER_NODES"},
		{e2, "the Redis that is being moved to is not told: set REDIS_TARGET_URL, or REDIS_TARGET_HOST, REDIS_TARGET_SENTINELS or REDIS_TARGET_CLUSTER_NODES"},
	} {
		if errors.Is(one.err, topology.ErrDisabled) {
			one.err = errors.New(one.hint)
		}
		err = errors.Join(err, one.err)
	}
	if err != nil {
		return source, target, &usageError{err, "set these variables as the app has them; docs/config.md tells each"}
	}
	return source, target, nil
}

// open makes the coordinator that a verb needs. The caller closes it.
func (v *call) open(change ...func(*coordinator.Options)) (*coordinator.Coordinator, error) {
	source, target, err := v.sides()
	if err != nil {
		return nil, err
	}
	o := coordinator.Options{
		Name: v.name(), Source: source, Target: target,
		NoMembers: v.flags.Bool("no-members"), TakeOver: v.flags.Bool("take-over"),
		Progress: v.screen.follow, Logger: v.logger(),
	}
	for _, f := range change {
		f(&o)
	}
	return coordinator.Open(o)
}

func (v *call) logger() *slog.Logger {
	if !v.flags.Bool("verbose") {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(v.errOut, nil))
}
