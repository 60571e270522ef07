package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/transload/transload/examples/freight/store"
	"github.com/transload/transload/internal/redistest"
)

// loadForm is the form of a load.
func loadForm(request, cargo string) []string {
	return []string{"request", request, "from", "berlin", "to", "paris", "cargo", cargo, "kg", "900", "price", "800", "pickup", time.Now().Format(time.DateOnly)}
}

// attacks tries what strangers, and users who want more than is theirs, would try.
func attacks(t *testing.T, i *instance) {
	stranger := client{t, i, http.Header{}}
	shipper, other := stranger.signIn(store.Shipper, 4), stranger.signIn(store.Shipper, 5)
	driver, rival := stranger.signIn(store.Driver, 4), stranger.signIn(store.Driver, 5)
	var own, foreign store.Load
	var bid, elsewhere store.Bid
	shipper.made(&own, "/loads", loadForm("a form of ours", `<script>alert("1")</script>`)...)
	other.made(&foreign, "/loads", loadForm("another form", "Wine")...)
	driver.made(&bid, "/loads/"+own.ID+"/bids", "price", "700")
	driver.made(&elsewhere, "/loads/"+foreign.ID+"/bids", "price", "700")
	accept := "/loads/" + own.ID + "/accept"
	fix := func(plate string, lat float64, at time.Time) string {
		return fmt.Sprintf(`{"plate":%q,"lat":%v,"lon":13,"at":%d}`, plate, lat, at.UnixMilli())
	}
	plates := [2]string{plateOf(driver), plateOf(rival)}
	long := strings.Repeat("x", 100_000)
	multipart := "--b\r\nContent-Disposition: form-data; name=\"request\"; filename=\"f\"\r\n\r\nx\r\n--b--\r\n"
	try := func(status int, answer string) [2]string { return [2]string{fmt.Sprint(status), answer} }
	for name, c := range map[string]struct {
		got  [2]string
		want int
	}{
		"a form of another site":       {try(shipper.with("Sec-Fetch-Site", "cross-site").post("/loads", loadForm("from elsewhere", "x")...)), 403},
		"of another origin":            {try(shipper.with("Origin", "http://evil.example").post("/sign-out")), 403},
		"posting, not signed in":       {try(stranger.post("/loads", loadForm("nobody's form", "x")...)), 401},
		"bidding, not signed in":       {try(stranger.post("/loads/"+own.ID+"/bids", "price", "1")), 401},
		"a position, not signed in":    {try(stranger.gps(fix(plates[0], 50, time.Now()))), 401},
		"a driver who posts":           {try(driver.post("/loads", loadForm("a driver's form", "x")...)), 403},
		"a shipper who bids":           {try(shipper.post("/loads/"+foreign.ID+"/bids", "price", "1")), 403},
		"a truck of another driver":    {try(driver.gps(fix(plates[1], 50, time.Now()))), 403},
		"a shipper's truck":            {try(shipper.gps(fix(plates[0], 50, time.Now()))), 404},
		"a place that is none":         {try(driver.gps(fix(plates[0], 91, time.Now()))), 422},
		"a position of yesterday":      {try(driver.gps(fix(plates[0], 50, time.Now().AddDate(0, 0, -1)))), 422},
		"a position with more to it":   {try(driver.gps(`{"plate":"x","admin":true}`)), 422},
		"a body without end":           {try(driver.gps(fix(long, 50, time.Now()))), 422},
		"a form without end":           {try(shipper.post("/loads", loadForm("a long form", long)...)), 413},
		"an upload":                    {try(shipper.send("POST", "/loads", "multipart/form-data; boundary=b", multipart)), 422},
		"a NUL":                        {try(shipper.post("/loads", loadForm("a form of NUL", "a\x00b")...)), 400},
		"no UTF-8":                     {try(stranger.post("/sign-in", "email", "a\xff", "password", "x")), 400},
		"a NUL in a path":              {try(driver.send("GET", "/loads/%00", "", "")), 400},
		"an id that is none":           {try(driver.send("GET", "/loads/..%2f..%2fstatus", "", "")), 404},
		"a price below nothing":        {try(driver.post("/loads/"+own.ID+"/bids", "price", "-5")), 422},
		"a load for more than a truck": {try(shipper.post("/loads", append(loadForm("a heavy form", "x"), "kg", "40001")...)), 422},
		"a bid for no load":            {try(driver.post("/loads/nothing/bids", "price", "5")), 404},
		"another shipper's load":       {try(other.post(accept, "bid", bid.ID, "price", "700")), 404},
		"a bid for another load":       {try(shipper.post(accept, "bid", elsewhere.ID, "price", "700")), 404},
		"at another price":             {try(shipper.post(accept, "bid", bid.ID, "price", "1")), 409},
		"at no price":                  {try(shipper.post(accept, "bid", bid.ID)), 409},
		"a list of the files":          {try(stranger.send("GET", "/static/", "", "")), 404},
		"the templates":                {try(stranger.send("GET", "/static/..%2ftemplates%2fload.html", "", "")), 404},
	} {
		if c.got[0] != fmt.Sprint(c.want) {
			t.Errorf("%s: got %s; want %d\n%s", name, c.got[0], c.want, c.got[1])
		}
	}
	_, page := stranger.send("GET", "/loads/"+own.ID, "", "")
	if strings.Contains(page, "<script>alert") || !strings.Contains(page, "&lt;script&gt;alert") {
		t.Errorf("a load's name is no text on its page:\n%s", page)
	}
	if _, page = driver.send("GET", "/mine", "", ""); !strings.Contains(page, "Berlin → Paris</a>") {
		t.Errorf("a driver's bids do not say for what they are:\n%s", page)
	}
	planted(t, stranger, other)
	once(t, stranger.signIn(store.Shipper, 7), [2]client{driver, rival})
}

