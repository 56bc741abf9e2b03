package server

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/sluice-mail/sluice/api/httpv1"
	"github.com/sluice-mail/sluice/limiter"
)

func (s *Server) check(k limiter.Key, req *httpv1.CheckRequest, a *answer) (encoder, error) {
	ask, err := s.ask(req)
	if err != nil {
		return nil, err
	}
	d, err := s.limiter.Check(a.now, k, ask)
	if err != nil {
		return nil, err
	}
	s.metrics.decided(&d)
	a.decision.set(a.now, &d, ask.ID)
	a.retryAfter = retryAfterSeconds(&a.decision.CheckResponse)
	return &a.decision, nil
}

func (s *Server) commit(k limiter.Key, req *httpv1.CommitRequest, a *answer) (encoder, error) {
	id, err := optionalID("reservation", req.Reservation)
	if err != nil {
		return nil, err
	}
	cost, err := inBounds("cost", req.Cost, 0, httpv1.MaxCost)
	if err != nil {
		return nil, err
	}
	outcome, err := s.limiter.Commit(a.now, k, id, cost)
	return s.result(outcome, err)
}

func (s *Server) release(k limiter.Key, req *httpv1.ReleaseRequest, a *answer) (encoder, error) {
	id, err := optionalID("reservation", req.Reservation)
	if err != nil {
		return nil, err
	}
	outcome, err := s.limiter.Release(a.now, k, id)
	return s.result(outcome, err)
}

func (s *Server) usage(_ *http.Request, a *answer) (err error) {
	a.now = s.clock.Now()
	u, err := s.limiter.Usage(a.now, a.account)
	if err != nil {
		return err
	}
	a.out, err = appendJSON(a.out, convertUsage(a.now, &u))
	return err
}

func (s *Server) openAPI(_ *http.Request, a *answer) error {
	a.contentType = yamlType
	a.fixed = httpv1.OpenAPI
	return nil
}

// ask makes a limiter's question of a request.
func (s *Server) ask(req *httpv1.CheckRequest) (ask limiter.Ask, err error) {
	if ask.ID, err = optionalID("id", req.ID); err != nil {
		return ask, err
	}
	if ask.ID == "" {
		ask.ID = s.ids.next()
	}
	if ask.Cost, err = inBounds("cost", req.Cost, 1, httpv1.MaxCost); err != nil {
		return ask, err
	}
	seconds, err := inBounds("ttlSeconds", req.TTLSeconds, 0, httpv1.MaxTTLSeconds)
	if ask.TTL = time.Duration(seconds) * time.Second; seconds == 0 {
		ask.TTL = s.ttl
	}
	return ask, err
}

// inBounds returns an optional number that must be 1 to largest.
func inBounds(field string, n *int64, otherwise, largest int64) (int64, error) {
	if n == nil {
		return otherwise, nil
	}
	if *n < 1 || *n > largest {
		return 0, httpv1.InvalidField.Problem(fmt.Sprintf("%s must be an integer from 1 to %d.", field, largest))
	}
	return *n, nil
}

// optionalID returns an id that must be well-formed if it is given, or the empty string.
func optionalID(field string, id *string) (string, error) {
	if id == nil {
		return "", nil
	}
	if !httpv1.ValidID(*id) {
		return "", httpv1.InvalidField.Problem(fmt.Sprintf(
			"%s must be 1 to %d visible ASCII characters: no spaces, no line breaks, no other letters.",
			field, httpv1.MaxIDLength))
	}
	return *id, nil
}

// results are the answers to all commits and releases there are.
var results = func() (all [len(outcomes)]*httpv1.CommitResponse) {
	for o := range outcomes {
		all[o] = &httpv1.CommitResponse{Outcome: outcomes[o]}
	}
	return all
}()

// result makes an answer of the outcome of a commit or release.
func (s *Server) result(o limiter.Outcome, err error) (encoder, error) {
	if err != nil {
		return nil, err
	}
	s.metrics.ended(o)
	return results[o], nil
}

func appendJSON(b []byte, v any) ([]byte, error) {
	encoded, err := json.Marshal(v)
	return append(append(b, encoded...), '\n'), err
}
