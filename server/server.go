// Package server serves the HTTP API of api/httpv1 and its openapi.yaml, and asks the limiter.
//
// A request and its response:
//
//   - server.go: the Server and its options.
//   - routes.go: the table of operations.
//   - auth.go: who calls, and what they have a right to.
//   - router.go: finds the operation and the account of a path.
//   - instrument.go: writes, counts, times and logs what an operation responds.
//   - pool.go: the pool of requests and responses with their buffers.
//   - request.go: a request, and how its body is read.
//   - query.go: how a query is read or refused.
//   - response.go: a response, and how it is written.
//   - problems.go: which error is told as which problem.
//
// The operations:
//
//   - handle.go: makes an operation of a handler, which knows no HTTP.
//   - handlers.go: check, commit, release, the usage of an account, and the contract.
//   - batch.go: checks, commits and releases of many accounts.
//   - list.go: the usage of all accounts, in pages.
//   - convert.go: from the limiter's words to those of the API.
//   - reservation_ids.go: ids for checks that bring none.
//
// The process:
//
//   - httpserver.go: the time and size limits of connections, and what a panic does.
//   - listener.go: the limit on the number of connections.
//   - tls.go: encrypts the connections.
//   - inflight.go: how many requests are worked on at a time, and how others are refused.
//   - bursts.go: tells a burst of checks from overload.
//   - budget.go: how much memory all requests together may hold.
//   - metrics.go: what is counted.
//   - log.go: the log, which leaves out lines where there are many alike.
//   - logfields.go: what a line of the log says of a request.
//   - health.go: /healthz and /readyz.
package server

import (
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluice-mail/sluice/api/httpv1"
	"github.com/sluice-mail/sluice/limiter"
)

// DefaultReservationTTL is how long a reservation is held if neither the check nor the
// configuration says so.
const DefaultReservationTTL = 2 * time.Minute

// Options are what a Server is made of.
type Options struct {
	// Limiter decides. Until it is loaded, the API responds 503 to everything about accounts.
	Limiter *limiter.Limiter
	// Clock tells the time. The zero value means a clock that starts now.
	Clock limiter.Clock
	// ReservationTTL is how long a reservation is held whose check does not say. 0 means
	// DefaultReservationTTL.
	ReservationTTL time.Duration
	// Auth decides who may call. Nil lets everybody do everything.
	Auth Auth
	// MaxInFlight is how many checks are worked on at a time, and how many commits and releases. 0
	// means DefaultMaxInFlight.
	MaxInFlight int
	// Registry gets the metrics. It may be nil.
	Registry prometheus.Registerer
	// Log gets a line for each failed or slow request, or a count of them where there are many
	// alike. The zero value drops them.
	Log logr.Logger
}

// Server serves the HTTP API. It is an http.Handler.
type Server struct {
	limiter *limiter.Limiter
	auth    Auth // nil: everybody may do everything
	clock   limiter.Clock
	ttl     time.Duration
	ids     *reservationIDs
	metrics *metrics
	log     *limitedLog
	router  *router
	// What is worked on at a time.
	admission *admission
	// What the requests in flight may hold in memory, all together.
	bodies, responses *budget
}

// New returns a Server.
func New(o Options) *Server {
	if o.ReservationTTL == 0 {
		o.ReservationTTL = DefaultReservationTTL
	}
	if o.MaxInFlight == 0 {
		o.MaxInFlight = DefaultMaxInFlight
	}
	if o.Clock == (limiter.Clock{}) {
		o.Clock = limiter.StartClock()
	}
	s := &Server{
		limiter:   o.Limiter,
		auth:      o.Auth,
		clock:     o.Clock,
		ttl:       o.ReservationTTL,
		ids:       newReservationIDs(),
		metrics:   newMetrics(o.Registry, o.Limiter),
		log:       newLimitedLog(o.Log),
		admission: newAdmission(o.MaxInFlight, newAdmissionMetrics(o.Registry)),
		bodies:    &budget{limit: maxBodiesBytes},
		responses: &budget{limit: maxResponsesBytes},
	}
	s.router = s.newRouter(routes)
	return s
}

// ValidReservationTTL reports whether a check could ask for this TTL.
func ValidReservationTTL(ttl time.Duration) bool {
	return ttl >= time.Second && ttl <= httpv1.MaxTTLSeconds*time.Second
}
