package history

import (
	"testing"
)

func TestLost(t *testing.T) {
	none := func(Op) bool { return false }
	late := func(o Op) bool { return o.Return > 100 }
	for name, tt := range map[string]struct {
		ops    []Op
		excuse func(Op) bool
		want   Loss
	}{
		"all there":                      {[]Op{op(Set, "a", "", 1, 2), op(Set, "b", "", 3, 4), op(Get, "", "b", 9, 10)}, none, Loss{Acknowledged: 2}},
		"a register fell back":           {[]Op{op(Set, "a", "", 1, 2), op(Set, "b", "", 3, 4), op(Get, "", "a", 9, 10)}, none, Loss{Acknowledged: 2, Lost: 1}},
		"a register fell back, excused":  {[]Op{op(Set, "a", "", 1, 2), op(Set, "b", "", 103, 104), op(Get, "", "a", 109, 110)}, late, Loss{Acknowledged: 2, Excused: 1}},
		"further than what is excused":   {[]Op{op(Set, "a", "", 1, 2), op(Set, "b", "", 3, 4), op(Set, "c", "", 103, 104), op(Get, "", "a", 109, 110)}, late, Loss{Acknowledged: 3, Lost: 1}},
		"either of two at once":          {[]Op{op(Set, "a", "", 1, 5), op(Set, "b", "", 2, 4), op(Get, "", "a", 9, 10)}, none, Loss{Acknowledged: 2}},
		"an open one came last":          {[]Op{op(Set, "a", "", 1, 0), op(Set, "b", "", 3, 4), op(Get, "", "a", 9, 10)}, none, Loss{Acknowledged: 1}},
		"a register is empty":            {[]Op{op(GetSet, "a", "", 1, 2), op(Get, "", "", 9, 10)}, none, Loss{Acknowledged: 1, Lost: 1}},
		"a value from nowhere":           {[]Op{op(Get, "", "z", 9, 10)}, none, Loss{Invented: 1}},
		"an element is gone":             {[]Op{op(Add, "a", "1", 1, 2), op(Add, "b", "1", 1, 2), op(Members, "", "b", 9, 10)}, none, Loss{Acknowledged: 2, Lost: 1}},
		"an element is gone, excused":    {[]Op{op(Add, "a", "1", 1, 2), op(Add, "b", "1", 101, 102), op(Members, "", "a", 109, 110)}, late, Loss{Acknowledged: 2, Excused: 1}},
		"an element from nowhere":        {[]Op{op(Add, "a", "1", 1, 2), op(Members, "", "a z", 9, 10)}, none, Loss{Acknowledged: 1, Invented: 1}},
		"a counter misses one":           {[]Op{op(Incr, "", "1", 1, 2), op(Incr, "", "2", 3, 4), op(Count, "", "1", 9, 10)}, none, Loss{Acknowledged: 2, Lost: 1}},
		"a counter misses what it may":   {[]Op{op(Incr, "", "1", 1, 2), op(Incr, "", "2", 103, 104), op(Count, "", "1", 109, 110)}, late, Loss{Acknowledged: 2, Excused: 1}},
		"a counter misses more":          {[]Op{op(Incr, "", "1", 1, 2), op(Incr, "", "2", 103, 104), op(Count, "", "", 109, 110)}, late, Loss{Acknowledged: 2, Lost: 1, Excused: 1}},
		"a counter with open increments": {[]Op{op(Incr, "", "1", 1, 2), op(Incr, "", "", 3, 0), op(Count, "", "2", 9, 10)}, none, Loss{Acknowledged: 1}},
		"a counter has one too many":     {[]Op{op(Incr, "", "1", 1, 2), failed(op(Incr, "", "", 3, 4)), op(Count, "", "2", 9, 10)}, none, Loss{Acknowledged: 1, Invented: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			got := Lost(tt.ops, tt.excuse)
			got.Samples = nil
			if got.Acknowledged != tt.want.Acknowledged || got.Lost != tt.want.Lost || got.Excused != tt.want.Excused || got.Invented != tt.want.Invented {
				t.Errorf("got %+v; want %+v", got, tt.want)
			}
		})
	}
}
