// Package server is the HTTP API over the limiter, as api/httpv1 and its openapi.yaml describe it.
//
//   - routes.go, router.go: the table of what is served where, and how it is found.
//   - handle.go: how a request is read and answered.
//   - calls.go, list.go: what each call does.
//   - batch.go: the same for many at once.
//   - problems.go: what each error is called.
//   - metrics.go, observe.go, health.go: what is told about it.
package server

import (
	"net/http"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluice-mail/sluice/api/httpv1"
	"github.com/sluice-mail/sluice/limiter"
)

// DefaultReservationTTL is for how long a slot is held if neither the check nor the configuration says so.
const DefaultReservationTTL = 2 * time.Minute

// Limits of a connection. A request is a few hundred bytes and is answered in microseconds: whoever needs longer is
// slow on purpose or broken.
const (
	readTimeout    = 10 * time.Second // of the header and the body together; one of each would cost a timer more
	writeTimeout   = 10 * time.Second
	idleTimeout    = 2 * time.Minute
	maxHeaderBytes = 16 << 10
)

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
	// Log gets one line per failed or slow request. Its zero value drops them.
	Log logr.Logger
}

// Server answers the HTTP API. It is an http.Handler.
type Server struct {
	limiter *limiter.Limiter
	clock   limiter.Clock
	ttl     time.Duration
	ids     *idSource
	metrics *metrics
	log     logr.Logger
	router  *router
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
		limiter: o.Limiter,
		clock:   o.Clock,
		ttl:     o.ReservationTTL,
		ids:     newIDSource(),
		metrics: newMetrics(o.Registry, o.Limiter),
		log:     o.Log,
	}
	s.router = s.newRouter(routes)
	return s
}

// HTTPServer returns a server for a handler, with limits against slow and oversized clients. It speaks HTTP/1.1 alone.
func HTTPServer(handler http.Handler) *http.Server {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	return &http.Server{
		Handler:                      handler,
		Protocols:                    &protocols,
		ReadTimeout:                  readTimeout,
		WriteTimeout:                 writeTimeout,
		IdleTimeout:                  idleTimeout,
		MaxHeaderBytes:               maxHeaderBytes,
		DisableGeneralOptionsHandler: true, // OPTIONS * is an unknown path like any other
	}
}

// ValidReservationTTL says whether a default TTL is one that a check could ask for.
func ValidReservationTTL(ttl time.Duration) bool {
	return ttl >= time.Second && ttl <= httpv1.MaxTTLSeconds*time.Second
}
