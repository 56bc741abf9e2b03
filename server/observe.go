package server

import (
	"fmt"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/sluice-mail/sluice/limiter"
)

// slow is how long a request may take before it gets a line in the log.
const slow = 250 * time.Millisecond

// observed makes a handler of an endpoint: it writes the answer, counts and times it, and logs it if it failed or was
// slow.
func (s *Server) observed(operation string, serve endpoint) handler {
	m := s.metrics.of(operation)
	return func(w http.ResponseWriter, r *http.Request, account limiter.Key) {
		start := time.Now()
		a := newAnswer(account)
		defer a.done()
		err := s.guarded(serve, r, a)
		if err != nil {
			a.fail(err)
		}
		a.write(w)
		took := time.Since(start)
		m.observe(a.status, took)
		if err != nil || took > slow {
			s.logRequest(r, a, operation, took, err)
		}
	}
}

// guarded turns a panic into an error.
func (s *Server) guarded(serve endpoint, r *http.Request, a *answer) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return serve(s, r, a)
}

// logRequest writes the one line of a failed or slow request. What the client got wrong is information; what Sluice got
// wrong is an error.
func (s *Server) logRequest(r *http.Request, a *answer, operation string, took time.Duration, err error) {
	fields := []any{
		"operation", operation, "method", r.Method, "path", r.URL.EscapedPath(), "status", a.status,
		"duration", took.String(), "client", r.RemoteAddr, "userAgent", r.UserAgent(),
	}
	switch {
	case a.status == http.StatusInternalServerError:
		s.log.Error(err, "request failed", fields...)
	case err != nil:
		s.log.Info("request failed", append(fields, "problem", a.problem.Type, "detail", a.problem.Detail)...)
	default:
		s.log.Info("request was slow", fields...)
	}
}
