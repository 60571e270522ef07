package command

import (
	"strings"
	"testing"
)

// Every command that may go to a replica, so that none comes in unseen with a new
// table.
const onReplicas = "arcount arget argetrange argrep arinfo arlastitems arlen armget arnext arop bf.card bf.exists bf.info bf.mexists " +
	"bitcount bitfield bitfield_ro bitpos cf.count cf.exists cf.info cf.mexists cms.info cms.query digest dump exists " +
	"expiretime ft.sugget ft.suglen geodist geohash geopos georadius georadius_ro georadiusbymember georadiusbymember_ro " +
	"geosearch get getbit getrange hexists hexpiretime hget hgetall hkeys hlen hmget hpexpiretime hpttl hrandfield hstrlen " +
	"httl hvals json.arrindex json.arrlen json.get json.mget json.objkeys json.objlen json.resp json.strlen json.type lcs " +
	"lindex llen lpos lrange mget pexpiretime pttl scard sdiff sdiffcard sinter sintercard sismember smembers smismember " +
	"sort sort_ro srandmember strlen substr sunion sunioncard tdigest.byrank tdigest.byrevrank tdigest.cdf tdigest.info " +
	"tdigest.max tdigest.min tdigest.quantile tdigest.rank tdigest.revrank tdigest.trimmed_mean topk.count topk.info " +
	"topk.list topk.query ts.get ts.info ts.nrange ts.nrevrange ts.range ts.read ts.revrange ttl type vcard vdim vemb " +
	"vgetattr vinfo vismember vlinks vrandmember vrange vsim xinfo|consumers xinfo|groups xinfo|stream xlen xpending xrange " +
	"xread xrevrange zcard zcount zdiff zinter zintercard zlexcount zmscore zrandmember zrange zrangebylex zrangebyscore " +
	"zrank zrevrange zrevrangebylex zrevrangebyscore zrevrank zscore zunion"

func TestReplicaNames(t *testing.T) {
	var got []string
	for c := range All() {
		if c.Replica([]any{c.Name}) {
			got = append(got, c.Name)
		}
	}
	if want := strings.Fields(onReplicas); strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("got %s\nwant %s", strings.Join(got, " "), strings.Join(want, " "))
	}
}

func TestReplica(t *testing.T) {
	for call, want := range map[string]bool{
		"GET k":                       true,
		"MGET k l":                    true,
		"TTL k":                       true,
		"XREAD STREAMS k 0":           true,
		"XREAD BLOCK 0 STREAMS k 0":   false,
		"SORT_RO k BY w_*":            false,
		"SORT_RO k":                   true,
		"BITFIELD k GET u8 0":         true,
		"BITFIELD k SET u8 0 1":       false,
		"GEORADIUS k 1 1 1 m":         true,
		"GEORADIUS k 1 1 1 m STORE l": false,
		"EVAL_RO x 1 k":               false,
		"HSCAN k 0":                   false,
		"OBJECT ENCODING k":           false,
		"GETEX k":                     false,
		"PING":                        false,
		"RANDOMKEY":                   false,
	} {
		var args []any
		for word := range strings.FieldsSeq(call) {
			args = append(args, word)
		}
		c, ok := Lookup(args)
		if !ok || c.Replica(args) != want {
			t.Errorf("%s: got %v; want %v", call, !want, want)
		}
	}
}
