package topology

import (
	"errors"
	"fmt"
	"testing"
	"time"
)

// The scene of the tests: a is the primary, b and c are its replicas, and three
// sentinels name a at epoch 1. ago counts back from now.
func sceneOf(change ...func(*scene)) *scene {
	now := time.Unix(1000, 0)
	s := &scene{now: now, current: "a", epoch: 1, backed: now, nodes: map[string]*nodeState{}, sentinels: map[string]*sentinelState{}}
	for _, addr := range []string{"a", "b", "c"} {
		s.nodes[addr] = &nodeState{Node: Node{Addr: addr}, says: Replica, of: "a", asked: now, answered: now}
	}
	s.nodes["a"].says, s.nodes["a"].of = Master, ""
	for i := range 3 {
		addr := fmt.Sprint("s", i)
		s.sentinels[addr] = &sentinelState{addr: addr, id: addr, asked: now, answered: now, master: "a", epoch: 1, others: 2}
	}
	for _, f := range change {
		f(s)
	}
	return s
}

func ago(s *scene, d time.Duration) time.Time { return s.now.Add(-d) }

// Changes to a scene.
func troubled(s *scene) { s.trouble = ago(s, time.Second) }
func unreachable(addr string) func(*scene) {
	return func(s *scene) { s.nodes[addr].err = errors.New("i/o timeout") }
}
func turned(addr string, d time.Duration) func(*scene) {
	return func(s *scene) { n := s.nodes[addr]; n.says, n.of, n.turned = Master, "", ago(s, d) }
}
func demoted(addr, of string) func(*scene) {
	return func(s *scene) { n := s.nodes[addr]; n.says, n.of, n.turned = Replica, of, time.Time{} }
}
func names(master string, epoch uint64, sentinels ...string) func(*scene) {
	return func(s *scene) {
		for _, addr := range sentinels {
			s.sentinels[addr].master, s.sentinels[addr].epoch = master, epoch
		}
	}
}
func holdsDown(sentinels ...string) func(*scene) {
	return func(s *scene) {
		for _, addr := range sentinels {
			s.sentinels[addr].down = true
		}
	}
}
func silent(sentinels ...string) func(*scene) {
	return func(s *scene) {
		for _, addr := range sentinels {
			s.sentinels[addr].answered = ago(s, time.Minute)
			s.sentinels[addr].err = errors.New("i/o timeout")
		}
	}
}
func unasked(sentinels ...string) func(*scene) {
	return func(s *scene) {
		for _, addr := range sentinels {
			s.sentinels[addr] = &sentinelState{addr: addr}
		}
	}
}
func nobodyYet(s *scene) { s.current, s.epoch, s.nodes = "", 0, map[string]*nodeState{} }
func followsB(s *scene)  { s.current = "b" } // taken on its own word: the sentinels still name a

func TestChoose(t *testing.T) {
	all := []string{"s0", "s1", "s2"}
	for name, tt := range map[string]struct {
		scene []func(*scene)
		want  string
	}{
		"calm": {nil, "a"},

		"at first, before anybody answers":          {[]func(*scene){nobodyYet, unasked(all...)}, ""},
		"at first, one of three has answered":       {[]func(*scene){nobodyYet, unasked("s1", "s2")}, ""},
		"at first, two of three agree":              {[]func(*scene){nobodyYet, unasked("s2")}, "a"},
		"at first, one answers and the others hang": {[]func(*scene){nobodyYet, func(s *scene) { silent("s1", "s2")(s); s.sentinels["s1"].master, s.sentinels["s2"].master = "", "" }}, "a"},
		"at first, one is ahead of the others":      {[]func(*scene){nobodyYet, names("b", 2, "s1")}, "b"},

		"a sentinel tells of a newer epoch":                 {[]func(*scene){names("b", 2, "s0")}, "b"},
		"a sentinel is behind":                              {[]func(*scene){followsB, turned("b", time.Minute), func(s *scene) { s.epoch = 2 }, names("b", 2, "s0", "s1")}, "b"},
		"a replica was named, and has not been asked since": {[]func(*scene){followsB, func(s *scene) { s.epoch, s.chosen = 2, s.now.Add(1) }, names("b", 2, "s0")}, "b"},
		"a sentinel is behind, and the others are mute":     {[]func(*scene){followsB, turned("b", time.Minute), func(s *scene) { s.epoch = 2 }, silent("s1", "s2")}, "b"},

		"promoted, the primary does not answer":                {[]func(*scene){troubled, unreachable("a"), holdsDown("s0", "s1"), turned("b", 0)}, "b"},
		"promoted, the primary answers, a sentinel told":       {[]func(*scene){troubled, func(s *scene) { s.hint = ago(s, 100*time.Millisecond) }, turned("b", 0)}, "b"},
		"promoted, the primary answers, a sentinel leads":      {[]func(*scene){troubled, func(s *scene) { s.sentinels["s2"].failover = true }, turned("b", 0)}, "b"},
		"promoted just before the first sign of trouble":       {[]func(*scene){troubled, unreachable("a"), holdsDown(all...), turned("b", 2*time.Second)}, "b"},
		"promoted, and every sentinel is mute":                 {[]func(*scene){troubled, unreachable("a"), silent(all...), turned("b", 0)}, "b"},
		"two have turned: the later one":                       {[]func(*scene){troubled, unreachable("a"), silent(all...), turned("b", time.Second), turned("c", 0)}, "c"},
		"the primary has become the replica of one":            {[]func(*scene){demoted("a", "b"), turned("b", time.Minute), silent(all...)}, "b"},
		"the primary has become a replica, sentinels name b":   {[]func(*scene){demoted("a", "x"), turned("b", time.Minute), names("b", 1, all...)}, "b"},
		"the primary does not answer, and nobody was promoted": {[]func(*scene){troubled, unreachable("a"), holdsDown(all...)}, "a"},

		"a stray primary, all calm":                         {[]func(*scene){turned("b", 0)}, "a"},
		"a stray primary, a connection broke":               {[]func(*scene){troubled, turned("b", 0)}, "a"},
		"a stray primary of long ago, and a real failover":  {[]func(*scene){troubled, unreachable("a"), holdsDown(all...), turned("b", time.Minute)}, "a"},
		"a stray primary, only we cannot reach the primary": {[]func(*scene){troubled, unreachable("a"), turned("b", 0)}, "a"},
		"an old primary wakes and says that it is one":      {[]func(*scene){followsB, turned("b", 0), func(s *scene) { s.epoch = 2 }, names("b", 2, all...), troubled, unreachable("b")}, "b"},
		"an old primary wakes before sentinels name b":      {[]func(*scene){followsB, turned("b", 0), troubled}, "b"},

		"never confirmed: the sentinels' word holds again":           {[]func(*scene){followsB, turned("b", 0), func(s *scene) { s.backed = ago(s, time.Minute) }}, "a"},
		"never confirmed, but the one they name does not answer":     {[]func(*scene){followsB, turned("b", 0), unreachable("a"), func(s *scene) { s.backed = ago(s, time.Minute) }}, "b"},
		"taken on its word, and made a replica again by a sentinel":  {[]func(*scene){followsB, troubled}, "a"},
		"the sentinels were set up anew: their epochs began at zero": {[]func(*scene){names("b", 0, all...), turned("b", time.Minute), demoted("a", "b")}, "b"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := sceneOf(tt.scene...).choose(); got != tt.want {
				t.Errorf("got %q; want %q", got, tt.want)
			}
		})
	}
}
