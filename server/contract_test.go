package server_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/sluice-mail/sluice/api/httpv1"
	"github.com/sluice-mail/sluice/server"
)

// contract is openapi.yaml, with the parts of it that the tests have seen.
var contract = loadContract()

type openAPI struct {
	doc  *openapi3.T
	mu   sync.Mutex
	seen map[string]bool // "operationId status"
}

func loadContract() *openAPI {
	doc, err := openapi3.NewLoader().LoadFromData(httpv1.OpenAPI)
	if err == nil {
		err = doc.Validate(context.Background())
	}
	if err != nil {
		panic(fmt.Sprintf("openapi.yaml: %v", err))
	}
	return &openAPI{doc: doc, seen: map[string]bool{}}
}

// hold fails the test if the contract does not promise this response, or if the contract and the
// server disagree about whether the request is valid.
func (c *openAPI) hold(t *testing.T, r request, got response) {
	t.Helper()
	in := c.input(t, r)
	if err := validateResponse(in, got); err != nil {
		t.Errorf("%s %s: the response %d %s breaks the contract: %v", r.method, r.path, got.status,
			got.body, err)
	}
	if in.Route.Operation.OperationID == "" {
		return
	}
	c.mu.Lock()
	c.seen[fmt.Sprint(in.Route.Operation.OperationID, " ", got.status)] = true
	c.mu.Unlock()
	c.holdRequest(t, r, got, openapi3filter.ValidateRequest(t.Context(), in))
}

// holdRequest wants the schema and the server to agree on whether a request is valid.
func (c *openAPI) holdRequest(t *testing.T, r request, got response, invalid error) {
	t.Helper()
	switch got.status {
	// nothing that a schema knows of
	case http.StatusUnauthorized, http.StatusForbidden,
		http.StatusRequestEntityTooLarge, http.StatusInternalServerError:
		return
	case http.StatusBadRequest, http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity:
		// Of all problems in this range this one alone speaks of the account, not of the request.
		valid := got.problem().Type == httpv1.CostExceedsLimit.Name || r.beyondSchema
		if valid != (invalid == nil) {
			t.Errorf("%s %s %s was refused: %s\nthe schema says: %v", r.method, r.path, r.body,
				got.body, invalid)
		}
	default:
		if invalid != nil {
			t.Errorf("%s %s %s was accepted, but the schema refuses it: %v", r.method, r.path,
				r.body, invalid)
		}
	}
}

// validateResponse returns what is wrong with a response.
func validateResponse(in *openapi3filter.RequestValidationInput, got response) error {
	out := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: in,
		Status:                 got.status,
		Header:                 got.header,
		Body:                   io.NopCloser(strings.NewReader(got.body)),
		Options:                &openapi3filter.Options{IncludeResponseStatus: true},
	}
	err := openapi3filter.ValidateResponse(context.Background(), out)
	switch {
	case err != nil:
		return err
	case in.Request.Method == http.MethodHead && got.body != "":
		return errors.New("a response to HEAD has a body")
	case in.Request.Method != http.MethodHead && got.status >= 400 &&
		got.problem().Status != got.status:
		return errors.New("the status in the body is another one")
	}
	return nil
}

// input returns a request as the validator wants it. If there is no such operation, the response
// must be a problem.
func (c *openAPI) input(t *testing.T, r request) *openapi3filter.RequestValidationInput {
	t.Helper()
	target, _ := url.Parse(r.path)
	if target == nil {
		target = &url.URL{} // not a path, so no operation's
	}
	req := &http.Request{
		Method: r.method, URL: target, Header: r.header.Clone(),
		Body: io.NopCloser(strings.NewReader(r.body)),
	}
	refused := &openapi3.Responses{}
	refused.Set("default", c.doc.Components.Responses["Problem"])
	route := &routers.Route{
		Spec: c.doc, Method: r.method, PathItem: &openapi3.PathItem{},
		Operation: &openapi3.Operation{Responses: refused},
	}
	in := &openapi3filter.RequestValidationInput{
		Request: req, Route: route, Options: &openapi3filter.Options{
			SkipSettingDefaults: true,
			// Whether a token is good is not for the schema to say.
			AuthenticationFunc: openapi3filter.NoopAuthenticationFunc,
		},
	}
	for template, item := range c.doc.Paths.Map() {
		method := r.method
		// the contract leaves unsaid that where there is GET there is HEAD
		if method == http.MethodHead {
			method = http.MethodGet
		}
		params, ok := matchPath(template, target.EscapedPath())
		if ok && item.GetOperation(method) != nil {
			route.Path, route.PathItem, route.Operation = template, item, item.GetOperation(method)
			in.PathParams = params
		}
	}
	return in
}

