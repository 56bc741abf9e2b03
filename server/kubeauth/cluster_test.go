package kubeauth_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr/testr"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-mail/sluice/server/kubeauth"
	"github.com/sluice-mail/sluice/test/controlplane"
)

func TestMain(m *testing.M) { os.Exit(controlplane.Run(m)) }

const (
	audience   = "sluice"
	tokenPath  = "/apis/authentication.k8s.io/v1/tokenreviews"
	accessPath = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
	keysPath   = "/openid/v1/jwks"
)

// wire is what lies between an Auth and the API server. It counts requests, and answers those that
// have an intercept itself.
type wire struct {
	next      http.RoundTripper
	mu        sync.Mutex
	counts    map[string]int
	intercept map[string]func(*http.Request) (*http.Response, error)
}

func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	w.mu.Lock()
	w.counts[r.URL.Path]++
	answer := w.intercept[r.URL.Path]
	w.mu.Unlock()
	if answer != nil {
		return answer(r)
	}
	return w.next.RoundTrip(r)
}

func (w *wire) count(path string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.counts[path]
}

// on answers requests for a path itself. A nil answer lets them through again.
func (w *wire) on(path string, answer func(*http.Request) (*http.Response, error)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.intercept[path] = answer
}

// response makes a response with a status and a body of JSON.
func response(r *http.Request, status int, body string) *http.Response {
	return &http.Response{
		StatusCode: status, Status: http.StatusText(status), Proto: "HTTP/1.1", ProtoMajor: 1,
		Header:  http.Header{"Content-Type": {"application/json"}},
		Body:    io.NopCloser(bytes.NewBufferString(body)),
		Request: r, ContentLength: int64(len(body)),
	}
}

// clock is the time now, and as much more as a test wants.
type clock struct{ ahead atomic.Int64 }

func (c *clock) now() time.Time          { return time.Now().Add(time.Duration(c.ahead.Load())) }
func (c *clock) advance(d time.Duration) { c.ahead.Add(int64(d)) }

// fixture is an Auth on the real API server.
type fixture struct {
	*testing.T
	*kubeauth.Auth
	*clock
	wire *wire
	kube client.Client
}

func newFixture(t *testing.T) *fixture { return newFixtureOn(t, controlplane.Config) }

func newFixtureOn(t *testing.T, config *rest.Config) *fixture {
	t.Helper()
	f := &fixture{T: t, clock: &clock{}, kube: controlplane.Client(t), wire: newWire()}
	config = rest.CopyConfig(config)
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		f.wire.next = next
		return f.wire
	})
	var err error
	f.Auth, err = kubeauth.NewAt(kubeauth.Options{
		Config: config, Audience: audience, Log: testr.New(t),
	}, f.now)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func newWire() *wire {
	return &wire{
		counts:    map[string]int{},
		intercept: map[string]func(*http.Request) (*http.Response, error){},
	}
}

// create creates an object, and deletes it when the test ends.
func (f *fixture) create(o client.Object) {
	f.Helper()
	if err := f.kube.Create(f.Context(), o); err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { f.remove(o) })
}

func (f *fixture) remove(o client.Object) {
	f.Helper()
	err := f.kube.Delete(context.Background(), o, client.GracePeriodSeconds(0))
	if client.IgnoreNotFound(err) != nil {
		f.Error(err)
	}
}

// namespace creates a namespace with a name of its own.
func (f *fixture) namespace() string {
	f.Helper()
	n := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "kubeauth-"}}
	if err := f.kube.Create(f.Context(), n); err != nil {
		f.Fatal(err)
	}
	return n.Name
}

func (f *fixture) serviceAccount(namespace, name string) *corev1.ServiceAccount {
	f.Helper()
	sa := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	f.create(sa)
	return sa
}

// token returns a token for the audiences; for the API server itself, if there are none.
func (f *fixture) token(
	sa *corev1.ServiceAccount, bound *authenticationv1.BoundObjectReference, audiences ...string,
) string {
	f.Helper()
	seconds := int64(600)
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{
		Audiences: audiences, ExpirationSeconds: &seconds, BoundObjectRef: bound,
	}}
	if err := f.kube.SubResource("token").Create(f.Context(), sa, request); err != nil {
		f.Fatal(err)
	}
	return request.Status.Token
}

// caller authenticates a new ServiceAccount.
func (f *fixture) caller(namespace, name string) kubeauth.Caller {
	f.Helper()
	sa := f.serviceAccount(namespace, name)
	caller, err := f.Authenticate(f.Context(), f.token(sa, nil, audience))
	if err != nil {
		f.Fatal(err)
	}
	return caller
}

// role creates a ClusterRole with verbs on MailAccounts: on all, or on those of some names.
func (f *fixture) role(verbs []string, names ...string) string {
	f.Helper()
	role := &rbacv1.ClusterRole{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "kubeauth-"},
		Rules: []rbacv1.PolicyRule{{
			APIGroups: []string{"sluice.dev"}, Resources: []string{"mailaccounts"},
			Verbs: verbs, ResourceNames: names,
		}},
	}
	f.create(role)
	return role.Name
}

// grant binds a role to a caller: in a namespace, or in all if it has no name. The API server may
// see it a little later.
func (f *fixture) grant(namespace, role string, to kubeauth.Caller) client.Object {
	f.Helper()
	parts := strings.Split(to.User(), ":")
	meta := metav1.ObjectMeta{GenerateName: "kubeauth-", Namespace: namespace}
	subjects := []rbacv1.Subject{{
		Kind: "ServiceAccount", Namespace: parts[2], Name: parts[3],
	}}
	ref := rbacv1.RoleRef{APIGroup: "rbac.authorization.k8s.io", Kind: "ClusterRole", Name: role}
	var binding client.Object
	if namespace == "" {
		binding = &rbacv1.ClusterRoleBinding{ObjectMeta: meta, Subjects: subjects, RoleRef: ref}
	} else {
		binding = &rbacv1.RoleBinding{ObjectMeta: meta, Subjects: subjects, RoleRef: ref}
	}
	f.create(binding)
	return binding
}
