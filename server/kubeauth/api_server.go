package kubeauth

import (
	"context"
	"slices"
	"time"

	"github.com/go-logr/logr"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
)

// The resource that rights are about.
const (
	apiGroup    = "sluice.dev"
	apiResource = "mailaccounts"
)

// keysPath is where the API server publishes the keys that it verifies tokens with. All
// ServiceAccounts may read it.
const keysPath = "/openid/v1/jwks"

// apiServer asks the API server of Kubernetes.
type apiServer struct {
	client   *rest.RESTClient
	audience string
	clock    func() time.Time
	tokens   kindOfReview
	rights   kindOfReview
}

// kindOfReview is what all reviews of one kind share.
type kindOfReview struct {
	breaker *breaker
	metrics *reviewMetrics
}

func newAPIServer(
	config *rest.Config, audience string, clock func() time.Time, log logr.Logger, m *metrics,
) (*apiServer, error) {
	c := rest.CopyConfig(config)
	c.QPS, c.RateLimiter, c.Timeout = -1, nil, 0 // the lanes and the flights bound both
	// On HTTP/2 all calls would share one connection. If that breaks half-open, all of them hang,
	// new ones too, until a ping notices. In HTTP/1.1 a call that times out closes its own.
	c.NextProtos = []string{"http/1.1"}
	c.NegotiatedSerializer = scheme.Codecs.WithoutConversion()
	client, err := rest.UnversionedRESTClientFor(c)
	if err != nil {
		return nil, err
	}
	kind := func(name string, m *reviewMetrics) kindOfReview {
		return kindOfReview{&breaker{kind: name, clock: clock, log: log}, m}
	}
	return &apiServer{
		client: client, audience: audience, clock: clock,
		tokens: kind("token", &m.tokens), rights: kind("access", &m.rights),
	}, nil
}

// reviewToken returns who holds a token. It is nil if the API server says that nobody does.
func (s *apiServer) reviewToken(
	ctx context.Context, token string,
) (*authenticationv1.UserInfo, error) {
	ask := &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{
		Token: token, Audiences: []string{s.audience},
	}}
	answer := &authenticationv1.TokenReview{}
	err := s.review(s.tokens, func() (allowed bool, err error) {
		err = s.client.Post().AbsPath("/apis/authentication.k8s.io/v1/tokenreviews").
			Body(ask).MaxRetries(0).Do(ctx).Into(answer)
		// A server that does not know of audiences does not repeat ours.
		return answer.Status.Authenticated &&
			slices.Contains(answer.Status.Audiences, s.audience), err
	})
	switch {
	case err != nil:
		return nil, err
	case !answer.Status.Authenticated || !slices.Contains(answer.Status.Audiences, s.audience):
		return nil, nil
	}
	return &answer.Status.User, nil
}

// reviewRight reports whether a subject has a right. Extra is not sent: it differs between the pods
// and tokens of a ServiceAccount, and the answer is used for all of them.
func (s *apiServer) reviewRight(ctx context.Context, of *subject, q question) (bool, error) {
	ask := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		ResourceAttributes: &authorizationv1.ResourceAttributes{
			Group: apiGroup, Resource: apiResource,
			Verb: q.verb, Namespace: q.namespace, Name: q.name,
		},
		User: of.user, UID: of.uid, Groups: of.groups,
	}}
	answer := &authorizationv1.SubjectAccessReview{}
	var allowed bool
	err := s.review(s.rights, func() (bool, error) {
		err := s.client.Post().AbsPath("/apis/authorization.k8s.io/v1/subjectaccessreviews").
			Body(ask).MaxRetries(0).Do(ctx).Into(answer)
		allowed = err == nil && answer.Status.Allowed && !answer.Status.Denied
		return allowed, err
	})
	return allowed, err
}

// review makes a call, unless calls fail. Its error is problemUnavailable, whatever is wrong: also
// that Sluice may not ask, as then, too, nobody says no.
func (s *apiServer) review(kind kindOfReview, call func() (allowed bool, err error)) error {
	if !kind.breaker.claim() {
		return problemUnavailable
	}
	late := time.AfterFunc(lateAfter, func() { kind.breaker.late.Add(1) })
	began := s.clock()
	allowed, err := call()
	if !late.Stop() {
		kind.breaker.late.Add(-1)
	}
	kind.metrics.observe(s.clock().Sub(began), allowed, err)
	kind.breaker.ended(began, err)
	if err != nil {
		return problemUnavailable
	}
	return nil
}

// fetchKeys reads the keys, as JSON.
func (s *apiServer) fetchKeys(ctx context.Context) ([]byte, error) {
	return s.client.Get().AbsPath(keysPath).
		SetHeader("Accept", "application/jwk-set+json, application/json").
		MaxRetries(0).Do(ctx).Raw()
}
