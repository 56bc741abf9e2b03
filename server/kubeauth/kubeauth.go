package kubeauth

import (
	"context"
	"errors"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/singleflight"
	"k8s.io/client-go/rest"
)

// How long answers are used. See docs/design/0023.
const (
	// The API server itself remembers a token for 10 s. Together that is 2 minutes.
	tokenFor    = 110 * time.Second
	refusedFor  = 10 * time.Second
	allowFor    = 5 * time.Minute
	denyFor     = 30 * time.Second
	staleFor    = 15 * time.Minute // while the API server is unavailable
	retryAfter  = 5 * time.Second  // between attempts to refresh one answer ahead
	reviewFor   = 10 * time.Second // the longest that a review takes
	patience    = 3 * time.Second  // the longest that a caller waits
	lateAfter   = 2 * time.Second  // after which a review is a sign of an API server that hangs
	probeEvery  = time.Second      // while the API server is unavailable
	logDownEach = 10 * time.Second
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
// concurrent use. Its errors are an httpv1.Problem each.
type Auth struct {
	audience string
	clock    func() time.Time
	api      *apiServer
	metrics  *metrics

	keys         *keys
	tokens       *tokenCache
	tokenFlights singleflight.Group
	verified     lane // for tokens whose signature is good
	unverified   lane // for tokens that only the API server can verify
	subjects     *subjects
	rights       lane
	shares       tokenShares
	screened     *limiters
}

// Caller is who holds a token. It is an alias, the same as server.Caller.
type Caller = interface {
	// User is the name of the caller: system:serviceaccount:<namespace>:<name>.
	User() string
}

// New returns an Auth. It asks nothing of the API server yet.
func New(o Options) (*Auth, error) { return newAuth(o, time.Now) }

func newAuth(o Options, clock func() time.Time) (*Auth, error) {
	if o.Config == nil || o.Audience == "" {
		return nil, errors.New("kubeauth needs the config of an API server, and an audience")
	}
	m := newMetrics()
	api, err := newAPIServer(o.Config, o.Audience, clock, o.Log, m)
	if err != nil {
		return nil, err
	}
	a := &Auth{
		audience:   o.Audience,
		clock:      clock,
		api:        api,
		metrics:    m,
		keys:       newKeys(api.fetchKeys, clock, o.Log),
		tokens:     newTokenCache(),
		verified:   newLane(verifiedInFlight),
		unverified: newLane(unverifiedInFlight),
		subjects:   newSubjects(),
		rights:     newLane(rightsInFlight),
		screened:   newLimiters(screenedPerSecond, screenedBurst),
	}
	a.shares.init()
	if o.Registry != nil {
		m.register(o.Registry, a)
	}
	return a, nil
}

// Start keeps the keys that the API server signs tokens with up to date, until the context ends.
// The Auth works without it and before it, but asks for keys only when it misses one.
func (a *Auth) Start(ctx context.Context) error {
	a.keys.keepFetching(ctx)
	return nil
}
