package web

import (
	"crypto/rand"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/transload/transload/examples/freight/app"
	"github.com/transload/transload/examples/freight/atlas"
	"github.com/transload/transload/examples/freight/store"
	"github.com/transload/transload/sessions"
)

type searchView struct {
	From  string       `json:"from"`
	To    string       `json:"to"`
	Loads []store.Load `json:"loads"`
}

func (s *Server) search(w http.ResponseWriter, r *http.Request) (err error) {
	v := searchView{From: known(r.FormValue("from")), To: known(r.FormValue("to"))}
	if v.Loads, err = s.app.Catalog.Search(r.Context(), v.From, v.To); err != nil {
		return err
	}
	s.show(w, r, http.StatusOK, "search", v)
	return nil
}

// known is a city's slug, or "" for none.
func known(slug string) string {
	if _, ok := atlas.Find(slug); !ok {
		return ""
	}
	return slug
}

type loadView struct {
	app.LoadView
	Mine   bool `json:"mine"`
	MayBid bool `json:"may_bid"`
}

func (s *Server) load(w http.ResponseWriter, r *http.Request) error {
	l, err := s.app.Load(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	s.show(w, r, http.StatusOK, "load", loadView{l, l.Shipper == user(r), s.visitor(r).Role == store.Driver})
	return nil
}

func (s *Server) carrier(w http.ResponseWriter, r *http.Request) error {
	c, err := s.app.Catalog.Carrier(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	c.Email, c.Phone = "", "" // not for everybody
	s.show(w, r, http.StatusOK, "carrier", c)
	return nil
}

type postView struct {
	Request string `json:"request"`
	Pickup  string `json:"pickup"`
}

func (s *Server) postForm(w http.ResponseWriter, r *http.Request) error {
	if s.visitor(r).Role != store.Shipper {
		return errNobody
	}
	s.show(w, r, http.StatusOK, "post", postView{rand.Text(), time.Now().AddDate(0, 0, 3).Format(time.DateOnly)})
	return nil
}

func (s *Server) post(w http.ResponseWriter, r *http.Request) error {
	if s.visitor(r).Role != store.Shipper {
		return errNobody
	}
	pickup, _ := time.Parse(time.DateOnly, r.PostFormValue("pickup")) // what is none is in the past
	l, err := s.app.Post(r.Context(), user(r), app.Draft{
		Request: r.PostFormValue("request"), From: r.PostFormValue("from"), To: r.PostFormValue("to"),
		Cargo: r.PostFormValue("cargo"), KG: number(r, "kg"), Price: number(r, "price"), Pickup: pickup})
	if err != nil {
		return err
	}
	return s.done(w, r, "/loads/"+l.ID, l)
}

func (s *Server) bid(w http.ResponseWriter, r *http.Request) error {
	if s.visitor(r).Role != store.Driver {
		return errNobody
	}
	load := r.PathValue("id")
	b, err := s.app.Offer(r.Context(), user(r), load, number(r, "price"))
	if err != nil {
		return err
	}
	return s.done(w, r, "/loads/"+load, b)
}

func (s *Server) accept(w http.ResponseWriter, r *http.Request) error {
	load := r.PathValue("id")
	l, err := s.app.Accept(r.Context(), user(r), load, r.PostFormValue("bid"), number(r, "price"))
	if err != nil {
		return err
	}
	return s.done(w, r, "/loads/"+load, l)
}

// number is a field of a form; what is none is 0, which no form takes.
func number(r *http.Request, field string) int64 {
	n, err := strconv.ParseInt(strings.TrimSpace(r.PostFormValue(field)), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

type mineView struct {
	Loads []store.Load          `json:"loads"`
	Bids  []store.Bid           `json:"bids"`
	Bid   map[string]store.Load `json:"-"` // the loads of the bids
}

// most is how much of one's own is shown.
const most = 200

func (s *Server) mine(w http.ResponseWriter, r *http.Request) (err error) {
	var v mineView
	if v.Loads, err = s.app.Store.LoadsOf(r.Context(), user(r), most); err != nil {
		return err
	}
	if v.Bids, err = s.app.Store.BidsOf(r.Context(), user(r), most); err != nil {
		return err
	}
	ids := make([]string, len(v.Bids))
	for i, b := range v.Bids {
		ids[i] = b.Load
	}
	if v.Bid, err = s.app.Store.Loads(r.Context(), ids); err != nil {
		return err
	}
	s.show(w, r, http.StatusOK, "mine", v)
	return nil
}

type messagesView struct {
	Messages []store.Message `json:"messages"`
}

func (s *Server) messages(w http.ResponseWriter, r *http.Request) (err error) {
	session, _ := sessions.From(r.Context())
	var v messagesView
	if v.Messages, err = s.app.Store.Messages(r.Context(), session.User, 5*most); err != nil {
		return err
	}
	s.show(w, r, http.StatusOK, "messages", v)
	return nil
}