// matchPath reports whether a path matches a template, and returns its parameters.
func matchPath(template, path string) (map[string]string, bool) {
	want, got := strings.Split(template, "/"), strings.Split(path, "/")
	if len(want) != len(got) {
		return nil, false
	}
	params := map[string]string{}
	for i := range want {
		if name, ok := strings.CutPrefix(want[i], "{"); ok && got[i] != "" {
			params[strings.TrimSuffix(name, "}")], _ = url.PathUnescape(got[i])
		} else if want[i] != got[i] {
			return nil, false
		}
	}
	return params, true
}

// unseen returns the responses, by status, that the contract promises and no test has seen.
func (c *openAPI) unseen() (missing []string) {
	for _, item := range c.doc.Paths.Map() {
		for _, operation := range item.Operations() {
			for status := range operation.Responses.Map() {
				response := operation.OperationID + " " + status
				if status != "default" && !c.seen[response] {
					missing = append(missing, response)
				}
			}
		}
	}
	slices.Sort(missing)
	return missing
}

func TestRoutesAndOperationsAreTheSame(t *testing.T) {
	var documented []server.Operation
	for path, item := range contract.doc.Paths.Map() {
		for method, operation := range item.Operations() {
			documented = append(documented, server.Operation{
				Name: operation.OperationID, Method: method, Pattern: path,
				Query: queryOf(operation), Body: bodyOf(operation),
			})
		}
	}
	byName := cmpopts.SortSlices(func(a, b server.Operation) bool { return a.Name < b.Name })
	inOrder := cmpopts.SortSlices(func(a, b string) bool { return a < b })
	if diff := cmp.Diff(documented, server.Operations(), byName, inOrder); diff != "" {
		t.Errorf("openapi.yaml (-) and the route table (+) differ:\n%s", diff)
	}
}

// queryOf returns the names of an operation's parameters in the query.
func queryOf(operation *openapi3.Operation) (names []string) {
	for _, p := range operation.Parameters {
		if p.Value.In == openapi3.ParameterInQuery {
			names = append(names, p.Value.Name)
		}
	}
	return names
}

// bodyOf returns the names of an operation's fields in the body, with those of the items of a list.
func bodyOf(operation *openapi3.Operation) (names []string) {
	if operation.RequestBody == nil {
		return nil
	}
	body := operation.RequestBody.Value.Content["application/json"].Schema.Value
	for name, field := range body.Properties {
		names = append(names, name)
		if field.Value.Items != nil {
			names = slices.AppendSeq(names, maps.Keys(field.Value.Items.Value.Properties))
		}
	}
	return names
}

func TestProblemsAreDocumented(t *testing.T) {
	kinds := []httpv1.ProblemKind{
		httpv1.MalformedRequest, httpv1.Unauthenticated, httpv1.Forbidden,
		httpv1.AccountNotFound, httpv1.ReservationNotFound,
		httpv1.PathNotFound, httpv1.MethodNotAllowed,
		httpv1.ReservationConflict, httpv1.BodyTooLarge, httpv1.UnsupportedMediaType,
		httpv1.InvalidField, httpv1.CostExceedsLimit,
		httpv1.InternalError, httpv1.NotReady, httpv1.StoreUnavailable, httpv1.Overloaded,
	}
	known := map[any]bool{}
	for _, k := range kinds {
		known[httpv1.ProblemBase+k.Name] = true
	}
	documented := map[any]bool{}
	problem := contract.doc.Components.Schemas["Problem"].Value
	for _, name := range problem.Properties["type"].Value.Enum {
		documented[name] = true
	}
	if diff := cmp.Diff(known, documented); diff != "" {
		t.Errorf("the kinds of problems (-) and openapi.yaml (+) differ:\n%s", diff)
	}
}

