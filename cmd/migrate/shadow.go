package main

import (
	"context"
	"errors"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/transload/transload/migrate/coordinator"
)

func (p process) shadowVerb() *cli.Command {
	return &cli.Command{
		Name:  "shadow",
		Usage: "begin the migration, copy, and keep both sides equal for as long as this runs",
		Description: "It stays in the foreground. The other verbs hand it their request and follow it. Ctrl-C\n" +
			"ends it with a goodbye: the app goes on, its processes still copy what they write, and\n" +
			"migrate shadow carries on where it was.",
		Flags: leading(
			&cli.StringFlag{Name: "target-keys", Usage: "what becomes of keys that the target held before: `keep` or delete (default: refuse to begin)"},
			&cli.IntFlag{Name: "rate", DefaultText: "none", Usage: "bound of the pass over all keys, in `KEYS` a second"},
		),
		Action: p.action(shadow),
	}
}

func shadow(ctx context.Context, v *call) error {
	co, err := v.open(func(o *coordinator.Options) {
		o.Progress = v.kept
		o.TargetKeys, o.Rate = coordinator.TargetKeys(v.flags.String("target-keys")), v.flags.Int("rate")
	})
	if err != nil {
		return err
	}
	defer co.Close()
	v.screen.say("migration %s: Ctrl-C says goodbye and leaves both sides as they are", v.name())
	err = co.Shadow(ctx)
	v.screen.done()
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		v.kept(coordinator.Progress{Stage: "goodbye", Text: "nothing is compared any more; migrate shadow carries on"})
		return nil
	}
	return err
}

// keptLine is what shadow prints for programs, one a line: its verb has no end
// at which a value could be printed.
type keptLine struct {
	At   time.Time `json:"at"`
	Name string    `json:"name"`
	coordinator.Progress
}

// kept shows how shadow goes on.
func (v *call) kept(p coordinator.Progress) {
	switch {
	case v.screen.json:
		_ = v.screen.frame(keptLine{time.Now().UTC(), v.name(), p}, "", nil) // who reads no more is told nothing
	case p.Stage == "goodbye":
		v.screen.say("%s", progressLine(p))
	default:
		v.screen.follow(p)
	}
}
