package freight_test

import (
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/transload/transload/examples/freight/load"
	"github.com/transload/transload/internal/browser/chromium"
	"github.com/transload/transload/internal/redistest"
)

// TestBrowser goes through the app while others use it, and has its Redis die.
func TestBrowser(t *testing.T) {
	redis := redistest.Standalone(t, redistest.Options{Args: []string{"--appendonly", "yes", "--appendfsync", "always"}})
	i := serve(t, redis.Env("REDIS"))
	others, err := load.Start(t.Context(), load.Options{URLs: []string{i.users}, Each: 20, Pace: 2 * time.Second, Fix: time.Second}, load.NewJournal())
	if err != nil {
		t.Fatal(err)
	}
	defer others.Check(t.Context())
	b := chromium.Open(t)

	b.Do("home", chromedp.Navigate(i.users), chromedp.WaitVisible(".cards"))
	b.Shot("home")
	b.Do("sign in", chromedp.Click(`a[href="/sign-in"]`), chromedp.WaitVisible(`[name=password]`),
		chromedp.SendKeys(`[name=email]`, "driver-30@freight.example"), chromedp.SendKeys(`[name=password]`, "freight"))
	b.Shot("sign-in")
	b.Do("sign in", chromedp.Click(`main button`), chromedp.WaitVisible(`a[href="/map"]`))

	b.Do("search", chromedp.Navigate(i.users+"/loads"), chromedp.WaitVisible(".cards"))
	city := chromium.Ask[string](b, `document.querySelector(".card strong").textContent.split("→")[0].trim()`)
	b.Do("search", chromedp.SetValue(`[name=from]`, chromium.Ask[string](b, `[...document.querySelectorAll("[name=from] option")].find((o) => o.textContent === "`+city+`").value`)),
		chromedp.Click(`.search button`), chromedp.WaitVisible(".cards"))
	if !chromium.Ask[bool](b, `[...document.querySelectorAll(".card strong")].every((c) => c.textContent.startsWith("`+city+`"))`) {
		t.Errorf("a search from %s shows other loads", city)
	}
	b.Shot("search")
	b.Do("load", chromedp.Click(".card"), chromedp.WaitVisible(`form.bid`))
	b.Do("bid", chromedp.SendKeys(`form.bid [name=price]`, "777"), chromedp.Click(`form.bid button`))
	b.Sees("the bid", `document.querySelector("#bids")?.textContent.includes("777") ?? false`)
	b.Shot("bid")

	b.Do("map", chromedp.Navigate(i.users+"/map"), chromedp.WaitVisible("#map"))
	b.Sees("trucks", `Number(document.getElementById("count").textContent) >= 15 && document.getElementById("state").textContent === "live"`)
	was := chromium.Ask[string](b, `document.querySelector(".truck").style.transform`)
	b.Sees("a truck that moves", `document.querySelector(".truck").style.transform !== "`+was+`"`)
	time.Sleep(3 * time.Second) // for the picture: trucks on their way
	b.Shot("map")
	engineer := chromium.Open(t)
	engineer.Do("status", chromedp.Navigate(i.engineers), chromedp.WaitVisible("#workloads tbody tr"))
	all := func(word string) string {
		return `document.querySelectorAll("#workloads tbody tr").length === 5 && [...document.querySelectorAll("#workloads tbody .tag")].every((e) => e.textContent === "` + word + `")`
	}
	engineer.Sees("that all is well", all("well"))

	if err := redis.Kill(); err != nil {
		t.Fatal(err)
	}
	if took := engineer.Sees("that all are degraded", all("degraded")); took > 2*time.Second {
		t.Errorf("the status page told after %v; want 2s", took)
	} else {
		t.Logf("the status page told of all five after %v", took.Round(time.Millisecond))
	}
	b.Sees("that the map is old", `document.getElementById("state").textContent.includes("s old")`)
	b.Shot("map-degraded")
	engineer.Shot("status-degraded")
	b.Do("a page without Redis", chromedp.Navigate(i.users+"/mine"), chromedp.WaitVisible(".banner"))
	b.Shot("degraded")
	if err := redis.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	engineer.Sees("that all is well again", all("well"))
	b.Do("map", chromedp.Navigate(i.users+"/map"), chromedp.WaitVisible("#map"))
	b.Sees("trucks again", `Number(document.getElementById("count").textContent) >= 15 && document.getElementById("state").textContent === "live"`)
	b.Do("account", chromedp.Navigate(i.users+"/account"), chromedp.WaitVisible(".danger"))
	b.Shot("account")
	b.Do("messages", chromedp.Navigate(i.users+"/messages"), chromedp.WaitVisible("main h1"))
	b.Shot("messages")
	b.Do("sign out", chromedp.Click(`header button`), chromedp.WaitVisible(`a[href="/sign-in"]`))
}
