package main

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// errReply means that the COMMAND reply does not look like one of Redis 7.0 or
// later: before that it had neither key specs nor subcommands.
var errReply = errors.New("not the COMMAND reply of Redis 7.0 or later")

// A command is one entry of the reply.
type command struct {
	name  string
	arity int64
	flags []string
	keys  []keySpec
}

// A keySpec mirrors that of package command, with the access as Go's name of it.
type keySpec struct {
	at     int64
	count  bool
	last   int64
	step   int64
	access string
}

// byHand are the commands whose keys are found by a keyword. A spec cannot say
// it all (of two STOREs the last counts, a group may be called "streams"), so
// package command has a parser for each; a new one must not go unseen.
var byHand = []string{"georadius", "georadiusbymember", "migrate", "xread", "xreadgroup"}

// parse returns every command and subcommand of a COMMAND reply in order of its
// name.
func parse(reply any) (list []command, err error) {
	entries, ok := reply.([]any)
	if !ok {
		return nil, errReply
	}
	for _, e := range entries {
		f, ok := e.([]any)
		if !ok || len(f) < 10 {
			return nil, errReply
		}
		c := command{name: strings.ToLower(str(f[0])), arity: num(f[1]), flags: strs(f[2])}
		if c.keys, err = parseKeys(c.name, f[8]); err != nil {
			return nil, fmt.Errorf("%s: %w", c.name, err)
		}
		list = append(list, c)
		subs, err := parse(f[9])
		if err != nil {
			return nil, err
		}
		list = append(list, subs...)
	}
	slices.SortFunc(list, func(a, b command) int { return cmp.Compare(a.name, b.name) })
	return list, nil
}

// parseKeys keeps the specs that can be followed. Of SORT's, the server says
// itself that they cannot: package command knows that by hand. What is marked as
// no key (the channel of SPUBLISH) is none here.
func parseKeys(name string, v any) (keys []keySpec, err error) {
	specs, _ := v.([]any)
	for _, v := range specs {
		m := fields(v)
		flags := strs(m["flags"])
		begin, find := fields(m["begin_search"]), fields(m["find_keys"])
		if slices.Contains(flags, "not_key") || str(begin["type"]) == "unknown" || str(find["type"]) == "unknown" {
			continue
		}
		at, how := fields(begin["spec"]), fields(find["spec"])
		if str(begin["type"]) != "index" {
			if !slices.Contains(byHand, name) {
				return nil, fmt.Errorf("its keys are found by %v: package command needs a parser for it", begin)
			}
			continue
		}
		k := keySpec{at: num(at["index"]), step: num(how["keystep"]), access: access(flags)}
		switch str(find["type"]) {
		case "range":
			k.last = num(how["lastkey"])
		case "keynum":
			if num(how["keynumidx"]) != 0 || num(how["firstkey"]) != 1 {
				return nil, fmt.Errorf("number of keys does not stand before them: %v", how)
			}
			k.count = true
		default:
			return nil, errReply
		}
		keys = append(keys, k)
	}
	return keys, nil
}

func access(flags []string) string {
	switch {
	case slices.Contains(flags, "RO"):
		return "readOnly"
	case slices.Contains(flags, "OW"):
		return "overwrite"
	default: // RW, RM, or nothing said: the safe side
		return "readWrite"
	}
}

// fields turns a RESP2 map, a list of names and values, into a map.
func fields(v any) map[string]any {
	list, _ := v.([]any)
	m := make(map[string]any, len(list)/2)
	for i := 0; i+1 < len(list); i += 2 {
		m[str(list[i])] = list[i+1]
	}
	return m
}

func str(v any) string {
	s, _ := v.(string)
	return s
}

func num(v any) int64 {
	n, _ := v.(int64)
	return n
}

func strs(v any) (out []string) {
	list, _ := v.([]any)
	for _, s := range list {
		out = append(out, str(s))
	}
	return out
}
