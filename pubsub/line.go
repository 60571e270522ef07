package pubsub

import (
	"slices"
	"strconv"
	"strings"
)

// A span is one line of a topic's messages: those that one server numbered. Numbers go
// on from one line to the next.
type span struct {
	epoch string
	run   string // of the server
	end   int64  // number of its last message, as the next server knew it; of the present line it is not set
	whole bool   // it is proven that the next line lacks nothing of it
}

// parseSpans reads what open.lua keeps of earlier lines.
func parseSpans(text string) (list []span) {
	for part := range strings.SplitSeq(text, ";") {
		words := strings.Split(part, " ")
		if len(words) != 3 {
			continue
		}
		end, err := strconv.ParseInt(words[1], 10, 64)
		if err != nil {
			continue
		}
		list = append(list, span{epoch: words[0], end: end, run: words[2]})
	}
	return list
}

// find returns the place of an epoch in a topic's lines, or -1.
func find(line []span, epoch string) int {
	return slices.IndexFunc(line, func(s span) bool { return s.epoch == epoch })
}

// adopt takes over what was proven of lines before: a server that has gone since
// proves nothing any more.
func adopt(line, before []span) {
	for i := range line {
		if j := find(before, line[i].epoch); j >= 0 {
			line[i].whole = line[i].whole || before[j].whole
		}
	}
}
