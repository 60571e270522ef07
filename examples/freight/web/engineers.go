package web

import (
	"context"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/transload/transload/topology"
)

// Engineers is what the app's engineers see, on an address of its own: it tells
// addresses and names, so it is not for the public.
func (s *Server) Engineers() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", s.handle(s.status))
	mux.HandleFunc("GET /status.json", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, s.app.Status()) })
	mux.Handle("GET /static/{file}", static())
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.app.Registry, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError}))
	mux.Handle("GET /livez", topology.LiveHandler())
	mux.HandleFunc("GET /readyz", s.ready)
	mux.HandleFunc("GET /api/health/redis-sentinel", s.redisHealth)
	mux.HandleFunc("POST /probe", s.probe)
	return headers(http.NewCrossOriginProtection().Handler(mux))
}

func (s *Server) status(w http.ResponseWriter, r *http.Request) error {
	s.show(w, r, http.StatusOK, "status", s.app.Status())
	return nil
}

// alive asks nobody: to restart the app brings back neither Redis nor the database.
func (s *Server) alive(w http.ResponseWriter, r *http.Request) {
	topology.LiveHandler().ServeHTTP(w, r)
}

// readyWithin bounds how long the database may take to answer.
const readyWithin = time.Second

// ready asks the database alone: without Redis the app works on.
func (s *Server) ready(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), readyWithin)
	defer cancel()
	if err := s.app.Store.Ping(ctx); err != nil {
		s.log.Warn("the database does not answer", "op", "ready", "err", err)
		answer(w, http.StatusServiceUnavailable, map[string]string{"status": "not ready", "reason": "the database does not answer"})
		return
	}
	answer(w, http.StatusOK, map[string]string{"status": "ready"})
}

// redisHealth is the plan's health endpoint, of the side that ?side names; without, of
// the one that answers for sessions.
func (s *Server) redisHealth(w http.ResponseWriter, r *http.Request) {
	side := r.FormValue("side")
	if side == "" && s.app.Link.Percent("sessions") >= 50 {
		side = "target"
	}
	sides := s.app.Link.Sides
	c := sides[0]
	if side == "target" {
		c = sides[len(sides)-1]
	}
	c.HealthHandler().ServeHTTP(w, r)
}

// probeWithin bounds trying the workloads.
const probeWithin = 30 * time.Second

// probe tries every workload: 200 if all are well.
func (s *Server) probe(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), probeWithin)
	defer cancel()
	probes, status := s.app.Probe(ctx), http.StatusOK
	for _, p := range probes {
		if !p.OK {
			status = http.StatusServiceUnavailable
		}
	}
	answer(w, status, probes)
}
