package server

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/sluice-mail/sluice/api/httpv1"
	"github.com/sluice-mail/sluice/limiter"
)

func (s *Server) list(r *http.Request, a *answer) error {
	page, err := parsePage(r.URL.RawQuery)
	if err != nil {
		return err
	}
	a.now = s.clock.Now()
	usages, more, err := s.limiter.List(a.now, page.namespace, page.after, page.limit)
	if err != nil {
		return err
	}
	out := httpv1.Accounts{Accounts: make([]httpv1.Usage, len(usages))}
	for i := range usages {
		out.Accounts[i] = wireUsage(a.now, &usages[i])
	}
	if more {
		out.Continue = continueAfter(usages)
	}
	a.out, err = appendJSON(a.out, out)
	return err
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
