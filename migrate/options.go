package migrate

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/transload/transload/internal/control"
	"github.com/transload/transload/topology"
)

// ErrOption means that an option has a value that cannot be used; the error
// that wraps it names the option.
var ErrOption = errors.New("migrate: bad option")

// Other is the workload of every key that no prefix claims.
const Other = "other"

// A Workload is a named set of key prefixes that is moved as one.
type Workload struct {
	Name     string   `json:"name"`
	Prefixes []string `json:"prefixes"`
	// Cold workloads are not carried: they are neither mirrored, compared nor
	// verified, and begin empty on the other side. For caches.
	Cold bool `json:"cold,omitempty"`
}

// DefaultWorkloads returns the workloads of Transload's own packages.
func DefaultWorkloads() []Workload {
	return []Workload{
		{Name: "ratelimit", Prefixes: []string{"rl:"}},
		{Name: "sessions", Prefixes: []string{"sess:"}},
		{Name: "queue", Prefixes: []string{"asynq:"}},
		{Name: "pubsub", Prefixes: []string{"live:"}},
		{Name: "cache", Prefixes: []string{"cache:"}},
	}
}

// Options say what a member migrates and how. Zero fields mean the default.
type Options struct {
	// Name is the migration's name, the same for every member and for the
	// operator's command. The default is "default".
	Name string
	// Source is the Redis that is being left. It is required.
	Source topology.Config
	// Target is the Redis that is being moved to. With none the client is a plain
	// one on the source.
	Target topology.Config
	// Workloads are the named sets of prefixes; the same for every member. The
	// default is DefaultWorkloads. Keys that none claims are Other.
	Workloads []Workload
	// Version of the app, shown on the roll. The default is empty.
	Version string
	// Wait bounds how long an operation without a deadline of its own waits for a
	// side that it may use: through a hold, or while a lease is missing. The
	// default is 20s, which is longer than a lease.
	Wait time.Duration
	// Retries is how often a command is tried again after an error that can pass;
	// the list is go-redis's. The default is 3; negative means none.
	Retries int
	// Breaker has commands fail at once, with topology.ErrBreakerOpen, after ten
	// transport errors in a row of their workload on their side, until it answers
	// again; each 150ms one command finds out. It is for apps that do better
	// without Redis than with a late answer. What waits for a hold or a lease does
	// not fail for it, nor do blocking commands, Watch, or commands without keys.
	// The default is false: commands wait as their deadlines and time-outs say.
	Breaker bool
	// ShadowReads is the share of reads, 0 to 1, that also run on the mirror, off
	// the caller's path, to compare results and latency. The default is 0.02;
	// negative means none.
	ShadowReads float64
	// MirrorQueue bounds the keys that wait to be copied to the mirror. What
	// does not fit is dirty and is repaired by the coordinator. The default is 100,000.
	MirrorQueue int
	// Logger takes phase changes (Info) and what a human should look at (Warn).
	// The default discards.
	Logger *slog.Logger
}

func (o Options) withDefaults() (Options, error) {
	if o.Name == "" {
		o.Name = "default"
	}
	if o.Workloads == nil {
		o.Workloads = DefaultWorkloads()
	}
	if o.Wait == 0 {
		o.Wait = 20 * time.Second
	}
	if o.Retries == 0 {
		o.Retries = 3
	}
	if o.ShadowReads == 0 {
		o.ShadowReads = 0.02
	}
	if o.MirrorQueue == 0 {
		o.MirrorQueue = 100_000
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o, o.validate()
}

func (o Options) validate() (err error) {
	bad := func(format string, args ...any) {
		err = errors.Join(err, fmt.Errorf("%w: "+format, append([]any{ErrOption}, args...)...))
	}
	if e := control.ValidName(o.Name); e != nil {
		bad("Name: %w", e)
	}
	if o.Wait < time.Second {
		bad("Wait: %v is under 1s", o.Wait)
	}
	if o.ShadowReads > 1 {
		bad("ShadowReads: %v is over 1", o.ShadowReads)
	}
	if o.MirrorQueue < 1 {
		bad("MirrorQueue: %d is under 1", o.MirrorQueue)
	}
	if e := ValidateWorkloads(o.Workloads); e != nil {
		bad("Workloads: %w", e)
	}
	return err
}

// ValidateWorkloads refuses workloads of which a key could belong to two, or
// whose names cannot be told apart.
func ValidateWorkloads(ws []Workload) (err error) {
	type claim struct{ prefix, name string }
	var claims []claim
	names := map[string]bool{Other: true}
	for _, w := range ws {
		if w.Name == "" || names[w.Name] {
			err = errors.Join(err, fmt.Errorf("name %q is empty, reserved or given twice", w.Name))
		}
		names[w.Name] = true
		for _, p := range w.Prefixes {
			if p == "" || strings.HasPrefix(p, "transload:") {
				err = errors.Join(err, fmt.Errorf("%s: prefix %q is empty or reserved", w.Name, p))
			}
			for _, c := range claims {
				if strings.HasPrefix(p, c.prefix) || strings.HasPrefix(c.prefix, p) {
					err = errors.Join(err, fmt.Errorf("%s: prefix %q overlaps %q of %s", w.Name, p, c.prefix, c.name))
				}
			}
			claims = append(claims, claim{p, w.Name})
		}
	}
	return err
}

// Plan is the digest by which members and coordinator see that they mean the
// same workloads.
func Plan(ws []Workload) string {
	b, err := json.Marshal(ws)
	if err != nil { // names and prefixes
		return ""
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:8])
}
