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
}

var routes = []route{
	{"check", http.MethodPost, "/v1/accounts/{namespace}/{name}/check", handle((*Server).check)},
	{"commit", http.MethodPost, "/v1/accounts/{namespace}/{name}/commit", handle((*Server).commit)},
	{"release", http.MethodPost, "/v1/accounts/{namespace}/{name}/release", handle((*Server).release)},
	{"getAccount", http.MethodGet, "/v1/accounts/{namespace}/{name}", (*Server).usage},
	{"checkBatch", http.MethodPost, "/v1/check", handleBatch[httpv1.CheckRequest, httpv1.CheckBatch]("checkBatch", (*Server).check)},
	{"commitBatch", http.MethodPost, "/v1/commit", handleBatch[httpv1.CommitRequest, httpv1.CommitBatch]("commitBatch", (*Server).commit)},
	{"releaseBatch", http.MethodPost, "/v1/release", handleBatch[httpv1.ReleaseRequest, httpv1.ReleaseBatch]("releaseBatch", (*Server).release)},
	{"listAccounts", http.MethodGet, "/v1/accounts", (*Server).list},
	{"getOpenAPI", http.MethodGet, "/openapi.yaml", (*Server).openAPI},
}

// unknown is the operation of requests for no route.
const unknown = "unknown"

// handler answers a request about an account, or about none.
type handler func(http.ResponseWriter, *http.Request, limiter.Key)

// newRouter has a handler for each route, one for each path with other methods, and one for all other paths.
func (s *Server) newRouter(routes []route) *router {
	rt := &router{notFound: s.observed(unknown, pathNotFound)}
	allowed := map[string][]string{}
	for _, r := range routes {
		rt.at(r.pattern).methods[r.method] = s.observed(r.name, r.serve)
		allowed[r.pattern] = append(allowed[r.pattern], r.method)
		if r.method == http.MethodGet {
			rt.at(r.pattern).methods[http.MethodHead] = rt.at(r.pattern).methods[r.method]
			allowed[r.pattern] = append(allowed[r.pattern], http.MethodHead)
		}
	}
	for pattern, methods := range allowed {
		slices.Sort(methods)
		rt.at(pattern).otherMethod = s.observed(unknown, methodNotAllowed(strings.Join(methods, ", ")))
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
	if !s.limiter.Loaded() {
		return limiter.ErrNotLoaded
	}
	return httpv1.PathNotFound.Problem("The API is at /v1/accounts; GET /openapi.yaml describes it.")
}

func methodNotAllowed(allowed string) endpoint {
	return func(_ *Server, _ *http.Request, a *answer) error {
		a.allow = allowed
		return httpv1.MethodNotAllowed.Problem("Use " + allowed + " here.")
	}
}
