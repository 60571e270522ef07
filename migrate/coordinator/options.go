package coordinator

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/transload/transload/internal/control"
	"github.com/transload/transload/internal/protocol"
	"github.com/transload/transload/migrate"
	"github.com/transload/transload/topology"
)

// TargetKeys says what is to become of keys that the target held before the
// migration.
type TargetKeys string

const (
	RefuseKeys TargetKeys = ""       // the migration does not begin
	KeepKeys   TargetKeys = "keep"   // they stay; a key that the source has too is overwritten
	DeleteKeys TargetKeys = "delete" // they are deleted, as any key that only the mirror has
)

// Options say what is migrated and how carefully. Zero fields mean the default.
type Options struct {
	// Name is the migration's name, as the members have it. The default is "default".
	Name string
	// Source and Target are the two sides, as the members have them. Both are
	// required.
	Source, Target topology.Config
	// NoMembers lets a migration begin, or move, while no member is on the roll.
	// The default is to refuse: mostly it means that the app was not deployed.
	NoMembers bool
	// Workloads are used when there are no members to tell them. The default is
	// migrate.DefaultWorkloads.
	Workloads []migrate.Workload
	// TargetKeys says what becomes of keys that the target held before. The
	// default is to refuse to begin. What is told when the migration begins holds
	// until it is done.
	TargetKeys TargetKeys
	// Hold bounds how long writes to moving keys are held; a move that is not
	// proven by then is aborted. The default is 250ms.
	Hold time.Duration
	// MaxHold is how long the hold may be stretched where a server has no change
	// feed and everything must be compared in the hold. The default is Hold.
	MaxHold time.Duration
	// PrepareFor bounds the preparation of a move. It must be long enough to wait
	// out a dead member. The default is 45s.
	PrepareFor time.Duration
	// Rate bounds a sync pass, and Verify, in keys a second. What the app changes
	// meanwhile is copied beside it. The default is no bound; both slow down by
	// themselves while a side answers slower than it usually does.
	Rate int
	// TakeOver lets the lock be taken from a coordinator that has fallen silent
	// where it cannot be fenced. Whoever sets it has made sure that its process
	// has ended. The default is false.
	TakeOver bool
	// Limits are the thresholds of the gates.
	Limits Limits
	// Progress is told how the verbs go on; it must not block. The default is
	// none.
	Progress func(Progress)
	// Logger takes what a human should look at (Warn) and phase changes (Info).
	// The default discards.
	Logger *slog.Logger

	extra []topology.Option // of the clients that write records; for tests
}

// Progress tells how a verb goes on.
type Progress struct {
	Stage string  `json:"stage"`           // what is being done
	Text  string  `json:"text"`            // what it waits for, or has reached
	Keys  int64   `json:"keys,omitempty"`  // compared so far in this pass
	Total int64   `json:"total,omitempty"` // about how many there are
	Rate  float64 `json:"rate,omitempty"`  // keys a second
	ETA   float64 `json:"eta_s,omitempty"` // seconds left in this pass
	Phase string  `json:"phase,omitempty"` // of the migration, where it was just read
	Equal bool    `json:"equal,omitempty"` // every key was compared: the sides are equal, and kept so from here
}

// longestHold bounds a hold: beyond it callers with usual time-outs fail.
const longestHold = 10 * time.Second

func (o Options) withDefaults() (Options, error) {
	if o.Name == "" {
		o.Name = "default"
	}
	if o.Workloads == nil {
		o.Workloads = migrate.DefaultWorkloads()
	}
	if o.Hold == 0 {
		o.Hold = 250 * time.Millisecond
	}
	if o.MaxHold == 0 {
		o.MaxHold = o.Hold
	}
	if o.PrepareFor == 0 {
		o.PrepareFor = 45 * time.Second
	}
	if o.Progress == nil {
		o.Progress = func(Progress) {}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	o.Limits = o.Limits.withDefaults()
	return o, o.validate()
}

func (o Options) validate() (err error) {
	bad := func(format string, args ...any) {
		err = errors.Join(err, fmt.Errorf("%w: "+format, append([]any{ErrOption}, args...)...))
	}
	if e := control.ValidName(o.Name); e != nil {
		bad("Name: %w", e)
	}
	if o.Hold < 20*time.Millisecond || o.Hold > longestHold {
		bad("Hold: %v is not between 20ms and %v", o.Hold, longestHold)
	}
	if o.MaxHold < o.Hold || o.MaxHold > longestHold {
		bad("MaxHold: %v is not between Hold and %v", o.MaxHold, longestHold)
	}
	if o.PrepareFor <= protocol.SilentFor || o.PrepareFor > protocol.PrepareBound {
		bad("PrepareFor: %v is not between %v and %v", o.PrepareFor, protocol.SilentFor, protocol.PrepareBound)
	}
	if o.Rate < 0 {
		bad("Rate: %d is negative", o.Rate)
	}
	if e := migrate.ValidateWorkloads(o.Workloads); e != nil {
		bad("Workloads: %w", e)
	}
	switch o.TargetKeys {
	case RefuseKeys, KeepKeys, DeleteKeys:
	default:
		bad("TargetKeys: %q is unknown", o.TargetKeys)
	}
	return err
}
