package coordinator

import (
	"strings"

	"github.com/transload/transload/topology"
)

// A need is a group of commands that a migration sends, with what is lost where
// they are not allowed.
type need struct {
	name     string
	verdict  Verdict // where one of them is missing
	lost     string
	commands string // a subcommand is joined by |
	only     topology.Mode
}

var needs = []need{
	{"records", Refused, "no migration can be kept", "get set setnx hget hset hdel hgetall hincrby xadd xrevrange publish subscribe eval evalsha script|load", ""},
	{"copying", Refused, "keys cannot be compared and copied", "scan type dbsize time exists pttl pexpire pexpireat persist del unlink rename strlen getrange append setrange " +
		"hlen hmget hscan llen lrange lpush rpush lset ltrim scard sadd srem sscan smembers smismember zcard zadd zrem zscan zrange zmscore " +
		"xlen xrange xdel xtrim xsetid xclaim xpending xinfo|stream xinfo|groups xinfo|consumers xgroup|create xgroup|destroy xgroup|setid xgroup|createconsumer xgroup|delconsumer", ""},
	{"cluster", Refused, "the nodes cannot be found", "cluster|slots cluster|nodes asking", topology.Cluster},
	{"change feed", Warn, "a move compares every key while it holds writes (--max-hold), for nothing tells which have changed", "client|tracking client|id", ""},
	{"fence", Warn, "a process that falls silent cannot be cut off: a move needs every member's answer, and one that died stops it", "client|id client|list client|kill", ""},
	{"payloads", Warn, "keys are copied by type, which is slower and loses the expiry of hash fields", "dump restore memory|usage", ""},
	{"replicas", Warn, "nobody can prove that replicas have what was moved: a failover right after a move could lose it", "role wait", ""},
	{"blocking", Warn, "a move waits for blocking commands to end by themselves", "client|unblock", ""},
	{"questions", Warn, "check and status know less", "info config|get cluster|info", ""},
	{"backup", Warn, "`migrate backup` refuses: use the service's own snapshots", "bgsave lastsave", ""},
}

// arguments of commands that need more than a key, so that they are not refused
// for their number.
var trialArgs = map[string]string{
	"exists": "K", "del": "K", "get": "K", "set": "K v", "setnx": "K v", "hget": "K f", "hset": "K f v", "hdel": "K f", "hgetall": "K", "hincrby": "K f 1",
	"xadd": "K * f v", "xrevrange": "K + -", "publish": "C m", "subscribe": "C", "eval": "return 0", "evalsha": "0000 0", "script|load": "return",
	"scan": "0", "type": "K", "dbsize": "", "time": "", "pttl": "K", "pexpire": "K 1", "pexpireat": "K 1", "persist": "K", "unlink": "K", "rename": "K K",
	"strlen": "K", "getrange": "K 0 0", "append": "K v", "setrange": "K 0 v", "hlen": "K", "hmget": "K f", "hscan": "K 0", "llen": "K", "lrange": "K 0 0",
	"lpush": "K v", "rpush": "K v", "lset": "K 0 v", "ltrim": "K 0 0", "scard": "K", "sadd": "K v", "srem": "K v", "sscan": "K 0", "smembers": "K",
	"smismember": "K v", "zcard": "K", "zadd": "K 1 v", "zrem": "K v", "zscan": "K 0", "zrange": "K 0 0", "zmscore": "K v", "xlen": "K", "xrange": "K - +",
	"xdel": "K 0-1", "xtrim": "K MAXLEN 1", "xsetid": "K 0-1", "xclaim": "K g c 0 0-1", "xpending": "K g", "xinfo|stream": "K", "xinfo|groups": "K",
	"xinfo|consumers": "K g", "xgroup|create": "K g $", "xgroup|destroy": "K g", "xgroup|setid": "K g $", "xgroup|createconsumer": "K g c",
	"xgroup|delconsumer": "K g c", "cluster|slots": "", "cluster|nodes": "", "asking": "", "client|tracking": "off", "client|id": "", "client|list": "",
	"client|kill": "id 1", "dump": "K", "restore": "K 0 v", "memory|usage": "K", "role": "", "wait": "0 1", "client|unblock": "1", "info": "",
	"config|get": "save", "cluster|info": "", "bgsave": "", "lastsave": "",
}

// trial makes a command's words.
func trial(name, key, channel string) (args []any) {
	for word := range strings.SplitSeq(name, "|") {
		args = append(args, word)
	}
	if name == "eval" {
		return append(args, "return 0", 0)
	}
	for word := range strings.FieldsSeq(trialArgs[name]) {
		switch word {
		case "K":
			word = key
		case "C":
			word = channel
		}
		args = append(args, word)
	}
	return args
}

// missing names the commands of a need that a side does not allow: by trial, and
// by what was tried of its capabilities; a fence needs them on every node.
func (n need) missing(f *sideFacts) (out []string) {
	if n.only != "" && n.only != f.client.Mode() {
		return nil
	}
	for name := range strings.FieldsSeq(n.commands) {
		if f.rights.missing[name] != nil {
			out = append(out, strings.ReplaceAll(name, "|", " "))
		}
	}
	if len(out) > 0 {
		return out
	}
	c := f.caps
	switch {
	case n.name == "change feed" && !c.Tracking:
		return []string{"client tracking"}
	case n.name == "fence" && !c.Fence():
		return []string{"client list", "client kill"}
	case n.name == "payloads" && !c.Dump:
		return []string{"dump", "restore"}
	case n.name == "replicas" && !(c.Role && c.Wait):
		return []string{"role", "wait"}
	case n.name == "fence":
		for _, x := range f.nodes {
			if x.err == nil && denied(x.clientsErr) {
				out = append(out, "client list on "+x.Addr)
			}
		}
	}
	return out
}
