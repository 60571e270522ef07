package control

import (
	"crypto/rand"
	"fmt"
	"os"
	"strings"
)

// ProcessID returns a new name for this process among all that take part in a
// migration: host, process number, and what tells it from one of the same number.
func ProcessID() string {
	host, _ := os.Hostname()
	host = strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' || r == ':' {
			return '-'
		}
		return r
	}, host)
	return fmt.Sprintf("%s-%d-%s", host, os.Getpid(), strings.ToLower(rand.Text()[:8]))
}

// ClientName is the name of every connection of a process: the fence finds them
// by it.
func ClientName(name, process string) string { return "transload:" + name + ":" + process }

// ClientFields reads one line of CLIENT LIST.
func ClientFields(line string) map[string]string {
	out := map[string]string{}
	for f := range strings.FieldsSeq(line) {
		if k, v, ok := strings.Cut(f, "="); ok {
			out[k] = v
		}
	}
	return out
}
