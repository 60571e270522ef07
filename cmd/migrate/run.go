package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// A process is what main has of the world, so that tests can stand in for it.
type process struct {
	args        []string // the program's name first
	getenv      func(string) string
	in          io.Reader
	out, errOut io.Writer
}

// run is main less the process. It returns the exit code: see codeOf.
func run(ctx context.Context, p process) int {
	err := p.app().RunContext(ctx, p.args)
	if err == nil {
		return codeDone
	}
	return report(p.errOut, err, slices.Contains(p.args, "--json"))
}

// app holds all verbs. Help goes to out, and errors are run's alone: cli would
// exit by itself on some.
func (p process) app() *cli.App {
	app := &cli.App{
		Name:  "migrate",
		Usage: "move a live app from one Redis to another, and back, without losing a write",
		UsageText: "migrate VERB [options]\n\n" +
			"The two sides are told as the app is told: REDIS_* is the Redis that is being left,\n" +
			"REDIS_TARGET_* the one that is being moved to. Nothing is moved without --execute.",
		Writer: p.out, ErrWriter: p.errOut,
		Flags:                []cli.Flag{nameFlag(), jsonFlag(), helpFlag()},
		HideHelp:             true, // see tame
		HideVersion:          true,
		EnableBashCompletion: p.args[len(p.args)-1] == "--generate-bash-completion",
		OnUsageError:         onUsageError,
		ExitErrHandler:       func(*cli.Context, error) {},
		Action: func(c *cli.Context) error {
			if verb := c.Args().First(); verb != "" {
				return p.unknown(c.App, verb)
			}
			if !globalBool(c, "json") {
				c.App.Writer = p.errOut // it is not what was asked for
				_ = cli.ShowAppHelp(c)  // to a writer of ours
			}
			return usage("migrate --help lists the verbs", "no verb was given")
		},
		Commands: []*cli.Command{
			p.checkVerb(), p.backupVerb(), p.shadowVerb(), p.statusVerb(), p.verifyVerb(),
			p.cutoverVerb(), p.rollbackVerb(), p.finishVerb(), p.forgetVerb(),
			p.drillVerb(), p.demoVerb(), p.demoMemberVerb(), p.completionVerb(), helpVerb(),
		},
	}
	tame(app.Commands)
	return app
}

// tame gives commands a help flag of their own. The one that cli would add is a
// variable of the package, which it writes to: a process of tests runs several
// commands at a time.
func tame(cmds []*cli.Command) {
	for _, cmd := range cmds {
		cmd.OnUsageError = onUsageError
		cmd.HideHelp = true
		cmd.Flags = append(cmd.Flags, helpFlag())
	}
}

func helpVerb() *cli.Command {
	return &cli.Command{
		Name: "help", Usage: "show the help of a verb", ArgsUsage: "[VERB]",
		Action: func(c *cli.Context) error {
			verb := c.Args().First()
			if verb == "" {
				return cli.ShowAppHelp(c)
			}
			if c.App.Command(verb) == nil {
				return usage("migrate --help lists the verbs", "%q is not a verb", verb)
			}
			return cli.ShowCommandHelp(c, verb)
		},
	}
}

// unknown refuses a verb, and names the one that was perhaps meant.
func (p process) unknown(app *cli.App, verb string) error {
	next := "migrate --help lists the verbs"
	for _, cmd := range app.Commands {
		if !cmd.Hidden && (strings.HasPrefix(cmd.Name, verb) || strings.HasPrefix(verb, cmd.Name)) {
			next = fmt.Sprintf("perhaps you mean: migrate %s", cmd.Name)
		}
	}
	return usage(next, "%q is not a verb", verb)
}

func onUsageError(c *cli.Context, err error, _ bool) error {
	help := "migrate --help"
	if c.Command != nil && c.Command.Name != "" && c.Command.Name != "migrate" {
		help = "migrate " + c.Command.Name + " --help"
	}
	return usage(help+" lists the options", "%w", err)
}

// A call is one use of a verb.
type call struct {
	process
	flags  *cli.Context
	screen *screen
}

// action makes a verb of f. No verb takes arguments besides its options.
func (p process) action(f func(context.Context, *call) error) cli.ActionFunc {
	return func(c *cli.Context) error {
		if c.Args().Present() {
			return usage("migrate "+c.Command.Name+" --help lists the options", "unexpected argument %q", c.Args().First())
		}
		v := &call{process: p, flags: c, screen: newScreen(p.out, globalBool(c, "json"))}
		return f(c.Context, v)
	}
}
