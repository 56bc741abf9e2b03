package server

import (
	"context"
	"fmt"
	"time"

	"github.com/sluice-mail/sluice/api/httpv1"
	"github.com/sluice-mail/sluice/limiter"
)

func (s *Server) check(
	ctx context.Context, k limiter.Key, req *httpv1.CheckRequest, now limiter.Instant,
) (checkResponse, error) {
	ask, err := s.ask(req)
	if err != nil {
		return checkResponse{}, err
	}
	d, err := s.limiter.Check(ctx, now, k, ask)
	if err != nil {
		return checkResponse{}, err
	}
	s.metrics.decided(&d)
	return checkResponse{d, ask.ID, now}, nil
}

func (s *Server) commit(
	ctx context.Context, k limiter.Key, req *httpv1.CommitRequest, now limiter.Instant,
) (endResponse, error) {
	ask, err := sent(req)
	if err != nil {
		return endResponse{}, err
	}
	outcome, err := s.limiter.Commit(ctx, now, k, ask.ID, ask.Cost)
	if err != nil {
		return endResponse{}, err
	}
	s.metrics.ended(outcome)
	return endResponse{outcome}, nil
}

func (s *Server) release(
	ctx context.Context, k limiter.Key, req *httpv1.ReleaseRequest, now limiter.Instant,
) (endResponse, error) {
	id, err := optionalID("reservation", req.Reservation)
	if err != nil {
		return endResponse{}, err
	}
	outcome, err := s.limiter.Release(ctx, now, k, id)
	if err != nil {
		return endResponse{}, err
	}
	s.metrics.ended(outcome)
	return endResponse{outcome}, nil
}

func (s *Server) usage(q *request, r *response) error {
	now := s.clock.Now()
	u, err := s.limiter.Usage(q.http.Context(), now, q.account)
	if err != nil {
		return err
	}
	r.body, err = appendJSON(r.body, convertUsage(now, &u))
	return err
}

func (s *Server) openAPI(_ *request, r *response) error {
	r.contentType = yamlType
	r.body = append(r.body, httpv1.OpenAPI...)
	return nil
}

// ask turns a request into a question to the limiter.
func (s *Server) ask(req *httpv1.CheckRequest) (ask limiter.Ask, err error) {
	if ask.ID, err = optionalID("id", req.ID); err != nil {
		return ask, err
	}
	if ask.ID == "" {
		ask.ID, ask.New = s.ids.next(), true
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

// sent is what a commit says was sent.
func sent(req *httpv1.CommitRequest) (ask limiter.Ask, err error) {
	if ask.ID, err = optionalID("reservation", req.Reservation); err != nil {
		return ask, err
	}
	ask.Cost, err = inBounds("cost", req.Cost, 0, httpv1.MaxCost)
	return ask, err
}

// inBounds returns a number that must be 1 to largest, or otherwise if it was not given.
func inBounds(field string, n *int64, otherwise, largest int64) (int64, error) {
	if n == nil {
		return otherwise, nil
	}
	if *n < 1 || *n > largest {
		return 0, httpv1.InvalidField.Problem(fmt.Sprintf(
			"%s must be an integer from 1 to %d.", field, largest))
	}
	return *n, nil
}

// optionalID returns an id that must be valid, or the empty string if it was not given.
func optionalID(field string, id *string) (string, error) {
	if id == nil {
		return "", nil
	}
	if !httpv1.ValidID(*id) {
		return "", httpv1.InvalidField.Problem(fmt.Sprintf(
			"%s must be 1 to %d visible ASCII characters: "+
				"no spaces, no line breaks, no other letters.",
			field, httpv1.MaxIDLength))
	}
	return *id, nil
}
