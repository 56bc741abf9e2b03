package server

import (
	"net/http"
	"time"

	"github.com/sluice-mail/sluice/api/httpv1"
	"github.com/sluice-mail/sluice/limiter"
)

// slow is how long a request may take without a line in the log.
const slow = 250 * time.Millisecond

// instrumented makes a serveFunc of an endpoint: it writes the response, counts and times it, and
// logs it if it failed or was slow. It does not recover from a panic; see HTTPServer.
func (s *Server) instrumented(operation string, serve endpoint, pool *pool, large bool) serveFunc {
	m := s.metrics.of(operation)
	return func(w http.ResponseWriter, r *http.Request, account limiter.Key) {
		start := time.Now()
		x := newExchange(r, operation, account, large)
		x.request.pool, x.request.large = pool, large
		err := serve(s, &x.request, &x.response)
		x.request.leave()
		if err != nil {
			x.response.fail(s.problem(&x.request, err))
		}
		closes := x.request.mustClose(x.response.status)
		x.response.write(w, closes)
		took := time.Since(start)
		m.observe(x.response.status, took)
		if err != nil || took > slow {
			s.logRequest(x, took)
		}
		x.done()
		if closes {
			drain(w, r)
		}
	}
}

// problem returns the problem that an error is told as. An error that nobody expected is logged
// under an id, and the problem tells the id alone.
func (s *Server) problem(q *request, err error) *httpv1.Problem {
	if p := problemOf(err); p != nil {
		return p
	}
	id := s.log.internal(q.operation, err, requestFields(q)...)
	return httpv1.InternalError.Problem(
		"Ask again; if that does not help, look for " + id + " in the log of Sluice.")
}

// logRequest writes the one line of a failed or slow request. A request that failed with an
// internal error has its line already.
func (s *Server) logRequest(x *exchange, took time.Duration) {
	kind, message, p := "slow", "request was slow", x.response.problem
	if p != nil {
		kind, message = p.Type, "request failed"
	}
	if x.response.status == http.StatusInternalServerError ||
		!s.log.admits(x.request.operation, kind) {
		return
	}
	fields := append(requestFields(&x.request),
		"status", x.response.status, "duration", took.String())
	if p != nil {
		fields = append(fields, "problem", p.Type, "detail", masked(p.Detail))
	}
	s.log.logger.Info(message, fields...)
}
