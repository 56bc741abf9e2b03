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
	pattern string // as in openapi.yaml
	serve   endpoint
	inputs  inputs
	needs   right
	pool    poolName
	large   bool // bodies and responses may be large
}

// What the operations take. The items of a batch have the names of their accounts, too.
var (
	checkInputs        = inputs{body: []string{"id", "cost", "ttlSeconds"}}
	commitInputs       = inputs{body: []string{"reservation", "cost"}}
	releaseInputs      = inputs{body: []string{"reservation"}}
	checkBatchInputs   = checkInputs.inItems("checks")
	commitBatchInputs  = commitInputs.inItems("commits")
	releaseBatchInputs = releaseInputs.inItems("releases")
	listInputs         = inputs{query: []string{"namespace", "limit", "continue"}}
)

// inItems returns the inputs of a batch whose items have these inputs.
func (in inputs) inItems(list string) inputs {
	return inputs{body: append([]string{list, "namespace", "name"}, in.body...)}
}

const (
	listPath    = "/v1/accounts"
	accountPath = "/v1/accounts/{namespace}/{name}"
)

var routes = []route{
	{
		name: "check", method: http.MethodPost, pattern: accountPath + "/check",
		serve: handle((*Server).check), inputs: checkInputs, needs: verbUse, pool: checkPool,
	},
	{
		name: "commit", method: http.MethodPost, pattern: accountPath + "/commit",
		serve: handle((*Server).commit), inputs: commitInputs, needs: verbUse, pool: endPool,
	},
	{
		name: "release", method: http.MethodPost, pattern: accountPath + "/release",
		serve: handle((*Server).release), inputs: releaseInputs, needs: verbUse, pool: endPool,
	},
	{
		name: "getAccount", method: http.MethodGet, pattern: accountPath,
		serve: (*Server).usage, needs: verbGet, pool: readPool,
	},
	{
		name: "checkBatch", method: http.MethodPost, pattern: "/v1/check",
		serve: (*Server).checkBatch, inputs: checkBatchInputs,
		needs: itsOwn, pool: checkPool, large: true,
	},
	{
		name: "commitBatch", method: http.MethodPost, pattern: "/v1/commit",
		serve: (*Server).commitBatch, inputs: commitBatchInputs,
		needs: itsOwn, pool: endPool, large: true,
	},
	{
		name: "releaseBatch", method: http.MethodPost, pattern: "/v1/release",
		serve: (*Server).releaseBatch, inputs: releaseBatchInputs,
		needs: itsOwn, pool: endPool, large: true,
	},
	{
		name: "listAccounts", method: http.MethodGet, pattern: listPath,
		serve: (*Server).list, inputs: listInputs,
		needs: itsOwn, pool: readPool, large: true,
	},
	{
		name: "getOpenAPI", method: http.MethodGet, pattern: "/openapi.yaml",
		serve: (*Server).openAPI,
	},
}

// unknown is the operation of requests that no route serves.
const unknown = "unknown"

// serveFunc serves a request about an account, or about none.
type serveFunc func(http.ResponseWriter, *http.Request, limiter.Key)

// newRouter returns a router for these routes. It also serves the other methods of their paths, and
// all other paths.
func (s *Server) newRouter(routes []route) *router {
	rt := &router{notFound: s.instrumented(unknown, pathNotFound, nil, false)}
	allowed := map[string][]string{}
	for _, r := range routes {
		r.serve = r.guarded()
		serve := r.serve
		if r.inputs.query == nil {
			serve = r.withoutQuery()
		}
		res := rt.at(r.pattern)
		res.methods[r.method] = s.instrumented(r.name, serve, s.admission.pools[r.pool], r.large)
		allowed[r.pattern] = append(allowed[r.pattern], r.method)
		if r.method == http.MethodGet {
			res.methods[http.MethodHead] = res.methods[http.MethodGet]
			allowed[r.pattern] = append(allowed[r.pattern], http.MethodHead)
		}
	}
	for pattern, methods := range allowed {
		slices.Sort(methods)
		refuse := methodNotAllowed(strings.Join(methods, ", "))
		rt.at(pattern).otherMethod = s.instrumented(unknown, refuse, nil, false)
	}
	return rt
}

// ServeHTTP serves one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	serve, account := s.router.find(r)
	serve(w, r, account)
}

// loaded returns an error until the accounts are loaded.
func (s *Server) loaded() error {
	if !s.limiter.Loaded() {
		return limiter.ErrNotLoaded
	}
	return nil
}

// pathNotFound responds 404, but not before the accounts are loaded. The caller may have meant an
// account, by a name that makes another path of it, and a 404 would say that it is gone.
func pathNotFound(s *Server, _ *request, _ *response) error {
	if err := s.loaded(); err != nil {
		return err
	}
	return httpv1.PathNotFound.Problem(
		"The API is at /v1/accounts; GET /openapi.yaml describes it.")
}

func methodNotAllowed(allowed string) endpoint {
	return func(_ *Server, _ *request, r *response) error {
		r.allow = allowed
		return httpv1.MethodNotAllowed.Problem("Use " + allowed + " here.")
	}
}
