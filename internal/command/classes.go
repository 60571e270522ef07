package command

import (
	"strings"
	"time"
)

// Why a command is refused. Each says what to do instead: the reason reaches the
// app's engineers as an error.
const (
	connState = "it changes the state of a pooled connection, which other callers share"
	ownName   = "connections bear the name by which a migration finds and fences them"
	logIn     = "the client logs in by itself: put the credentials into the configuration of the side"
	otherDB   = "one database is migrated: open a client for each database"
	useTx     = "a transaction cannot be routed command by command: use TxPipelined, or Watch"
	useSub    = "a subscription holds its connection: use Subscribe, PSubscribe or SSubscribe"
	oneServer = "it runs one server, not the data: send it to that server with a client of its own"
	replicas  = "it waits for the replicas of one server on one connection, which a pool cannot promise: use Conn of a client of that side"
	search    = "an index spans keys of both sides, and a copy of keys does not carry it: make it on the other side, and query each side with a client of its own"
	onConn    = "field sets live on one connection, which changes with the side: use HSET"
	moves     = "it moves keys to another server behind the migration's back: move them once it is finished"
	bare      = "it needs a subcommand"
)

// denied gives, by reason, the commands that are refused.
var denied = map[string]string{
	connState: "asking client|caching client|no-evict client|no-touch client|reply client|tracking client|trackinginfo client|getredir " +
		"client|setinfo client|maint_notifications quit readonly readwrite reset",
	ownName:   "client|setname",
	logIn:     "auth hello",
	otherDB:   "select swapdb move",
	useTx:     "multi exec discard watch unwatch",
	useSub:    "subscribe psubscribe ssubscribe unsubscribe punsubscribe sunsubscribe",
	replicas:  "wait waitaof",
	onConn:    "himport himport|discard himport|discardall himport|prepare himport|set",
	moves:     "migrate restore-asking",
	bare:      "acl client cluster config function hotkeys json.debug latency memory module object pubsub script slowlog xgroup xinfo",
	oneServer: oneServers,
	search: "ft._list ft.aggregate ft.aliasadd ft.aliasdel ft.aliaslist ft.aliasupdate ft.alter ft.config ft.create ft.cursor ft.dictadd " +
		"ft.dictdel ft.dictdump ft.dropindex ft.explain ft.explaincli ft.hybrid ft.info ft.profile ft.search ft.spellcheck ft.syndump " +
		"ft.synupdate ft.tagvals",
}

const oneServers = "monitor acl|deluser acl|load acl|save acl|setuser bgrewriteaof bgsave save shutdown failover replicaof slaveof " +
	"replconf psync sync debug pfdebug pfselftest config|resetstat config|rewrite config|set client|kill client|pause client|unblock " +
	"client|unpause cluster|addslots cluster|addslotsrange cluster|bumpepoch cluster|delslots cluster|delslotsrange cluster|failover " +
	"cluster|flushslots cluster|forget cluster|meet cluster|replicate cluster|reset cluster|saveconfig cluster|set-config-epoch " +
	"cluster|setslot function|kill hotkeys|reset hotkeys|start hotkeys|stop latency|reset memory|purge module|load module|loadex " +
	"module|unload script|debug script|kill slowlog|reset"

// A whole server's answer. Both sides hold the same keys, so one will do; what
// is the server's own (INFO, SLOWLOG) is that of the side with the larger share.
const anySide = "acl|cat acl|dryrun acl|genpass acl|getuser acl|list acl|log acl|users acl|whoami client|getname client|id client|info " +
	"client|list cluster|count-failure-reports cluster|countkeysinslot cluster|getkeysinslot cluster|info cluster|keyslot cluster|links " +
	"cluster|myid cluster|myshardid cluster|nodes cluster|replicas cluster|shards cluster|slaves cluster|slots command command|count " +
	"command|docs command|getkeys command|getkeysandflags command|info command|list config|get dbsize echo function|dump function|list " +
	"function|stats hotkeys|get info keys lastsave latency|doctor latency|graph latency|histogram latency|history latency|latest lolwut " +
	"memory|doctor memory|malloc-stats memory|stats module|list ping pubsub|channels pubsub|numpat pubsub|numsub pubsub|shardchannels " +
	"pubsub|shardnumsub randomkey role scan script|exists slowlog|get slowlog|len time ts.mget ts.mrange ts.mrevrange ts.queryindex " +
	"ts.querylabels"

