package server

import (
	"net/http"
	"time"

	"github.com/sluice-mail/sluice/api/httpv1"
	"github.com/sluice-mail/sluice/limiter"
)

// slow is how long a request may take before it gets a line in the log.
const slow = 250 * time.Millisecond

// instrumented makes a handler of an endpoint: it writes the answer, counts and times it, and logs it
// if it failed or was slow. A panic is not recovered; see HTTPServer.
func (s *Server) instrumented(operation string, serve endpoint, large bool) handler {
	m := s.metrics.of(operation)
	return func(w http.ResponseWriter, r *http.Request, account limiter.Key) {
		start := time.Now()
		a := newAnswer(account, large)
		a.rest = r.ContentLength != 0
		err := serve(s, r, a)
		if err != nil {
			a.fail(s.problem(r, operation, err))
		}
		undrained := a.write(w, r)
		took := time.Since(start)
		m.observe(a.status, took)
		if err != nil || took > slow {
			s.logRequest(r, a, operation, took)
		}
		a.done()
		if undrained {
			drain(w, r)
		}
	}
}

// problem says what an error is called. One that nobody expected is logged under an id and keeps
// its detail to itself.
func (s *Server) problem(r *http.Request, operation string, err error) *httpv1.Problem {
	if p := problemOf(err); p != nil {
		return p
	}
	id := s.log.internal(operation, err, requestFields(r, operation)...)
	return httpv1.InternalError.Problem(
		"Ask again; if that does not help, look for " + id + " in the log of Sluice.")
}

// logRequest writes the one line of a failed or slow request. One that failed for an internal
// error has its line already.
func (s *Server) logRequest(r *http.Request, a *answer, operation string, took time.Duration) {
	fields := append(requestFields(r, operation), "status", a.status, "duration", took.String())
	switch p := a.problem; {
	case p == nil:
		s.log.info(operation, "slow", "request was slow", fields...)
	case p.Status != http.StatusInternalServerError:
		fields = append(fields, "problem", p.Type, "detail", p.Detail)
		s.log.info(operation, p.Type, "request failed", fields...)
	}
}

// requestFields say which request it was.
func requestFields(r *http.Request, operation string) []any {
	return []any{
		"operation", operation,
		"method", httpv1.Excerpt(r.Method), "path", httpv1.Excerpt(r.URL.EscapedPath()),
		"client", r.RemoteAddr, "userAgent", httpv1.Excerpt(r.UserAgent()),
	}
}
