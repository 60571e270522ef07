package command

import (
	"slices"
	"strings"
)

// newer are commands that go-redis 9.23 can send and that the server of
// table.go does not have. Their keys are those that their documentation gives
// (https://redis.io/commands); their arity is only the least that finding the
// keys takes. Once the table is made from a server that has one, the test for
// doubles asks for it to be struck out here.
var newer = slices.Concat(
	reads("hexpiretime hpexpiretime hpttl httl"),                            // 7.4: expiry of hash fields
	writes("hexpire hexpireat hpersist hpexpire hpexpireat"),                //
	writes("hgetdel hgetex hsetex"),                                         // 8.0
	reads("vcard vdim vemb vgetattr vinfo vismember vlinks"),                // 8.0: vector sets
	reads("vrandmember vrange vsim"),                                        //
	writes("vadd vrem vsetattr"),                                            //
	writes("xackdel xdelex"),                                                // 8.2
	writes("delex increx xcfgset xnack"),                                    // 8.4 and later
	reads("digest"),                                                         //
	reads("arcount arget argetrange argrep arinfo arlastitems arlen"),       // 8.10: arrays
	reads("armget arnext arop arscan"),                                      //
	writes("ardel ardelrange arinsert armset arring arseek arset"),          //
	keyless("client|maint_notifications client|no-touch client|setinfo"),    //
	keyless("cluster|myshardid"),                                            //
	keyless("hotkeys hotkeys|get hotkeys|reset hotkeys|start hotkeys|stop"), //
	keyless("himport himport|discard himport|discardall himport|prepare"),   //
	[]Command{
		{Name: "blmovem", Arity: -6, flags: write | blocking, keys: []keySpec{{at: 1, last: 1}}},
		{Name: "himport|set", Arity: -4, flags: write, keys: []keySpec{{at: 2, access: overwrite}}},
		{Name: "lmovem", Arity: -5, flags: write, keys: []keySpec{{at: 1, last: 1}}},
		{Name: "msetex", Arity: -4, flags: write, keys: []keySpec{{at: 1, count: true, step: 2, access: overwrite}}},
		{Name: "sdiffcard", Arity: -3, keys: []keySpec{{at: 1, count: true, access: readOnly}}},
		{Name: "sunioncard", Arity: -3, keys: []keySpec{{at: 1, count: true, access: readOnly}}},
		{Name: "waitaof", Arity: 4, flags: blocking},
	},
)

// modules are the commands of the modules that Redis Stack and Redis 8 carry,
// without those of search, which classes.go refuses. Only their keys are known
// here: whether the other side can take such a value is for the copy to find out.
var modules = slices.Concat(
	reads("bf.card bf.exists bf.info bf.mexists bf.scandump"),
	writes("bf.add bf.insert bf.loadchunk bf.madd bf.reserve"),
	reads("cf.count cf.exists cf.info cf.mexists cf.scandump"),
	writes("cf.add cf.addnx cf.del cf.insert cf.insertnx cf.loadchunk cf.reserve"),
	reads("cms.info cms.query"),
	writes("cms.incrby cms.initbydim cms.initbyprob"),
	reads("topk.count topk.info topk.list topk.query"),
	writes("topk.add topk.incrby topk.reserve"),
	reads("tdigest.byrank tdigest.byrevrank tdigest.cdf tdigest.info tdigest.max tdigest.min"),
	reads("tdigest.quantile tdigest.rank tdigest.revrank tdigest.trimmed_mean"),
	writes("tdigest.add tdigest.create tdigest.reset"),
	reads("json.arrindex json.arrlen json.get json.objkeys json.objlen json.resp json.strlen json.type"),
	writes("json.arrappend json.arrinsert json.arrpop json.arrtrim json.clear json.del json.forget"),
	writes("json.merge json.numincrby json.nummultby json.set json.strappend json.toggle"),
	reads("ts.get ts.info ts.range ts.read ts.revrange"),
	writes("ts.add ts.alter ts.create ts.decrby ts.del ts.incrby"),
	keyless("ts.mget ts.mrange ts.mrevrange ts.queryindex ts.querylabels"),
	keyless("ft._list ft.aggregate ft.aliasadd ft.aliasdel ft.aliaslist ft.aliasupdate ft.alter ft.config"),
	keyless("ft.create ft.cursor ft.dictadd ft.dictdel ft.dictdump ft.dropindex ft.explain ft.explaincli"),
	keyless("ft.hybrid ft.info ft.profile ft.search ft.spellcheck ft.syndump ft.synupdate ft.tagvals"),
	reads("ft.sugget ft.suglen"),
	writes("ft.sugadd ft.sugdel"),
	[]Command{
		{Name: "cms.merge", Arity: -4, flags: write, keys: destAndSources},
		{Name: "json.debug", Arity: -2},
		{Name: "json.debug|memory", Arity: -3, keys: []keySpec{{at: 2, access: readOnly}}},
		{Name: "json.mget", Arity: -3, keys: []keySpec{{at: 1, last: -2, access: readOnly}}},
		{Name: "json.mset", Arity: -4, flags: write, keys: []keySpec{{at: 1, last: -1, step: 3}}},
		{Name: "tdigest.merge", Arity: -4, flags: write, keys: destAndSources},
		{Name: "ts.createrule", Arity: -6, flags: write, keys: []keySpec{{at: 1, last: 1}}},
		{Name: "ts.deleterule", Arity: -3, flags: write, keys: []keySpec{{at: 1, last: 1}}},
		{Name: "ts.madd", Arity: -4, flags: write, keys: []keySpec{{at: 1, last: -1, step: 3}}},
		{Name: "ts.nrange", Arity: -3, keys: []keySpec{{at: 1, count: true, access: readOnly}}},
		{Name: "ts.nrevrange", Arity: -3, keys: []keySpec{{at: 1, count: true, access: readOnly}}},
	},
)

var destAndSources = []keySpec{{at: 1}, {at: 2, count: true, access: readOnly}}

// reads returns commands that read one key, their first argument.
func reads(names string) []Command { return each(names, Command{Arity: -2, keys: oneRead}) }

// writes returns commands that may change one key, their first argument.
func writes(names string) []Command {
	return each(names, Command{Arity: -2, flags: write, keys: oneWritten})
}

// keyless returns commands without keys.
func keyless(names string) []Command { return each(names, Command{Arity: -1}) }

var (
	oneRead    = []keySpec{{at: 1, access: readOnly}}
	oneWritten = []keySpec{{at: 1}}
)

func each(names string, c Command) (list []Command) {
	for name := range strings.FieldsSeq(names) {
		c.Name = name
		list = append(list, c)
	}
	return list
}
