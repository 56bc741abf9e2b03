package server

import (
	"net/http"

	"github.com/sluice-mail/sluice/api/httpv1"
	"github.com/sluice-mail/sluice/limiter"
)

// endpoint fills the answer to a request, or returns what the problem is.
type endpoint func(s *Server, r *http.Request, a *answer) error

// decoder is a pointer to a request that can be read from JSON.
type decoder[Req any] interface {
	*Req
	Decode([]byte) error
}

// encoder is an answer that can be written as JSON.
type encoder interface{ AppendJSON([]byte) []byte }

// call is what the API does to one account.
type call[Req any] func(*Server, limiter.Key, *Req, *answer) (encoder, error)

// handle makes an endpoint of a call about one account: it reads the body, and writes what the call returns.
func handle[Req any, P decoder[Req]](do call[Req]) endpoint {
	return func(s *Server, r *http.Request, a *answer) error {
		body, err := s.readBody(r, a, httpv1.MaxBodyBytes)
		if err != nil {
			return err
		}
		var req Req
		if err := P(&req).Decode(body); err != nil {
			return err
		}
		a.now = s.clock.Now()
		reply, err := do(s, a.account, &req, a)
		if err != nil {
			return err
		}
		a.out = append(reply.AppendJSON(a.out), '\n')
		return nil
	}
}
