package server_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/sluice-mail/sluice/limiter"
	"github.com/sluice-mail/sluice/server"
)

func TestQueries(t *testing.T) {
	const (
		limitHint    = "limit must be an integer from 1 to 1000."
		continueHint = "continue must be what the page before returned."
	)
	a := newAPI(t, limiter.Policy{}, setup{})
	for name, c := range map[string]struct {
		query        string
		beyondSchema bool
		status       int
		kind, hint   string
	}{
		"a limit of 0":     {"limit=0", false, 422, "invalid-field", limitHint},
		"a limit of 1001":  {"limit=1001", false, 422, "invalid-field", limitHint},
		"a negative limit": {"limit=-1", false, 422, "invalid-field", limitHint},
		"a limit above 64 bits": {
			"limit=9223372036854775808", false, 422, "invalid-field", limitHint,
		},
		"a limit of words":         {"limit=all", false, 422, "invalid-field", limitHint},
		"a limit of nothing":       {"limit=", false, 422, "invalid-field", limitHint},
		"a limit with a fraction":  {"limit=1.5", false, 422, "invalid-field", limitHint},
		"a continue not in base64": {"continue=*", true, 422, "invalid-field", continueHint},
		"a continue of another service": {
			"continue=aGVsbG8", true, 422, "invalid-field", continueHint,
		},
		"an unknown parameter": {
			"page=2", true, 400, "malformed-request",
			`no parameter "page"; the parameters are namespace, limit and continue.`,
		},
		"a parameter in another case": {
			"Limit=2", true, 400, "malformed-request", `no parameter "Limit"`,
		},
		"a parameter without a name": {"=2", true, 400, "malformed-request", `no parameter ""`},
		"an escape that is none": {
			"namespace=%zz", true, 400, "malformed-request", "The query cannot be read",
		},
		"an escape cut short": {
			"namespace=a%2", true, 400, "malformed-request", "The query cannot be read",
		},
		"a semicolon": {
			"namespace=a;limit=1", true, 400, "malformed-request", "separate parameters by &",
		},
		"a parameter twice": {
			"limit=1&limit=1000", true, 400, "malformed-request", `"limit" comes twice`,
		},
		"a parameter twice, the same": {
			"namespace=a&namespace=a", true, 400, "malformed-request", `"namespace" comes twice`,
		},
		"twice by an escape": {
			"limit=1&lim%69t=2", true, 400, "malformed-request", `"limit" comes twice`,
		},
		"twice, once of nothing": {
			"continue=&continue=", true, 400, "malformed-request", `"continue" comes twice`,
		},
		"the first that is wrong": {
			"a=1&b=2&c=3&d=4", true, 400, "malformed-request", `no parameter "a"`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			a := a.in(t)
			r := request{
				method: http.MethodGet, beyondSchema: c.beyondSchema,
			}.to("/v1/accounts?" + c.query)
			a.call(r).wantProblem(c.status, c.kind, c.hint)
		})
	}
}

// TestCallsWithoutParameters sends queries to all operations that take none.
func TestCallsWithoutParameters(t *testing.T) {
	a := newAPI(t, limiter.Policy{}, setup{})
	for _, operation := range server.Operations() {
		if operation.Query != nil {
			continue
		}
		named := strings.NewReplacer("{namespace}", "marketing", "{name}", "newsletter")
		path := named.Replace(operation.Pattern)
		body := ""
		if list := batchLists[operation.Pattern]; list != "" {
			body = `{"` + list + `":[]}`
		}
		refused := map[string]string{ // by the query: the hint
			"page=1": `no parameter "page": this call takes none.`,
			"page":   `no parameter "page": this call takes none.`,
			"=":      `no parameter ""`,
			"%63ost": "",
			"a;b":    "The query cannot be read",
			"%zz":    "The query cannot be read",
			"a=1&a":  `"a" comes twice`,
		}
		for _, field := range operation.Body {
			refused[field+"=30"] = `cannot have "` + field + `": send it in the body`
		}
		if strings.Contains(operation.Pattern, "{name}") {
			refused["name=newsletter"] = `cannot have "name": it is a part of the path.`
			refused["namespace=marketing"] = `cannot have "namespace": it is a part of the path.`
		}
		for query, hint := range refused {
			t.Run(operation.Name+"?"+query, func(t *testing.T) {
				r := request{
					method: operation.Method, body: body, beyondSchema: true,
				}.to(path + "?" + query)
				a.in(t).call(r).wantProblem(400, "malformed-request", hint)
			})
		}
		for _, query := range []string{"?", "?&", "?&&"} {
			t.Run(operation.Name+query+" says nothing", func(t *testing.T) {
				r := request{method: operation.Method, body: body}.to(path)
				want := a.in(t).call(r).status
				r.path += query
				if got := a.in(t).call(r); got.status != want {
					t.Errorf("got %d %s, without a query %d", got.status, got.body, want)
				}
			})
		}
	}
}

// TestARefusedQueryChangesNothing: once such a check was allowed, with a cost of 1.
func TestARefusedQueryChangesNothing(t *testing.T) {
	a := newAPI(t, limiter.Policy{}, setup{})
	for _, verb := range verbs {
		r := request{
			beyondSchema: true, body: "{}",
		}.to("/v1/accounts/marketing/newsletter/" + verb + "?cost=30")
		a.call(r).wantProblem(400, "malformed-request", `"cost"`)
	}
	a.unused()
}
