package control

import (
	"fmt"
	"strings"
)

// Keys are the names of what a migration keeps on each side. All carry the
// migration's name as their hash tag, so that one master has them all.
type Keys struct {
	Control  string // the record
	Roll     string // hash: member id → its entry
	Events   string // stream: who did what, when, why
	Lock     string // hash: the coordinator
	Identity string // stands for the run id where the server has none
	Census   string // hash: member id → what its app does
	Requests string // hash: what other processes ask of the coordinator, and its answers
	Seen     string // hash: the member that refreshed last, and when
	Nudge    string // channel: the record has changed
	Acks     string // channel: a member has acknowledged
}

// KeysOf returns the names for a migration. The name must have passed ValidName.
func KeysOf(name string) Keys {
	p := Prefix(name)
	return Keys{
		Control: p + "control", Roll: p + "roll", Events: p + "events", Lock: p + "lock",
		Identity: p + "identity", Census: p + "census", Requests: p + "requests", Seen: p + "seen",
		Nudge: p + "nudge", Acks: p + "acks",
	}
}

// Prefix begins every key that a migration keeps for itself.
func Prefix(name string) string { return "transload:{" + name + "}:" }

// Reserved begins the keys of every migration: they are no workload's, and are
// never copied or compared.
const Reserved = "transload:{"

// ValidName refuses a migration's name that would break its keys or the name of
// its connections.
func ValidName(name string) error {
	if name == "" || len(name) > 64 {
		return fmt.Errorf("name of the migration: want 1 to 64 characters")
	}
	if i := strings.IndexFunc(name, func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("-_.", r))
	}); i >= 0 {
		return fmt.Errorf("name of the migration: %q may hold letters, digits, - _ and . only", name)
	}
	return nil
}
