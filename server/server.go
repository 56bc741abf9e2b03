// Package server is the HTTP API over the limiter, as api/httpv1 and its openapi.yaml describe it.
//
//   - routes.go, router.go: the table of what is served where, and how it is found.
//   - handle.go, request.go, response.go, query.go: how a request is read and answered.
//   - handlers.go, convert.go, list.go: what each call does.
//   - batch.go: the same for many at once.
//   - problems.go: what each error is called.
//   - budget.go, pool.go: how much memory requests may hold.
//   - httpserver.go, listener.go: the limits of connections, and what a panic does.
//   - metrics.go, instrument.go, log.go, health.go: what is told about it.
package server

import (
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluice-mail/sluice/api/httpv1"
	"github.com/sluice-mail/sluice/limiter"
)

// DefaultReservationTTL is for how long a slot is held if neither the check nor the configuration says so.
const DefaultReservationTTL = 2 * time.Minute

// Options are what a Server is made of.
type Options struct {
	// Limiter decides. Until it is loaded every call of the API is answered with 503.
	Limiter *limiter.Limiter
	// Clock says when. Its zero value means one that starts now.
	Clock limiter.Clock
	// ReservationTTL is for how long to hold a slot whose check does not say; DefaultReservationTTL if 0.
	ReservationTTL time.Duration
	// Registry gets the metrics. It may be nil.
	Registry prometheus.Registerer
	// Log gets a line per failed or slow request, or a count of them where there are many alike. Its zero
	// value drops them.
	Log logr.Logger
}

// Server answers the HTTP API. It is an http.Handler.
type Server struct {
	limiter *limiter.Limiter
	clock   limiter.Clock
	ttl     time.Duration
	ids     *idSource
	metrics *metrics
	log     *limitedLog
	router  *router
	// What requests in flight may hold in memory.
	bodies, responses *budget
}

// New returns a Server.
func New(o Options) *Server {
	if o.ReservationTTL == 0 {
		o.ReservationTTL = DefaultReservationTTL
	}
	if o.Clock == (limiter.Clock{}) {
		o.Clock = limiter.StartClock()
	}
	s := &Server{
		limiter:   o.Limiter,
		clock:     o.Clock,
		ttl:       o.ReservationTTL,
		ids:       newIDSource(),
		metrics:   newMetrics(o.Registry, o.Limiter),
		log:       newLimitedLog(o.Log),
		bodies:    &budget{limit: maxBodiesBytes},
		responses: &budget{limit: maxResponsesBytes},
	}
	s.router = s.newRouter(routes)
	return s
}

// ValidReservationTTL says whether a default TTL is one that a check could ask for.
func ValidReservationTTL(ttl time.Duration) bool {
	return ttl >= time.Second && ttl <= httpv1.MaxTTLSeconds*time.Second
}
