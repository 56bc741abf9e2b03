package server

import (
	"context"

	"github.com/sluice-mail/sluice/api/httpv1"
	"github.com/sluice-mail/sluice/limiter"
)

// endpoint fills in the response to a request, or returns an error that becomes a problem.
type endpoint func(*Server, *request, *response) error

// handler is what the API does to one account: it asks the limiter, and returns what to respond.
type handler[Req any, Resp encoder] func(
	*Server, context.Context, limiter.Key, *Req, limiter.Instant) (Resp, error)

// encoder is what a handler returns.
type encoder interface {
	// AppendJSON appends the body of the response, or one result of a batch.
	AppendJSON([]byte) []byte
	// RetryAfter is the header of that name, in seconds, or 0 for none. A batch does not ask.
	RetryAfter() int64
}

// handle makes an endpoint of a handler.
func handle[Req any, Resp encoder, P interface {
	*Req
	decoder
}](do handler[Req, Resp]) endpoint {
	return func(s *Server, q *request, r *response) error {
		var req Req
		if err := s.read(q, httpv1.MaxBodyBytes, P(&req)); err != nil {
			return err
		}
		result, err := do(s, q.http.Context(), q.account, &req, s.clock.Now())
		if err != nil {
			return err
		}
		r.retryAfter = result.RetryAfter()
		r.body = append(result.AppendJSON(r.body), '\n')
		return nil
	}
}
