package web

import (
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/transload/transload/examples/freight/app"
	"github.com/transload/transload/examples/freight/atlas"
	"github.com/transload/transload/examples/freight/store"
)

// maxFix bounds a position as it is sent, in bytes.
const maxFix = 1 << 10

// gps takes the position of a driver's own truck.
func (s *Server) gps(w http.ResponseWriter, r *http.Request) error {
	var x app.Fix
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxFix))
	d.DisallowUnknownFields()
	if err := d.Decode(&x); err != nil {
		return fmt.Errorf("%w: want plate, lat, lon and at", app.ErrFix)
	}
	c, err := s.app.Catalog.Carrier(r.Context(), user(r))
	if err != nil {
		return err
	}
	if c.Plate != x.Plate {
		return errNobody
	}
	if err := s.app.Fleet.Take(x); err != nil {
		return err
	}
	w.WriteHeader(http.StatusAccepted)
	return nil
}

type mapView struct {
	Roads  []atlas.Road `json:"roads"`
	Cities []atlas.City `json:"cities"`
	Width  int          `json:"width"`
	Height int          `json:"height"`
}

func (s *Server) fleetMap(w http.ResponseWriter, r *http.Request) error {
	s.show(w, r, http.StatusOK, "map", mapView{atlas.Roads(), atlas.Cities(), atlas.Width, atlas.Height})
	return nil
}

type nearView struct {
	City  string       `json:"city,omitempty"` // where it is looked from
	Truck bool         `json:"truck"`          // that is the driver's own truck
	Away  bool         `json:"away"`           // nobody can say now
	Loads []store.Load `json:"loads"`
}

// nearKM is how far a driver goes for a load.
const nearKM = 400

// near shows the loads near a driver's truck, or near a city.
func (s *Server) near(w http.ResponseWriter, r *http.Request) error {
	var v nearView
	at, ok := atlas.Find(r.FormValue("city"))
	if c, err := s.app.Catalog.Carrier(r.Context(), user(r)); err == nil && !ok {
		at, _ = atlas.Find(c.City)
		if x, moving := s.app.Fleet.Last(c.Plate); moving {
			at.Lat, at.Lon, v.Truck = x.Lat, x.Lon, true
		}
	}
	v.City = at.Slug()
	var err error
	if at.Name != "" {
		v.Loads, err = s.app.Catalog.Near(r.Context(), at.Lat, at.Lon, nearKM)
	}
	if v.Away = err != nil; v.Away {
		if p := s.problem(err); p.status != http.StatusServiceUnavailable {
			return err
		}
	}
	s.show(w, r, http.StatusOK, "near", v)
	return nil
}
