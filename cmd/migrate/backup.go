package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/transload/transload/migrate/coordinator"
)

func (p process) backupVerb() *cli.Command {
	return &cli.Command{
		Name:  "backup",
		Usage: "have the source save its data, wait for it, and say where the files lie",
		Description: "Each master runs BGSAVE. A file lies on its own master's host: copy it away before the next\n" +
			"save replaces it. A service that does not allow BGSAVE has snapshots of its own.",
		Flags:  options(verboseFlag()),
		Action: p.action(backup),
	}
}

func backup(ctx context.Context, v *call) error {
	co, err := v.open()
	if err != nil {
		return err
	}
	defer co.Close()
	rep, err := co.Backup(ctx)
	if err != nil {
		v.screen.done()
		return err
	}
	return v.screen.value(rep, func(w io.Writer) { backupTable(w, rep) })
}

func backupTable(w io.Writer, rep coordinator.BackupReport) {
	fmt.Fprintln(w, "master\tkeys\tsaved at\ttook\tfile")
	for _, s := range rep.Saves {
		file := s.Path
		if file == "" {
			file = s.Note
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%.1f s\t%s\n", s.Addr, grouped(s.Keys), s.At.UTC().Format(time.RFC3339), s.Took, file)
	}
}
