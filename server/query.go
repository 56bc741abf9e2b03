package server

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/sluice-mail/sluice/api/httpv1"
)

// inputs are the names of what a call takes: of the parameters of its query, and of the fields in
// its body.
type inputs struct{ query, body []string }

// withoutQuery makes an endpoint refuse all parameters: whoever sends one takes it for something
// that it is not, such as check?cost=30 for a cost of 30.
func (r *route) withoutQuery() endpoint {
	serve, takes, pattern := r.serve, r.takes, r.pattern
	return func(s *Server, r *http.Request, a *answer) error {
		if r.URL.RawQuery == "" {
			return serve(s, r, a)
		}
		query, err := parseQuery(r.URL.RawQuery)
		if err != nil {
			return err
		}
		if len(query) > 0 {
			return takes.refuse(query[0].name, pattern)
		}
		return serve(s, r, a) // it was & alone
	}
}

// refuse says what to do about a parameter that a call does not take.
func (t inputs) refuse(name, pattern string) error {
	switch {
	case slices.Contains(t.body, name):
		return malformed("The query cannot have %q: send it in the body, as a field of its JSON.", name)
	case strings.Contains(pattern, "{"+name+"}"):
		return malformed("The query cannot have %q: it is a part of the path.", name)
	case len(t.query) > 0:
		last := len(t.query) - 1
		return malformed("There is no parameter %q; the parameters are %s and %s.", httpv1.Excerpt(name),
			strings.Join(t.query[:last], ", "), t.query[last])
	}
	return malformed("There is no parameter %q: this call takes none.", httpv1.Excerpt(name))
}

func malformed(format string, args ...any) error {
	return httpv1.MalformedRequest.Problem(fmt.Sprintf(format, args...))
}

// parameter is one of a query.
type parameter struct{ name, value string }

// parseQuery reads the parameters of a query in their order, each of which may come once.
func parseQuery(raw string) (parameters []parameter, err error) {
	for raw != "" {
		var part string
		part, raw, _ = strings.Cut(raw, "&")
		if part == "" {
			continue
		}
		if strings.Contains(part, ";") {
			return nil, malformed("The query cannot be read: separate parameters by &, and write ; as %%3B.")
		}
		name, value, _ := strings.Cut(part, "=")
		var p parameter
		if p.name, err = url.QueryUnescape(name); err == nil {
			p.value, err = url.QueryUnescape(value)
		}
		if err != nil {
			return nil, malformed("The query cannot be read: %s.", httpv1.Excerpt(err.Error()))
		}
		if slices.ContainsFunc(parameters, func(q parameter) bool { return q.name == p.name }) {
			return nil, malformed("The parameter %q comes twice.", httpv1.Excerpt(p.name))
		}
		parameters = append(parameters, p)
	}
	return parameters, nil
}
