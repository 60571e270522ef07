package keysync

// maxWords bounds the words of one command of a program, well below what Lua
// can unpack.
const maxWords = 1000

// A program is a list of commands on one key that program.lua runs in one
// step.
type program []any

// add appends a command.
func (p *program) add(words ...any) { *p = append(append(*p, len(words)), words...) }

// try appends a command that the server need not know.
func (p *program) try(words ...any) { *p = append(append(*p, -len(words)), words...) }

// addMany appends a command for each stretch of list, in steps that keep
// groups of that many elements together.
func (p *program) addMany(group int, list []string, words ...any) {
	step := maxWords / group * group
	for len(list) > 0 {
		n := min(step, len(list))
		*p = append(append(*p, len(words)+n), words...)
		for _, element := range list[:n] {
			*p = append(*p, element)
		}
		list = list[n:]
	}
}

// expire appends what makes the key expire at that time, or never.
func (p *program) expire(key string, at int64) {
	if at >= 0 {
		p.add("pexpireat", key, at)
	}
}

// programOf returns what makes key hold v, and nothing else, until expiry.
func programOf(key string, v *value, expiry int64) program {
	var p program
	p.add("unlink", key)
	switch v.kind {
	case "string":
		p.add("set", key, v.text)
	case "hash":
		p.addMany(2, v.list, "hset", key)
	case "set":
		p.addMany(1, v.list, "sadd", key)
	case "list":
		p.addMany(1, v.list, "rpush", key)
	case "zset":
		p.addMany(2, scoresFirst(v.list), "zadd", key)
	case "stream":
		v.stream.program(&p, key)
	}
	p.expire(key, expiry)
	return p
}

// scoresFirst turns member, score into score, member.
func scoresFirst(list []string) []string {
	turned := make([]string, len(list))
	for i := 0; i+1 < len(list); i += 2 {
		turned[i], turned[i+1] = list[i+1], list[i]
	}
	return turned
}
