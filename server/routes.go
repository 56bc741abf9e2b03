package server

import (
	"net/http"
	"slices"
	"strings"

	"github.com/sluice-mail/sluice/api/httpv1"
	"github.com/sluice-mail/sluice/limiter"
)

// route is one operation of the API. The name is the operationId in openapi.yaml.
type route struct {
	name    string
	method  string
	pattern string // as openapi.yaml has it
	serve   endpoint
	takes   inputs
	large   bool // answers and bodies may be
}

// What the calls take. A batch takes the names of its items, too.
var (
	checkTakes        = inputs{body: []string{"id", "cost", "ttlSeconds"}}
	commitTakes       = inputs{body: []string{"reservation", "cost"}}
	releaseTakes      = inputs{body: []string{"reservation"}}
	checkBatchTakes   = checkTakes.inItems("checks")
	commitBatchTakes  = commitTakes.inItems("commits")
	releaseBatchTakes = releaseTakes.inItems("releases")
	listTakes         = inputs{query: []string{"namespace", "limit", "continue"}}
	nothing           = inputs{}
)

// inItems are those of a batch with such items.
func (t inputs) inItems(list string) inputs {
	return inputs{body: append([]string{list, "namespace", "name"}, t.body...)}
}

var routes = []route{
	{"check", http.MethodPost, "/v1/accounts/{namespace}/{name}/check", handle((*Server).check), checkTakes, false},
	{"commit", http.MethodPost, "/v1/accounts/{namespace}/{name}/commit", handle((*Server).commit), commitTakes, false},
	{"release", http.MethodPost, "/v1/accounts/{namespace}/{name}/release", handle((*Server).release), releaseTakes, false},
	{"getAccount", http.MethodGet, "/v1/accounts/{namespace}/{name}", (*Server).usage, nothing, false},
	{"checkBatch", http.MethodPost, "/v1/check", handleBatch[httpv1.CheckRequest, httpv1.CheckBatchRequest]("checkBatch", (*limiter.Limiter).Admits, (*Server).check), checkBatchTakes, true},
	{"commitBatch", http.MethodPost, "/v1/commit", handleBatch[httpv1.CommitRequest, httpv1.CommitBatchRequest]("commitBatch", isLoaded, (*Server).commit), commitBatchTakes, true},
	{"releaseBatch", http.MethodPost, "/v1/release", handleBatch[httpv1.ReleaseRequest, httpv1.ReleaseBatchRequest]("releaseBatch", isLoaded, (*Server).release), releaseBatchTakes, true},
	{"listAccounts", http.MethodGet, "/v1/accounts", (*Server).list, listTakes, true},
	{"getOpenAPI", http.MethodGet, "/openapi.yaml", (*Server).openAPI, nothing, false},
}

func isLoaded(l *limiter.Limiter) error {
	if !l.Loaded() {
		return limiter.ErrNotLoaded
	}
	return nil
}

// unknown is the operation of requests for no route.
const unknown = "unknown"

// handler answers a request about an account, or about none.
type handler func(http.ResponseWriter, *http.Request, limiter.Key)

// newRouter has a handler for each route, one for each path with other methods, and one for all other paths.
func (s *Server) newRouter(routes []route) *router {
	rt := &router{notFound: s.instrumented(unknown, pathNotFound, false)}
	allowed := map[string][]string{}
	for _, r := range routes {
		serve := r.serve
		if r.takes.query == nil {
			serve = r.withoutQuery()
		}
		rt.at(r.pattern).methods[r.method] = s.instrumented(r.name, serve, r.large)
		allowed[r.pattern] = append(allowed[r.pattern], r.method)
		if r.method == http.MethodGet {
			rt.at(r.pattern).methods[http.MethodHead] = rt.at(r.pattern).methods[r.method]
			allowed[r.pattern] = append(allowed[r.pattern], http.MethodHead)
		}
	}
	for pattern, methods := range allowed {
		slices.Sort(methods)
		rt.at(pattern).otherMethod = s.instrumented(unknown, methodNotAllowed(strings.Join(methods, ", ")), false)
	}
	return rt
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	serve, account := s.router.find(r)
	serve(w, r, account)
}

// pathNotFound does not say so before the accounts are loaded: a caller may have meant one, by a name that makes another
// path of it, and then a 404 would say that it is gone.
func pathNotFound(s *Server, _ *http.Request, _ *answer) error {
	if err := isLoaded(s.limiter); err != nil {
		return err
	}
	return httpv1.PathNotFound.Problem("The API is at /v1/accounts; GET /openapi.yaml describes it.")
}

func methodNotAllowed(allowed string) endpoint {
	return func(_ *Server, _ *http.Request, a *answer) error {
		a.allow = allowed
		return httpv1.MethodNotAllowed.Problem("Use " + allowed + " here.")
	}
}
