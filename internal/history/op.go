package history

import "math"

// A Kind is what an operation does.
type Kind string

// The kinds of operations, by the type of the key that they are done on.
const (
	Get    Kind = "get" // of a register
	Set    Kind = "set"
	GetSet Kind = "getset"

	Count Kind = "count" // GET of a counter
	Incr  Kind = "incr"

	Members Kind = "members" // of a set
	Add     Kind = "add"
)

// reads reports whether a kind changes nothing.
func (k Kind) reads() bool { return k == Get || k == Count || k == Members }

// An End is how an operation ended.
type End string

// The ends. An operation without one is open: its process was killed.
const (
	Returned End = "returned" // with a reply that counts
	Failed   End = "failed"   // nothing was carried out
	Open     End = "open"     // it may be carried out at any time after its call, or never
)

// never is when an open operation returns.
const never = math.MaxInt64

// An Op is one operation, as its client saw it.
type Op struct {
	Process string
	Client  int
	Kind    Kind
	Key     string
	Value   string // that it writes: unique in the history; empty for INCR

	// Reply is the value or number that was read, or that was there before; empty
	// means that there was none. List is that of Members.
	Reply string
	List  []string

	Call, Return int64 // by Now, in nanoseconds
	End          End
}

// acked reports whether a write was acknowledged.
func (o Op) acked() bool { return o.End == Returned && !o.Kind.reads() }

// forget makes an operation one whose answer nobody knows.
func (o Op) forget() Op {
	o.Reply, o.List, o.Return, o.End = "", nil, never, Open
	return o
}

// Until returns the history as it was at a moment: what was under way then is
// open. What is linearizable is so at every moment.
func Until(ops []Op, t int64) (out []Op) {
	for _, o := range ops {
		switch {
		case o.Call > t:
			continue
		case o.Return > t && o.End != Failed:
			o = o.forget()
		}
		out = append(out, o)
	}
	return out
}
