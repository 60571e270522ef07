package main

import (
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
	return &cli.Command{
		Name: "completion", Usage: "print the completion script of a shell: bash, zsh or fish",
		UsageText: "source <(migrate completion bash)", ArgsUsage: "SHELL",
		Action: func(c *cli.Context) (err error) {
			script := ""
			switch shell := c.Args().First(); shell {
			case "bash":
				script = bashCompletion
			case "zsh":
				script = zshCompletion
			case "fish":
				if script, err = c.App.ToFishCompletion(); err != nil {
					return err
				}
			default:
				return usage("migrate completion bash, zsh or fish", "%q is none of the shells bash, zsh and fish", shell)
			}
			_, err = fmt.Fprint(p.out, script)
			return err
		},
	}
}
