package server

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/sluice-mail/sluice/api/httpv1"
)

// inputs are the names of what an operation takes: parameters of its query, and fields of its body.
type inputs struct{ query, body []string }

// withoutQuery makes the route's endpoint refuse all parameters. A caller who sends one would think
// that it counts, such as the cost of check?cost=30.
func (r *route) withoutQuery() endpoint {
	serve, inputs, pattern := r.serve, r.inputs, r.pattern
	return func(s *Server, q *request, r *response) error {
		raw := q.http.URL.RawQuery
		if raw == "" {
			return serve(s, q, r)
		}
		query, err := parseQuery(raw)
		if err != nil {
			return err
		}
		if len(query) > 0 {
			return inputs.refuse(query[0].name, pattern)
		}
		return serve(s, q, r) // the query was only &
	}
}

// refuse returns the problem of a parameter that an operation does not take.
func (in inputs) refuse(name, pattern string) error {
	switch {
	case slices.Contains(in.body, name):
		return malformed(
			"The query cannot have %q: send it in the body, as a field of its JSON.", name)
	case strings.Contains(pattern, "{"+name+"}"):
		return malformed("The query cannot have %q: it is a part of the path.", name)
	case len(in.query) > 0:
		last := len(in.query) - 1
		return malformed("There is no parameter %s; the parameters are %s and %s.",
			httpv1.Named(name), strings.Join(in.query[:last], ", "), in.query[last])
	}
	return malformed("There is no parameter %s: this call takes none.", httpv1.Named(name))
}

func malformed(format string, args ...any) error {
	return httpv1.MalformedRequest.Problem(fmt.Sprintf(format, args...))
}

// parameter is one parameter of a query.
type parameter struct{ name, value string }

// parseQuery returns the parameters of a query, in their order. Each may come once.
func parseQuery(raw string) (parameters []parameter, err error) {
	for raw != "" {
		var part string
		part, raw, _ = strings.Cut(raw, "&")
		if part == "" {
			continue
		}
		if strings.Contains(part, ";") {
			return nil, malformed(
				"The query cannot be read: separate parameters by &, and write ; as %%3B.")
		}
		name, value, _ := strings.Cut(part, "=")
		var p parameter
		if p.name, err = url.QueryUnescape(name); err == nil {
			p.value, err = url.QueryUnescape(value)
		}
		if err != nil {
			return nil, malformed("The query cannot be read: after %% come two hexadecimal digits.")
		}
		same := func(other parameter) bool { return other.name == p.name }
		if slices.ContainsFunc(parameters, same) {
			return nil, malformed("The parameter %s comes twice.", httpv1.Named(p.name))
		}
		parameters = append(parameters, p)
	}
	return parameters, nil
}
