package main

import (
	"context"
	_ "embed"
	"fmt"

	"github.com/urfave/cli/v2"
)

var (
	//go:embed completion.bash
	bashCompletion string
	//go:embed completion.zsh
	zshCompletion string
)

// completionVerb prints what a shell needs to complete verbs and options.
func (p process) completionVerb() *cli.Command {
	shell := func(name, script string) *cli.Command {
		return &cli.Command{
			Name: name, Usage: "for " + name,
			Action: p.action(func(_ context.Context, v *call) error {
				_, err := fmt.Fprint(v.out, script)
				return err
			}),
		}
	}
	fish := shell("fish", "")
	fish.Action = p.action(func(_ context.Context, v *call) error {
		script, err := v.flags.App.ToFishCompletion()
		if err == nil {
			_, err = fmt.Fprint(v.out, script)
		}
		return err
	})
	return &cli.Command{
		Name: "completion", Usage: "print the completion script of a shell: bash, zsh or fish",
		UsageText:   "source <(migrate completion bash)",
		Subcommands: []*cli.Command{shell("bash", bashCompletion), shell("zsh", zshCompletion), fish},
		Action: func(c *cli.Context) error {
			return usage("migrate completion bash, zsh or fish", "want one of the shells bash, zsh and fish; got %q", c.Args().First())
		},
	}
}
