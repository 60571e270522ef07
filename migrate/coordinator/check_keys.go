package coordinator

import (
	"fmt"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/protocol"
)

// bigKeySize is from where on a key is named: if one of such a size is written
// just before a hold, comparing it takes some 100 ms of the hold.
const bigKeySize = 4 << 20

// judgeBigKeys names the biggest keys of the sample.
func (k *checker) judgeBigKeys(f *sideFacts) {
	s := f.sample
	switch {
	case s.err != nil:
		k.unknown("big keys", f.String(), "redis-cli --memkeys", s.err)
		return
	case denied(s.memoryErr):
		k.unknown("big keys", f.String(), "redis-cli --bigkeys counts elements, and needs no MEMORY USAGE", s.memoryErr)
		return
	case len(s.big) == 0:
		k.ok("big keys", f.String(), "there are no keys")
		return
	}
	var big []string
	for _, b := range s.big {
		if b.size >= bigKeySize {
			big = append(big, fmt.Sprintf("%q %s", b.name, bytes(b.size)))
		}
	}
	if len(big) > 0 {
		k.warn("big keys", f.String(), "they are copied in pieces; if they are written often give the hold more time (--hold), or make them smaller",
			"%s; %s", some(big, shownBig), s.share())
		return
	}
	k.ok("big keys", f.String(), "the biggest takes %s; %s", bytes(s.big[0].size), s.share())
}

// judgeForeign finds keys on the target that this migration did not bring there.
func (k *checker) judgeForeign(f *sideFacts) {
	s := f.sample
	switch {
	case s.err != nil:
		k.unknown("foreign keys", f.String(), "DBSIZE on the target: it should hold no keys", s.err)
		return
	case f.recordErr == nil && f.record.Phase.Leased():
		k.ok("foreign keys", f.String(), "the migration has begun: %d keys are there", max(0, s.total-s.own))
		return
	case f.recordErr == nil && f.record.Phase == protocol.Done:
		return
	case s.seen == 0:
		k.ok("foreign keys", f.String(), "it holds none")
		return
	}
	figure := fmt.Sprintf("%d keys that are not this migration's: %s", s.total-s.own, s.byPrefix(5))
	switch {
	case k.c.opts.TargetKeys == KeepKeys:
		k.warn("foreign keys", f.String(), "they stay (--target-keys=keep), but for those that the source has too", "%s", figure)
	case k.c.opts.TargetKeys == DeleteKeys:
		k.warn("foreign keys", f.String(), "they will be deleted (--target-keys=delete)", "%s", figure)
	case !f.record.Empty():
		k.warn("foreign keys", f.String(), "they are this migration's from before, or anybody's since: what the source does not have will be deleted", "%s", figure)
	default:
		k.refuse("foreign keys", f.String(), "empty the target, or say --target-keys=keep or --target-keys=delete", "%s", figure)
	}
}

// coreTypes are those that can be copied by type where DUMP cannot.
var coreTypes = []string{"string", "list", "set", "zset", "hash", "stream", "none", ""}

// judgeNotCarried finds what is there beside keys, or in them, and is not copied.
func (k *checker) judgeNotCarried() {
	k.judgeLibraries()
	k.judgeModules()
	k.judgeFieldExpiry()
	k.judgeUsers()
}

func (k *checker) judgeLibraries() {
	src, dst := k.sides[protocol.Source], k.sides[protocol.Target]
	const name, next = "functions", "FUNCTION DUMP on the source, FUNCTION RESTORE on each master of the target: functions are no keys, and are not copied"
	switch {
	case denied(src.libsErr) && !redis.HasErrorPrefix(src.libsErr, "NOPERM"):
		return // a server without functions
	case src.libsErr != nil:
		k.unknown(name, "", next, src.libsErr)
		return
	}
	missing := without(src.libraries, dst.libraries)
	used := int64(0)
	for _, c := range k.censuses() {
		used += c.Commands["fcall"] + c.Commands["fcall_ro"]
	}
	switch {
	case len(missing) > 0 && used > 0:
		k.refuse(name, "", next, "the app has called functions %d times, and the target lacks %s", used, some(missing, 6))
	case len(missing) > 0:
		k.warn(name, "", next, "the target lacks %s", some(missing, 6))
	default:
		k.ok(name, "", "the target lacks none of %d libraries", len(src.libraries))
	}
}

func (k *checker) judgeModules() {
	var have [3][]string
	for _, s := range protocol.Sides {
		if k.sides[s].mute() {
			return
		}
		for _, n := range k.sides[s].masters() {
			have[s] = append(have[s], n.modules...)
		}
	}
	missing := without(have[protocol.Source], have[protocol.Target])
	var odd []string
	if s := k.sides[protocol.Source].sample; s != nil {
		for kind, n := range s.types {
			if !slices.Contains(coreTypes, kind) {
				odd = append(odd, fmt.Sprintf("%d keys of type %s", n, kind))
			}
		}
	}
	slices.Sort(odd)
	const next = "load the same modules on the target: keys of their types can be copied only there"
	switch {
	case len(missing) > 0 && len(odd) > 0:
		k.refuse("modules", "", next, "the target lacks %s; the source has %s", some(missing, 6), some(odd, 4))
	case len(missing) > 0:
		k.warn("modules", "", next, "the target lacks %s; no key of such a type was seen", some(missing, 6))
	default:
		k.ok("modules", "", "the target lacks none of %d", len(have[protocol.Source]))
	}
}

// judgeFieldExpiry finds hashes whose fields expire one by one (Redis 7.4): only
// a payload carries that.
func (k *checker) judgeFieldExpiry() {
	n := int64(0)
	for _, x := range k.sides[protocol.Source].masters() {
		for name, line := range x.info {
			if strings.HasPrefix(name, "db") {
				n += number(commaMap(line)["subexpiry"])
			}
		}
	}
	if n == 0 {
		if !k.sides[protocol.Source].mute() {
			k.ok("hash fields", "", "no hash has fields that expire by themselves")
		}
		return
	}
	const next = "have the target run the source's version, with DUMP and RESTORE allowed, and keep such hashes below 256 KiB: beyond that they are copied in pieces, without the expiry of their fields"
	carried := true
	for _, s := range protocol.Sides {
		carried = carried && k.sides[s].caps.Dump
		for _, x := range k.sides[s].masters() {
			carried = carried && !newer("7.4", x.info["redis_version"])
		}
	}
	if !carried {
		k.refuse("hash fields", "", next, "%d hashes have fields that expire by themselves, which the target cannot take over", n)
		return
	}
	k.warn("hash fields", "", next, "%d hashes have fields that expire by themselves; large ones lose that", n)
}

// judgeUsers finds users that the target does not have.
func (k *checker) judgeUsers() {
	src, dst := k.sides[protocol.Source], k.sides[protocol.Target]
	if src.usersErr != nil || dst.usersErr != nil {
		return // who may not list users has no others to look after
	}
	if missing := without(src.users, dst.users); len(missing) > 0 {
		k.warn("users", "", "make them on every node of the target, if the app or its tools log in as them: users are not copied", "the target lacks %s", some(missing, 6))
		return
	}
	k.ok("users", "", "the target lacks none of the source's")
}

// without returns what is in a and not in b, sorted.
func without(a, b []string) (out []string) {
	for _, x := range a {
		if !slices.Contains(b, x) {
			out = append(out, x)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