// TestTheContractRefuses wants the validator to refuse responses that are nearly right: a validator
// that accepts everything proves nothing.
func TestTheContractRefuses(t *testing.T) {
	const (
		check = "/v1/accounts/marketing/newsletter/check"
		usage = "/v1/accounts/marketing/newsletter"
		allow = `{"decision":"Allow","remaining":1,"reservation":{"id":"a","cost":1,` +
			`"expiresAt":"2026-11-23T08:02:00.000Z"}}`
		denial = `{"decision":"Defer","deferredUntil":"2026-11-23T08:01:12.345Z",` +
			`"retryAfterMillis":12345,` +
			`"exhausted":[{"window":"minute","limit":30,"used":28,"inFlight":2,` +
			`"freeAt":"2026-11-23T08:01:12.345Z"}]}`
		problem = `{"type":"https://sluice.dev/problems/not-ready","title":"a","status":503,` +
			`"detail":"b"}`
	)
	jsonBody := map[string]string{"Content-Type": "application/json"}
	problemBody := map[string]string{"Content-Type": "application/problem+json"}
	for name, c := range map[string]struct {
		method, path string
		status       int
		header       map[string]string
		body         string
	}{
		"a field more": {
			"POST", check, 200, jsonBody, strings.Replace(allow, `{`, `{"more":1,`, 1),
		},
		"a field more in the depth": {
			"POST", check, 200, jsonBody, strings.Replace(allow, `"cost"`, `"more":1,"cost"`, 1),
		},
		"a field less": {
			"POST", check, 200, jsonBody,
			strings.Replace(denial, `"retryAfterMillis":12345,`, "", 1),
		},
		"an Allow without a reservation": {
			"POST", check, 200, jsonBody, `{"decision":"Allow","remaining":1}`,
		},
		"an Allow with a wait": {
			"POST", check, 200, jsonBody, strings.Replace(denial, "Defer", "Allow", 1),
		},
		"a time without milliseconds": {
			"POST", check, 200, jsonBody, strings.ReplaceAll(denial, ".345Z", "Z"),
		},
		"a time not in UTC": {
			"POST", check, 200, jsonBody, strings.ReplaceAll(denial, "Z", "+00:00"),
		},
		"a window that is none": {
			"POST", check, 200, jsonBody, strings.Replace(denial, "minute", "week", 1),
		},
		"a Retry-After of no number": {
			"POST", check, 200,
			map[string]string{"Content-Type": "application/json", "Retry-After": "soon"}, denial,
		},
		"a Retry-After of 0": {
			"POST", check, 200,
			map[string]string{"Content-Type": "application/json", "Retry-After": "0"}, denial,
		},
		"another content type": {
			"POST", check, 200, map[string]string{"Content-Type": "text/plain"}, allow,
		},
		"no content type":         {"POST", check, 200, nil, allow},
		"a problem as plain JSON": {"POST", check, 404, jsonBody, problem},
		"a problem of a kind not known": {
			"POST", check, 404, problemBody, strings.Replace(problem, "not-ready", "oops", 1),
		},
		"a problem of another status": {"POST", check, 404, problemBody, problem},
		"a 503 without Retry-After":   {"POST", check, 503, problemBody, problem},
		"a usage of two windows": {
			"GET", usage, 200, jsonBody,
			`{"namespace":"a","name":"b","behavior":"Defer","suspended":false,"inFlight":0,` +
				`"windows":[{"window":"minute","used":0},{"window":"hour","used":0}]}`,
		},
		"plain text at an unknown path": {
			"GET", "/x", 404, map[string]string{"Content-Type": "text/plain"}, "404 page not found",
		},
		"a redirect": {"GET", "/x", 302, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			header := http.Header{}
			for field, value := range maps.All(c.header) {
				header.Set(field, value)
			}
			in := contract.input(t, request{method: c.method, path: c.path})
			if err := validateResponse(in, response{t, c.status, header, c.body}); err == nil {
				t.Error("the contract allows it")
			}
		})
	}
}
