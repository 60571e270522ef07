package command

import "strings"

// Replica reports whether a replica that has all that its primary has answers
// this call as the primary would: a read of keys that neither waits nor may touch
// other keys. It is not so for
//
//   - cursors, which count only on the server that gave them, and those of
//     modules, of which the table does not say that they are;
//   - TOUCH, which is sent for its effect on the server, and OBJECT and MEMORY,
//     which tell how this one server keeps a value;
//   - what a script reads, since nobody can tell what else it does.
func (c *Command) Replica(args []any) bool {
	return c.Class == Keyed && !c.Script && !c.Cursor && !c.own() &&
		!c.Write(args) && !c.Blocking(args) && !c.Undeclared(args)
}

// own reports whether a command is about the server that it is sent to.
func (c *Command) own() bool {
	switch c.Name {
	case "touch", "json.debug|memory", "bf.scandump", "cf.scandump", "arscan":
		return true
	}
	return strings.HasPrefix(c.Name, "object|") || strings.HasPrefix(c.Name, "memory|")
}
