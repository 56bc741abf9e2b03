package server

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"

	"github.com/sluice-mail/sluice/api/httpv1"
	"github.com/sluice-mail/sluice/limiter"
)

func (s *Server) list(q *request, r *response) error {
	page, err := parsePage(q.http.URL.RawQuery)
	if err != nil {
		return err
	}
	if err := s.authorize(q, verbList, limiter.Key{Namespace: page.namespace}); err != nil {
		return err
	}
	if err := q.admit(); err != nil {
		return err
	}
	if !r.share.acquire(s.responses, usageBytes*min(page.limit, s.limiter.Stats().Accounts)) {
		return errResponses
	}
	now := s.clock.Now()
	usages, more, err := s.limiter.List(
		q.http.Context(), now, page.namespace, page.after, page.limit,
	)
	if err != nil {
		return err
	}
	out := httpv1.ListResponse{Accounts: make([]httpv1.Usage, len(usages))}
	for i := range usages {
		out.Accounts[i] = convertUsage(now, &usages[i])
	}
	if more {
		out.Continue = continueAfter(usages)
	}
	r.body, err = appendJSON(r.body, out)
	return err
}

// page says which page of the list a caller asks for.
type page struct {
	namespace string
	after     limiter.Key
	limit     int
}

// parsePage reads the parameters of the list. An empty namespace means all namespaces, an empty
// continue the first page.
func parsePage(rawQuery string) (page, error) {
	p := page{limit: httpv1.DefaultPageSize}
	query, err := parseQuery(rawQuery)
	if err != nil {
		return p, err
	}
	for _, q := range query {
		switch q.name {
		case "namespace":
			p.namespace = q.value
		case "limit":
			p.limit, err = strconv.Atoi(q.value)
			if err != nil || p.limit < 1 || p.limit > httpv1.MaxPageSize {
				return p, httpv1.InvalidField.Problem(fmt.Sprintf(
					"limit must be an integer from 1 to %d.", httpv1.MaxPageSize))
			}
		case "continue":
			if p.after, err = parseContinue(q.value); err != nil {
				return p, err
			}
		default:
			return p, listInputs.refuse(q.name, "")
		}
	}
	return p, nil
}

// parseContinue reads a token: the page begins behind the account that it names.
func parseContinue(token string) (after limiter.Key, err error) {
	if token == "" {
		return after, nil
	}
	text, err := base64.RawURLEncoding.DecodeString(token)
	namespace, name, ok := strings.Cut(string(text), "/")
	if err != nil || !ok {
		return after, httpv1.InvalidField.Problem(
			"continue must be what the page before returned.")
	}
	return limiter.Key{Namespace: namespace, Name: name}, nil
}

// continueAfter returns the token for the next page.
func continueAfter(page []limiter.Usage) string {
	if len(page) == 0 {
		return ""
	}
	last := page[len(page)-1].Key
	return base64.RawURLEncoding.EncodeToString([]byte(last.Namespace + "/" + last.Name))
}
