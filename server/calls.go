package server

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-mail/sluice/api/httpv1"
	"github.com/sluice-mail/sluice/limiter"
)

func (s *Server) check(k limiter.Key, req *httpv1.CheckRequest, a *answer) (encoder, error) {
	ask, err := s.ask(req)
	if err != nil {
		return nil, err
	}
	now := s.clock.Now()
	d, err := s.limiter.Check(now, k, ask)
	if err != nil {
		return nil, err
	}
	s.metrics.decided(&d)
	decision := wireDecision(now, &d, ask.ID)
	a.retryAfter = retryAfterSeconds(decision)
	return decision, nil
}

func (s *Server) commit(k limiter.Key, req *httpv1.CommitRequest, _ *answer) (encoder, error) {
	id, err := optionalID("reservation", req.Reservation)
	if err != nil {
		return nil, err
	}
	cost, err := inBounds("cost", req.Cost, 0, httpv1.MaxCost)
	if err != nil {
		return nil, err
	}
	outcome, err := s.limiter.Commit(s.clock.Now(), k, id, cost)
	return s.result(outcome, err)
}

func (s *Server) release(k limiter.Key, req *httpv1.ReleaseRequest, _ *answer) (encoder, error) {
	id, err := optionalID("reservation", req.Reservation)
	if err != nil {
		return nil, err
	}
	outcome, err := s.limiter.Release(s.clock.Now(), k, id)
	return s.result(outcome, err)
}

func (s *Server) usage(r *http.Request, a *answer) (err error) {
	now := s.clock.Now()
	u, err := s.limiter.Usage(now, account(r))
	if err != nil {
		return err
	}
	a.out, err = appendJSON(a.out, wireUsage(now, &u))
	return err
}

func (s *Server) list(r *http.Request, a *answer) error {
	page, err := parsePage(r.URL.RawQuery)
	if err != nil {
		return err
	}
	now := s.clock.Now()
	usages, more, err := s.limiter.List(now, page.namespace, page.after, page.limit)
	if err != nil {
		return err
	}
	answer := httpv1.Accounts{Accounts: make([]httpv1.Usage, len(usages))}
	for i := range usages {
		answer.Accounts[i] = wireUsage(now, &usages[i])
	}
	if more {
		answer.Continue = continueAfter(usages)
	}
	a.out, err = appendJSON(a.out, answer)
	return err
}

func (s *Server) openAPI(_ *http.Request, a *answer) error {
	a.contentType = yamlType
	a.out = append(a.out, httpv1.OpenAPI...)
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
	if n := len(*id); n < 1 || n > httpv1.MaxIDLength || strings.IndexFunc(*id, notInID) >= 0 {
		return "", httpv1.InvalidField.Problem(fmt.Sprintf("%s must be 1 to %d characters of A-Z, a-z, 0-9 and ._:-.", field, httpv1.MaxIDLength))
	}
	return *id, nil
}

func notInID(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') &&
		r != '.' && r != '_' && r != ':' && r != '-'
}

// result makes an answer of the outcome of a commit or release.
func (s *Server) result(o limiter.Outcome, err error) (encoder, error) {
	if err != nil {
		return nil, err
	}
	s.metrics.ended(o)
	return &httpv1.Result{Outcome: outcomes[o]}, nil
}

// page is what a list is asked for.
type page struct {
	namespace string
	after     limiter.Key
	limit     int
}

// parsePage reads the parameters of a list.
func parsePage(rawQuery string) (page, error) {
	p := page{limit: httpv1.DefaultPageSize}
	query, err := url.ParseQuery(rawQuery)
	if err != nil {
		return p, httpv1.MalformedRequest.Problem("The query cannot be read: " + err.Error() + ".")
	}
	for name, values := range query {
		switch value := values[len(values)-1]; name {
		case "namespace":
			p.namespace = value
		case "limit":
			if p.limit, err = strconv.Atoi(value); err != nil || p.limit < 1 || p.limit > httpv1.MaxPageSize {
				return p, httpv1.InvalidField.Problem(fmt.Sprintf("limit must be an integer from 1 to %d.", httpv1.MaxPageSize))
			}
		case "continue":
			token, err := base64.RawURLEncoding.DecodeString(value)
			namespace, name, ok := strings.Cut(string(token), "/")
			if err != nil || !ok {
				return p, httpv1.InvalidField.Problem("continue must be what the page before returned.")
			}
			p.after = limiter.Key{Namespace: namespace, Name: name}
		default:
			return p, httpv1.MalformedRequest.Problem(fmt.Sprintf("There is no parameter %q; the parameters are namespace, limit and continue.", name))
		}
	}
	return p, nil
}

// continueAfter is the token for the page after this one.
func continueAfter(page []limiter.Usage) string {
	if len(page) == 0 {
		return ""
	}
	last := page[len(page)-1].Key
	return base64.RawURLEncoding.EncodeToString([]byte(last.Namespace + "/" + last.Name))
}

func appendJSON(b []byte, v any) ([]byte, error) {
	encoded, err := json.Marshal(v)
	return append(append(b, encoded...), '\n'), err
}
