package protocol

import "testing"

func TestResolve(t *testing.T) {
	g, k := stands(t, Source, "", "")
	held, offered := stands(t, Source, Held, Offered)
	_, granted := stands(t, Source, Committed, Granted)
	foreign := offered
	mv := *offered.Move
	mv.ID = "other"
	foreign.Move = &mv
	prepared, err := g.Prepare(Move{ID: "m", From: Source, Goal: map[string]int{"w": Cut(50)}}, Stamp{2, "w", "p"})
	if err != nil {
		t.Fatal(err)
	}
	committed, _ := stands(t, Source, Committed, "")
	for name, tt := range map[string]struct {
		giver Record
		run   string
		taker *Record
		want  Stage // of the giver afterwards; "" is an abort
		ok    bool
	}{
		"the giver has not failed over":        {held, "run", &k, "", true},
		"nor does it matter what is offered":   {held, "run", &offered, "", true},
		"nor whether the taker answers":        {held, "run", nil, "", true},
		"it has, and the taker does not say":   {held, "run2", nil, "", false},
		"it has, and there is an offer":        {held, "run2", &offered, Committed, true},
		"it has, and there is a grant":         {held, "run2", &granted, Committed, true},
		"it has, and there is no offer":        {held, "run2", &k, "", true},
		"it has, and the offer is of another":  {held, "run2", &foreign, "", true},
		"a preparation needs nobody's consent": {prepared, "run2", nil, "", true},
		"no move":                              {g, "run", &k, "", false},
		"committed":                            {committed, "run", &k, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			ch, ok := Resolve(tt.giver, tt.run, tt.taker, Stamp{9, "m0", "z"})
			if ok != tt.ok {
				t.Fatalf("got %v; want %v", ok, tt.ok)
			}
			if !ok {
				return
			}
			got := Stage("")
			if ch.New.Move != nil {
				got = ch.New.Move.Stage
			}
			if got != tt.want || !ch.Old.Same(tt.giver) || ch.Side != Source || ch.New.Nonce != "z" {
				t.Errorf("got %s in %+v; want %s over the record that was read", got, ch, tt.want)
			}
		})
	}
}

func TestOpen(t *testing.T) {
	held, offered := stands(t, Source, Held, Offered)
	committed, given := stands(t, Source, Committed, "")
	_, granted := stands(t, Source, Committed, Granted)
	all := []Entry{{ID: "a", Ack: Ack{"m", Committed}}, {ID: "b", Ack: Ack{"m", Committed}}}
	some := []Entry{all[0], {ID: "b", Ack: Ack{"m", Held}}}
	for name, tt := range map[string]struct {
		giver, taker Record
		roll         []Entry
		safe, force  bool
		want         bool
	}{
		"everybody has acknowledged":      {committed, offered, all, true, false, true},
		"the offer was forgotten":         {committed, given, all, true, false, true},
		"the commit is not safe":          {committed, offered, all, false, false, false},
		"somebody has not acknowledged":   {committed, offered, some, true, false, false},
		"a lease has passed":              {committed, offered, some, false, true, true},
		"not committed":                   {held, offered, all, true, true, false},
		"granted before":                  {committed, granted, all, true, true, false},
		"the taker has gone on":           {committed, func() Record { r := given; r.Epoch = 99; return r }(), all, true, true, false},
		"the acknowledgements of another": {committed, offered, []Entry{{ID: "a", Ack: Ack{"x", Committed}}}, true, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			ch, ok := Open(tt.giver, tt.taker, tt.roll, tt.safe, tt.force, Stamp{9, "m0", "z"})
			if ok != tt.want || (ok && (!ch.New.At("m", Granted) || ch.Side != Target || !ch.Old.Same(tt.taker))) {
				t.Errorf("got %+v, %v; want %v", ch, ok, tt.want)
			}
		})
	}
}

func TestStrikeOut(t *testing.T) {
	g, k := stands(t, Source, "", "")
	held, offered := stands(t, Source, Held, Offered)
	committed, granted := stands(t, Source, Committed, Granted)
	aborted, _ := stands(t, Source, "", Offered)
	for name, tt := range map[string]struct {
		giver, taker Record
		want         bool
	}{
		"its move was aborted":         {aborted, offered, true},
		"its move holds":               {held, offered, false},
		"its move is committed":        {committed, offered, false},
		"the giver's record is older":  {g, offered, false},
		"there is no offer":            {aborted, k, false},
		"the offer has become a grant": {aborted, granted, false},
		"another move is under way, later": {func() Record {
			r, _ := stands(t, Source, Held, "")
			r.Epoch = 9
			mv := *r.Move
			mv.ID = "n"
			r.Move = &mv
			return r
		}(), offered, true},
	} {
		t.Run(name, func(t *testing.T) {
			ch, ok := StrikeOut(tt.giver, tt.taker, Stamp{9, "m0", "z"})
			if ok != tt.want || (ok && (ch.New.Move != nil || ch.Side != Target || !ch.Old.Same(tt.taker))) {
				t.Errorf("got %+v, %v; want %v", ch, ok, tt.want)
			}
		})
	}
}

// TestAwaitsGrant: only the taker's record tells whether a commit has been granted,
// and it may have gone on since.
func TestAwaitsGrant(t *testing.T) {
	committed, offered := stands(t, Source, Committed, Offered)
	_, granted := stands(t, Source, Committed, Granted)
	back, err := granted.Prepare(Move{ID: "back", From: Target, Goal: map[string]int{"w": 0}}, Stamp{granted.Epoch + 1, "w", "p"})
	if err != nil {
		t.Fatal(err)
	}
	aborted, err := back.Abort("back", Stamp{back.Epoch + 1, "w", "a"})
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		taker Record
		want  bool
	}{
		"offered":                     {offered, true},
		"granted":                     {granted, false},
		"a way back is prepared":      {back, false},
		"a way back was given up":     {aborted, false},
		"the taker has not been read": {Record{}, true},
	} {
		if got := committed.AwaitsGrant(tt.taker); got != tt.want {
			t.Errorf("%s: got %v; want %v", name, got, tt.want)
		}
	}
}