// planted has a user sign in with a session that somebody else knows, who learns nothing
// by it; and sign out everywhere.
func planted(t *testing.T, stranger, known client) {
	t.Helper()
	over := func(what string, c client) {
		t.Helper()
		if status, _ := c.send("GET", "/account", "", ""); status != http.StatusSeeOther {
			t.Errorf("%s: got %d; want 303, to sign in", what, status)
		}
	}
	first, second := known.signIn(store.Shipper, 6), stranger.signIn(store.Shipper, 6)
	if _, page := known.send("GET", "/account", "", ""); strings.Contains(page, store.DemoEmail(store.Shipper, 6)) {
		t.Errorf("who planted a session sees the account of who has signed in with it:\n%s", page)
	}
	if status, answer := second.post("/sign-out-everywhere"); status != http.StatusSeeOther {
		t.Errorf("sign out everywhere: got %d\n%s", status, answer)
	}
	over("one session", first)
	over("the one that ended all", second)
}

// once has everything sent many times at once: one load, one winner, one message of each
// kind to him.
func once(t *testing.T, shipper client, drivers [2]client) {
	t.Helper()
	const times = 8
	var mu sync.Mutex
	ids, won := map[string]bool{}, map[string]bool{}
	at := func(f func(n int)) {
		var wg sync.WaitGroup
		for n := range times {
			wg.Go(func() { f(n) })
		}
		wg.Wait()
	}
	var l store.Load
	at(func(int) {
		var got store.Load
		shipper.made(&got, "/loads", loadForm("a double click", "Tiles")...)
		mu.Lock()
		defer mu.Unlock()
		l, ids[got.ID] = got, true
	})
	var bids [2]store.Bid
	at(func(n int) {
		var got store.Bid
		drivers[n%2].made(&got, "/loads/"+l.ID+"/bids", "price", "650")
		mu.Lock()
		defer mu.Unlock()
		bids[n%2] = got
	})
	at(func(n int) {
		status, answer := shipper.with("Accept", "application/json").post("/loads/"+l.ID+"/accept", "bid", bids[n%2].ID, "price", "650")
		var got store.Load
		switch err := json.Unmarshal([]byte(answer), &got); {
		case status == http.StatusOK && err == nil:
			mu.Lock()
			defer mu.Unlock()
			won[got.Driver] = true
		case status != http.StatusConflict:
			t.Errorf("accept: got %d\n%s", status, answer)
		}
	})
	if len(ids) != 1 || len(won) != 1 {
		t.Fatalf("got %d loads, and winners %v; want one each", len(ids), won)
	}
	redistest.Eventually(t, within, func() error {
		told := map[string]int{}
		for _, d := range drivers {
			_, answer := d.with("Accept", "application/json").send("GET", "/messages", "", "")
			var got struct{ Messages []store.Message }
			if err := json.Unmarshal([]byte(answer), &got); err != nil {
				return err
			}
			for _, m := range got.Messages {
				if m.Event == "booked:"+l.ID {
					told[m.Kind]++
				}
			}
		}
		if told[store.Email] != 1 || told[store.SMS] != 1 {
			return fmt.Errorf("the winner was told %v times; want once by each", told)
		}
		return nil
	})
}
