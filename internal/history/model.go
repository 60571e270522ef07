package history

import (
	"strconv"

	"github.com/anishathalye/porcupine"
)

// A step is one operation as the models see it. A set is a string of bits, one
// for each element that the history names.
type step struct {
	kind  Kind
	value string
	bit   int    // of the element that is added
	reply string // a value, a number, or the bits of a set
	open  bool   // then nobody knows the reply; an open INCR has its number
}

// model is the one of a key: a register's value, a counter's number, a set's
// bits. bits is the length of the last.
func model(bits int) porcupine.Model {
	return porcupine.Model{
		Init: func() any { return "" },
		Step: func(state, input, _ any) (bool, any) {
			s, _ := input.(step)
			now, _ := state.(string)
			return s.on(now, bits)
		},
	}
}

// on carries a step out on a state, and reports whether its reply fits.
func (s step) on(now string, bits int) (fits bool, next string) {
	switch s.kind {
	case Get, Count:
		return s.reply == now, now
	case Set:
		return true, s.value
	case GetSet:
		return s.open || s.reply == now, s.value
	case Incr:
		n, _ := strconv.Atoi(now)
		next = strconv.Itoa(n + 1)
		return s.reply == next, next
	}
	if now == "" {
		now = string(make([]byte, bits/8+1))
	}
	if s.kind == Members {
		return s.reply == now, now
	}
	b := []byte(now)
	had := b[s.bit/8]&(1<<(s.bit%8)) != 0
	b[s.bit/8] |= 1 << (s.bit % 8)
	return s.open || had == (s.reply == "0"), string(b)
}

// steps turns the settled history of a key into what porcupine checks.
func steps(ops []Op) (out []porcupine.Operation, bits int) {
	place := map[string]int{} // of each element
	bit := func(el string) int {
		if _, ok := place[el]; !ok {
			place[el] = len(place)
		}
		return place[el]
	}
	for _, o := range ops {
		if o.Kind == Add {
			bit(o.Value)
		}
		for _, el := range o.List {
			bit(el)
		}
	}
	for _, o := range ops {
		s := step{kind: o.Kind, value: o.Value, reply: o.Reply, open: o.End == Open}
		switch o.Kind {
		case Add:
			s.bit = bit(o.Value)
		case Members:
			b := make([]byte, len(place)/8+1)
			for _, el := range o.List {
				b[bit(el)/8] |= 1 << (bit(el) % 8)
			}
			s.reply = string(b)
		}
		out = append(out, porcupine.Operation{ClientId: o.Client, Input: s, Call: o.Call, Return: o.Return})
	}
	return out, len(place)
}
