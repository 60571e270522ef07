package protocol

import "fmt"

// A Side is one of the two Redis deployments of a migration. The zero Side is
// none: it is what a key has that nobody may use now.
type Side uint8

const (
	None   Side = iota
	Source      // the Redis that is being left
	Target      // the Redis that is being moved to
)

// Sides lists both, in the order in which they are visited.
var Sides = [...]Side{Source, Target}

var sideNames = [...]string{"none", "source", "target"}

func (s Side) String() string {
	if int(s) < len(sideNames) {
		return sideNames[s]
	}
	return "invalid"
}

// Other returns the opposite side; None has none.
func (s Side) Other() Side {
	switch s {
	case Source:
		return Target
	case Target:
		return Source
	}
	return None
}

// MarshalText writes the side as records store it.
func (s Side) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText refuses a name that it does not know.
func (s *Side) UnmarshalText(b []byte) error {
	for i, name := range sideNames {
		if name == string(b) {
			*s = Side(i)
			return nil
		}
	}
	return fmt.Errorf("protocol: unknown side %q", b)
}
