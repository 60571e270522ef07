package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/transload/transload/migrate/coordinator"
)

func (p process) statusVerb() *cli.Command {
	return &cli.Command{
		Name:  "status",
		Usage: "say where the migration stands, what it waits for, and what is next",
		Flags: options(
			boolean("watch", "say it again and again, until Ctrl-C"),
			&cli.DurationFlag{Name: "every", Value: 2 * time.Second, Usage: "pause between two looks of --watch"},
			boolean("events", "print the audit: who did what, when and why"),
			&cli.IntFlag{Name: "last", Value: 50, Usage: "how many events"},
			verboseFlag(),
		),
		Action: p.action(status),
	}
}

func status(ctx context.Context, v *call) error {
	co, err := v.open()
	if err != nil {
		return err
	}
	defer co.Close()
	if v.flags.Bool("events") {
		return v.events(ctx, co)
	}
	if v.flags.Bool("watch") {
		return v.watch(ctx, co)
	}
	st, err := co.Status(ctx)
	if err != nil {
		return err
	}
	return v.screen.value(st, func(w io.Writer) { statusTable(w, st) })
}

// watch shows the status until ctx is done. A look that fails is shown, and does
// not end it: a failover is when people watch.
func (v *call) watch(ctx context.Context, co *coordinator.Coordinator) error {
	every := v.flags.Duration("every")
	if every < 100*time.Millisecond {
		return usage("say for example --every 2s", "--every: %v is under 100ms", every)
	}
	for {
		st, err := co.Status(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			v.screen.say("%s  no answer: %v", time.Now().Format(time.TimeOnly), err)
		default:
			if err := v.screen.frame(st, statusLine(st), func(w io.Writer) { statusTable(w, st) }); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(every):
		}
	}
}

// statusLine tells the status in one line.
func statusLine(st coordinator.Status) string {
	line := fmt.Sprintf("%s  %v", st.Name, st.Phase)
	if len(st.Percent) > 0 {
		line += ": " + percents(st.Percent)
	}
	if st.Moving != nil {
		line += fmt.Sprintf("; a move is at %s", st.Moving.Stage)
	}
	return line + fmt.Sprintf("; %s; waits for: %s", counted(len(st.Members), "member"), st.WaitsFor)
}

func statusTable(w io.Writer, st coordinator.Status) {
	fmt.Fprintf(w, "migration\t%s\n", st.Name)
	fmt.Fprintf(w, "phase\t%v, epoch %d\n", st.Phase, st.Epoch)
	if len(st.Percent) > 0 {
		fmt.Fprintf(w, "authority\t%s\n", percents(st.Percent))
	}
	if len(st.Cold) > 0 {
		fmt.Fprintf(w, "cold\t%s: not carried\n", strings.Join(st.Cold, ", "))
	}
	if mv := st.Moving; mv != nil {
		fmt.Fprintf(w, "moving\tfrom the %v, at %s: to %s\n", mv.From, mv.Stage, percents(mv.Percent))
	}
	sideTable(w, "source", st.Sides.Source)
	sideTable(w, "target", st.Sides.Target)
	membersTable(w, st)
	syncTable(w, st)
	if m := st.LastMove; m != nil {
		fmt.Fprintf(w, "last move\tfrom the %v: writes held %.1f ms, longest wait %.1f ms, %d keys compared, %d repaired\n",
			m.From, m.HoldMS, m.LongestWait, m.Compared, m.Repaired)
	}
	for _, b := range st.Blockers {
		fmt.Fprintf(w, "blocker\t%s\n", b)
	}
	fmt.Fprintf(w, "waits for\t%s\n", st.WaitsFor)
	for _, n := range st.NextSteps {
		fmt.Fprintf(w, "next\t%s\n", n)
	}
}

func sideTable(w io.Writer, name string, s coordinator.SideStatus) {
	if !s.Healthy {
		fmt.Fprintf(w, "%s\t%s, no answer: %s\n", name, s.Mode, s.Error)
		return
	}
	fmt.Fprintf(w, "%s\t%s, Redis %s, %s in use, %s, %s %.0f ms behind, round trip %.2f ms\n",
		name, s.Mode, orNone(s.Version), bytesText(s.Used), counted(s.Masters, "master"), counted(s.Replicas, "replica"), s.LagMS, s.TripMS)
}

func membersTable(w io.Writer, st coordinator.Status) {
	fmt.Fprintf(w, "members\t%d; %s keys copied, %s failed, %s dropped, %.0f ms behind\n", len(st.Members),
		grouped(st.Mirror.Written), grouped(st.Mirror.Failed), grouped(st.Mirror.Dropped), st.Mirror.LagMS)
	for _, m := range st.Members {
		note := ""
		if m.Note != "" {
			note = "; " + m.Note
		}
		fmt.Fprintf(w, "  %s\tversion %s, epoch %d, leases %d and %d ms, %d keys to copy%s\n",
			m.ID, orNone(m.Version), m.Epoch, m.LeaseMS[0], m.LeaseMS[1], m.Dirty, note)
	}
	if st.ShadowReads.Compared > 0 {
		fmt.Fprintf(w, "shadow reads\t%s compared, %s different\n", grouped(st.ShadowReads.Compared), grouped(st.ShadowReads.Different))
	}
	if l := st.Latency; l.Source.Count+l.Target.Count > 0 {
		fmt.Fprintf(w, "latency\tsource p50 %.2f p99 %.2f ms, target p50 %.2f p99 %.2f ms\n", l.Source.P50MS, l.Source.P99MS, l.Target.P50MS, l.Target.P99MS)
	}
}

func syncTable(w io.Writer, st coordinator.Status) {
	if st.Coordinator == nil {
		fmt.Fprintf(w, "coordinator\tnone runs\n")
		return
	}
	fmt.Fprintf(w, "coordinator\t%s (%s)\n", st.Coordinator.ID, st.Coordinator.About)
	s := st.Sync
	switch {
	case !s.Done:
		fmt.Fprintf(w, "sync\t%s\n", progressLine(coordinator.Progress{Stage: "first pass", Keys: s.Keys, Total: s.Total, Rate: s.Rate, ETA: s.ETA}))
	default:
		fmt.Fprintf(w, "sync\tevery key compared at %s; %s to be compared now\n", s.VerifiedAt.Local().Format(time.TimeOnly), grouped(int64(st.Dirty)))
	}
	if !st.Feed.UnbrokenSince.IsZero() {
		fmt.Fprintf(w, "feeds\tunbroken since %s\n", st.Feed.UnbrokenSince.Local().Format(time.TimeOnly))
	}
}

func orNone(s string) string {
	if s == "" {
		return "unknown"
	}
	return s
}

// bytesText writes a size as people read it.
func bytesText(n int64) string {
	const unit = 1024
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	f, i := float64(n)/unit, 0
	for f >= unit && i < 3 {
		f, i = f/unit, i+1
	}
	return fmt.Sprintf("%.1f %ciB", f, "KMGT"[i])
}
