package keysync

import (
	"slices"
	"strings"
)

// parseStream reads what typed.lua returns for a stream.
func parseStream(reply any) (*stream, error) {
	array, _ := reply.([]any)
	switch {
	case len(array) == 2 && array[0] == "full":
		return parseFull(array[1])
	case len(array) == 5 && array[0] == "parts":
		return parseParts(array)
	}
	return nil, streamError("the parts", reply)
}

// parseFull reads XINFO STREAM … FULL.
func parseFull(reply any) (*stream, error) {
	info, err := record(reply)
	if err != nil {
		return nil, err
	}
	s, err := parseInfo(info)
	if err != nil {
		return nil, err
	}
	if s.entries, err = parseEntries(info["entries"]); err != nil {
		return nil, err
	}
	groups, _ := info["groups"].([]any)
	for _, reply := range groups {
		fields, err := record(reply)
		if err != nil {
			return nil, err
		}
		g := parseGroup(fields)
		held, _ := fields["pending"].([]any)
		if g.pending, err = parsePending(held, func(at int64) int64 { return at }); err != nil {
			return nil, err
		}
		consumers, _ := fields["consumers"].([]any)
		if g.consumers, err = parseConsumers(consumers); err != nil {
			return nil, err
		}
		s.groups = append(s.groups, g)
	}
	s.sortGroups()
	return s, nil
}

// parseParts reads the replies of XINFO STREAM, XRANGE and, for each group,
// those of XINFO GROUPS, XINFO CONSUMERS and XPENDING.
func parseParts(array []any) (*stream, error) {
	info, err := record(array[1])
	if err != nil {
		return nil, err
	}
	s, err := parseInfo(info)
	if err != nil {
		return nil, err
	}
	if s.entries, err = parseEntries(array[2]); err != nil {
		return nil, err
	}
	now, _ := array[4].(int64)
	groups, _ := array[3].([]any)
	for _, reply := range groups {
		parts, _ := reply.([]any)
		if len(parts) != 3 {
			return nil, streamError("a group", reply)
		}
		fields, err := record(parts[0])
		if err != nil {
			return nil, err
		}
		g := parseGroup(fields)
		consumers, _ := parts[1].([]any)
		if g.consumers, err = parseConsumers(consumers); err != nil {
			return nil, err
		}
		held, _ := parts[2].([]any)
		if g.pending, err = parsePending(held, func(ago int64) int64 { return now - ago }); err != nil {
			return nil, err
		}
		s.groups = append(s.groups, g)
	}
	s.sortGroups()
	return s, nil
}

func (s *stream) sortGroups() {
	slices.SortFunc(s.groups, func(a, b group) int { return strings.Compare(a.name, b.name) })
}

func parseInfo(info map[string]any) (*stream, error) {
	last, ok := info["last-generated-id"].(string)
	if !ok {
		return nil, streamError("the last identifier", info["last-generated-id"])
	}
	s := &stream{lastID: fullID(last), added: -1}
	if added, ok := info["entries-added"].(int64); ok {
		s.added = added
		deleted, _ := info["max-deleted-entry-id"].(string)
		s.maxDeleted = fullID(deleted)
	}
	return s, nil
}

func parseEntries(reply any) ([]entry, error) {
	array, ok := reply.([]any)
	if !ok {
		return nil, streamError("the entries", reply)
	}
	entries := make([]entry, len(array))
	for i, reply := range array {
		pair, _ := reply.([]any)
		if len(pair) != 2 {
			return nil, streamError("an entry", reply)
		}
		id, _ := pair[0].(string)
		fields, err := texts(pair[1])
		if err != nil {
			return nil, err
		}
		entries[i] = entry{id: id, fields: fields}
	}
	return entries, nil
}

func parseGroup(fields map[string]any) group {
	g := group{read: -1}
	g.name, _ = fields["name"].(string)
	last, _ := fields["last-delivered-id"].(string)
	g.lastID = fullID(last)
	if read, ok := fields["entries-read"].(int64); ok {
		g.read = read
	}
	return g
}

func parseConsumers(replies []any) ([]string, error) {
	var names []string
	for _, reply := range replies {
		fields, err := record(reply)
		if err != nil {
			return nil, err
		}
		name, _ := fields["name"].(string)
		names = append(names, name)
	}
	slices.Sort(names)
	return names, nil
}

// parsePending reads a list of identifier, consumer, time and count.
func parsePending(replies []any, when func(int64) int64) ([]pending, error) {
	var list []pending
	for _, reply := range replies {
		four, _ := reply.([]any)
		if len(four) != 4 {
			return nil, streamError("a pending entry", reply)
		}
		var p pending
		p.id, _ = four[0].(string)
		p.consumer, _ = four[1].(string)
		at, _ := four[2].(int64)
		p.delivered = when(at)
		p.count, _ = four[3].(int64)
		list = append(list, p)
	}
	return list, nil
}

// record reads a flat list of names and values, or a map, as a map.
func record(reply any) (map[string]any, error) {
	fields := make(map[string]any)
	switch reply := reply.(type) {
	case []any:
		for i := 0; i+1 < len(reply); i += 2 {
			if name, ok := reply[i].(string); ok {
				fields[name] = reply[i+1]
			}
		}
	case map[any]any:
		for name, value := range reply {
			if name, ok := name.(string); ok {
				fields[name] = value
			}
		}
	default:
		return nil, streamError("a record", reply)
	}
	return fields, nil
}
