package kubeauth

import (
	"context"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/client-go/rest"

	"github.com/sluice-mail/sluice/api/httpv1"
	"github.com/sluice-mail/sluice/limiter"
)

// Options are what an [Auth] needs.
type Options struct {
	// Config reaches the API server, as a user that may create TokenReviews and
	// SubjectAccessReviews: the ClusterRole system:auth-delegator. It is copied.
	Config *rest.Config
	// Audience is what a token must be issued for. It must not be empty.
	Audience string
	// Registry takes the metrics, if it is not nil.
	Registry prometheus.Registerer
	// Log gets a line when the API server fails, and one when it answers again.
	Log logr.Logger
}

// Auth knows callers by their tokens and their rights by RBAC. It is a server.Auth, and safe for
// concurrent use. Its errors are an [httpv1.Problem] each.
type Auth struct{}

// Caller is who holds a token. It is an alias, the same as server.Caller.
type Caller = interface {
	// User is the name of the caller: system:serviceaccount:<namespace>:<name>.
	User() string
}

// New returns an Auth. It asks nothing of the API server yet.
func New(o Options) (*Auth, error) { return &Auth{}, nil }

// Start keeps the keys that the API server signs tokens with up to date, until the context ends.
// The Auth works without it and before it, but asks for keys only when it misses one.
func (a *Auth) Start(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

// Authenticate returns who holds a bearer token.
func (a *Auth) Authenticate(context.Context, string) (Caller, error) {
	return nil, httpv1.NotReady.Problem("Tokens cannot be reviewed yet.")
}

// Authorize returns nil if the caller has the right to do what the verb says to an account; to all
// accounts of a namespace, if the account has no name; to all, if it has no namespace.
func (a *Auth) Authorize(context.Context, Caller, string, limiter.Key) error {
	return httpv1.NotReady.Problem("Rights cannot be reviewed yet.")
}

// AuthorizeCalls sets the error of each call whose account the caller has no right to. It leaves
// alone calls that have an error.
func (a *Auth) AuthorizeCalls(
	ctx context.Context, caller Caller, verb string, calls []limiter.Call,
) {
	for i := range calls {
		if calls[i].Err == nil {
			calls[i].Err = a.Authorize(ctx, caller, verb, calls[i].Key)
		}
	}
}
