package kubeauth_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/client-go/rest"

	"github.com/sluice-mail/sluice/limiter"
	"github.com/sluice-mail/sluice/server/kubeauth"
)

// fakeAPI is an API server that can be slow, gone and wrong at an exact time. It is for faults and
// for time; what the real one says is tested with the real one.
type fakeAPI struct {
	testing.TB
	*kubeauth.Auth

	mu      sync.Mutex
	latency time.Duration
	fault   func(*http.Request) (*http.Response, error) // how reviews fail, if they do
	deleted map[string]bool                             // users
	rights  map[right]bool
	reviews map[string]int // by path
	asked   map[right]int
	tokens  int
}

// right is one that a user has. An empty name is all accounts of the namespace.
type right struct{ user, verb, namespace, name string }

var signingKey = sync.OnceValue(func() *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	return key
})

func newFakeAPI(t testing.TB, log logr.Logger, registry prometheus.Registerer) *fakeAPI {
	t.Helper()
	f := &fakeAPI{
		TB: t, deleted: map[string]bool{}, rights: map[right]bool{},
		reviews: map[string]int{}, asked: map[right]int{},
	}
	var err error
	f.Auth, err = kubeauth.New(kubeauth.Options{
		Config: &rest.Config{
			Host:          "http://api",
			WrapTransport: func(http.RoundTripper) http.RoundTripper { return f },
		},
		Audience: audience, Log: log, Registry: registry,
	})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// inBubble runs a test with a fake API server, in which time passes when all wait.
func inBubble(t *testing.T, test func(t *testing.T, f *fakeAPI)) {
	t.Helper()
	signingKey()
	synctest.Test(t, func(t *testing.T) {
		defer time.Sleep(15 * time.Second) // until no review is in flight
		test(t, newFakeAPI(t, logr.Discard(), nil))
	})
}

func (f *fakeAPI) RoundTrip(r *http.Request) (*http.Response, error) {
	f.mu.Lock()
	f.reviews[r.URL.Path]++
	latency, fault := f.latency, f.fault
	f.mu.Unlock()
	if latency > 0 {
		select {
		case <-time.After(latency):
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
	if fault != nil {
		return fault(r)
	}
	switch r.URL.Path {
	case keysPath:
		key := jose.JSONWebKey{Key: signingKey().Public(), KeyID: "1", Use: "sig"}
		return f.answer(r, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{key}})
	case tokenPath:
		return f.reviewToken(r)
	default:
		return f.reviewAccess(r)
	}
}

func (f *fakeAPI) answer(r *http.Request, object any) (*http.Response, error) {
	text, err := json.Marshal(object)
	if err != nil {
		f.Error(err)
	}
	return response(r, 201, string(text)), nil
}

func (f *fakeAPI) reviewToken(r *http.Request) (*http.Response, error) {
	review := &authenticationv1.TokenReview{}
	if err := json.NewDecoder(r.Body).Decode(review); err != nil {
		f.Error(err)
	}
	jws, err := jose.ParseSignedCompact(review.Spec.Token, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		return f.answer(r, review)
	}
	payload, err := jws.Verify(signingKey().Public())
	if err != nil {
		return f.answer(r, review)
	}
	var claims struct {
		Subject string `json:"sub"`
	}
	if err := json.Unmarshal(payload, &claims); err != nil {
		f.Error(err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	review.Status = authenticationv1.TokenReviewStatus{
		Authenticated: !f.deleted[claims.Subject],
		Audiences:     review.Spec.Audiences,
		User:          authenticationv1.UserInfo{Username: claims.Subject},
	}
	return f.answer(r, review)
}

func (f *fakeAPI) reviewAccess(r *http.Request) (*http.Response, error) {
	review := &authorizationv1.SubjectAccessReview{}
	if err := json.NewDecoder(r.Body).Decode(review); err != nil {
		f.Error(err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	a := review.Spec.ResourceAttributes
	q := right{review.Spec.User, a.Verb, a.Namespace, a.Name}
	f.asked[q]++
	wide := q
	wide.name = ""
	review.Status.Allowed = f.rights[q] || f.rights[wide]
	return f.answer(r, review)
}

// set changes what the API server does.
func (f *fakeAPI) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

func (f *fakeAPI) count(path string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.reviews[path]
}

func (f *fakeAPI) user(name string) string { return "system:serviceaccount:mail:" + name }

// token signs a token that nobody else has, of an hour.
func (f *fakeAPI) token(name string) string {
	f.Helper()
	f.set(func() { f.tokens++ })
	signer, err := jose.NewSigner(jose.SigningKey{
		Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: signingKey(), KeyID: "1"},
	}, nil)
	if err != nil {
		f.Fatal(err)
	}
	jws, err := signer.Sign(fmt.Appendf(nil, `{"aud":["sluice"],"sub":%q,"exp":%d,"jti":"%d",`+
		`"kubernetes.io":%q}`, f.user(name), time.Now().Add(time.Hour).Unix(), f.tokens,
		strings.Repeat("x", 500))) // a token of Kubernetes has 1.1 KB
	if err != nil {
		f.Fatal(err)
	}
	token, err := jws.CompactSerialize()
	if err != nil {
		f.Fatal(err)
	}
	return token
}

// allow gives a right to use an account of the namespace marketing, or takes it away.
func (f *fakeAPI) allow(caller, name string, allowed bool) {
	f.set(func() { f.rights[right{f.user(caller), "use", "marketing", name}] = allowed })
}

func (f *fakeAPI) mustAuthenticate(token string) kubeauth.Caller {
	f.Helper()
	caller, err := f.Authenticate(f.Context(), token)
	if err != nil {
		f.Fatal(err)
	}
	return caller
}

func (f *fakeAPI) use(caller kubeauth.Caller, namespace, name string) error {
	return f.Authorize(f.Context(), caller, "use", limiter.Key{Namespace: namespace, Name: name})
}

// took returns how long something takes.
func took(do func()) time.Duration {
	began := time.Now()
	do()
	return time.Since(began)
}

// hang is a fault: no answer comes.
func hang(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

// status is a fault: an answer with a status.
func status(code int) func(*http.Request) (*http.Response, error) {
	return func(r *http.Request) (*http.Response, error) {
		return response(r, code, fmt.Sprintf(
			`{"kind":"Status","apiVersion":"v1","status":"Failure","code":%d}`, code)), nil
	}
}