// What the other side has to know too: else a script is missing after a flip, and
// a subscriber that has not changed sides hears nothing.
const bothSides = "function|load function|restore publish script|load spublish"

// Writes of every key. Scripts and functions count, since a call that declares no
// key may do anything, and so does forgetting them all.
const allKeys = "flushall flushdb function|delete function|flush script|flush"

// What a call of one key each would do as well.
const split = "del exists mget touch unlink"

// What may touch keys that it does not declare.
const scripts = "eval eval_ro evalsha evalsha_ro fcall fcall_ro"

// What iterates: another server has another hash seed, so that a cursor of one
// side makes the other leave keys or elements out.
const cursors = "scan hscan sscan zscan"

var quirks = map[string]quirk{
	"sort":              sortStore,
	"sort_ro":           sortRead,
	"georadius":         geoStore,
	"georadiusbymember": geoStore,
	"bitfield":          bitfield,
	"xread":             streams,
	"xreadgroup":        streams,
	"ts.read":           tsRead,
	"copy":              copyDB,
}

// waits gives where each blocking command has its time-out. Those with BLOCK find
// it by that word.
var waits = map[string]waitSpec{
	"blpop":      {at: -1, unit: time.Second},
	"brpop":      {at: -1, unit: time.Second},
	"bzpopmin":   {at: -1, unit: time.Second},
	"bzpopmax":   {at: -1, unit: time.Second},
	"brpoplpush": {at: 3, unit: time.Second},
	"blmove":     {at: 5, unit: time.Second},
	"blmovem":    {at: 5, unit: time.Second},
	"blmpop":     {at: 1, unit: time.Second},
	"bzmpop":     {at: 1, unit: time.Second},
	"wait":       {at: 2, unit: time.Millisecond},
	"waitaof":    {at: 3, unit: time.Millisecond},
	"xread":      {unit: time.Millisecond},
	"xreadgroup": {unit: time.Millisecond},
	"ts.read":    {unit: time.Millisecond},
}

// A hand is what is written here, by name.
type hand struct {
	class  map[string]Class
	reason map[string]string
}

// classify gives a command what the server does not say of it. A command with
// keys goes where they are, unless it is listed under another class; HELP of any
// container asks nothing of the data. What is listed nowhere keeps the zero
// class: the router refuses it, and a test finds it first.
func (h *hand) classify(c *Command) {
	switch class, ok := h.class[c.Name]; {
	case ok:
		c.Class, c.Reason = class, h.reason[c.Name]
	case len(c.keys) > 0 || quirks[c.Name] == streams:
		c.Class = Keyed
	case strings.HasSuffix(c.Name, "|help"):
		c.Class = AnySide
	}
	c.quirk, c.wait = quirks[c.Name], waits[c.Name]
	c.Split, c.Script, c.Cursor = listed(split, c.Name), listed(scripts, c.Name), listed(cursors, c.Name)
}

func newHand() *hand {
	h := &hand{class: map[string]Class{}, reason: map[string]string{}}
	for class, names := range map[Class]string{AnySide: anySide, BothSides: bothSides, AllKeys: allKeys} {
		for name := range strings.FieldsSeq(names) {
			h.class[name] = class
		}
	}
	for reason, names := range denied {
		for name := range strings.FieldsSeq(names) {
			h.class[name], h.reason[name] = Denied, reason
		}
	}
	return h
}

func listed(names, name string) bool {
	for n := range strings.FieldsSeq(names) {
		if n == name {
			return true
		}
	}
	return false
}
