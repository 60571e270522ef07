package feed

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
)

// An Identity tells which server, and which time of its being a master, a
// tracking connection leads to.
type Identity struct {
	Addr string
	// RunID is of the process. It is empty where a service hides it.
	RunID string
	// ReplID is of the history of writes: a server that becomes a replica, or
	// a replica that becomes a master, gets another.
	ReplID string
}

func (c *conn) identify(cluster bool) error {
	server, err := c.first([]string{"info", "server"})
	if err != nil {
		return err
	}
	replication, err := c.first([]string{"info", "replication"})
	if err != nil {
		return err
	}
	c.self.RunID = field(server, "run_id")
	c.self.ReplID = field(replication, "master_replid")
	if field(replication, "role") != "master" {
		return errNotMaster
	}
	if !cluster {
		return nil
	}
	slots, err := c.first([]string{"cluster", "slots"})
	if err != nil {
		return err
	}
	c.owned, err = slotMap(slots)
	return err
}

// field returns a line of INFO.
func field(info any, name string) string {
	text, _ := info.(string)
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// slotMap digests who owns which slots out of CLUSTER SLOTS; replicas do not
// matter.
func slotMap(reply any) (string, error) {
	ranges, ok := reply.([]any)
	if !ok {
		return "", fmt.Errorf("%w: %T for CLUSTER SLOTS", errProtocol, reply)
	}
	lines := make([]string, 0, len(ranges))
	for _, r := range ranges {
		parts, _ := r.([]any)
		if len(parts) < 3 {
			return "", fmt.Errorf("%w: %d parts of a slot range", errProtocol, len(parts))
		}
		lines = append(lines, fmt.Sprintln(parts[0], parts[1], nodeID(parts[2])))
	}
	slices.Sort(lines)
	sum := sha256.Sum256([]byte(strings.Join(lines, "")))
	return string(sum[:]), nil
}

// nodeID is the third part of a node, where it has one.
func nodeID(node any) any {
	parts, _ := node.([]any)
	if len(parts) < 3 {
		return node
	}
	return parts[2]
}
