package kubeauth_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-mail/sluice/api/httpv1"
	"github.com/sluice-mail/sluice/limiter"
	"github.com/sluice-mail/sluice/server/kubeauth"
	"github.com/sluice-mail/sluice/test/controlplane"
)

// wantProblem wants an error to be a problem of a kind, whose detail has some text.
func wantProblem(t *testing.T, err error, kind httpv1.ProblemKind, detail string) {
	t.Helper()
	var p *httpv1.Problem
	if !errors.As(err, &p) {
		t.Fatalf("got the error %v, want the problem %s", err, kind.Name)
	}
	if p.Type != httpv1.ProblemBase+kind.Name || !strings.Contains(p.Detail, detail) {
		t.Fatalf("got the problem %s: %s\nwant %s with %q", p.Type, p.Detail, kind.Name, detail)
	}
}

// wantCount wants an Auth to have sent so many requests.
func (f *fixture) wantCount(path string, want int) {
	f.Helper()
	if got := f.wire.count(path); got != want {
		f.Errorf("%d requests for %s, want %d", got, path, want)
	}
}

func TestTokensOfTheAPIServer(t *testing.T) {
	f := newFixture(t)
	ns := f.namespace()
	sa := f.serviceAccount(ns, "dispatcher")
	for name, c := range map[string]struct {
		audiences []string
		refused   string // empty if it is not
	}{
		"for the audience":                {[]string{audience}, ""},
		"for the audience and others":     {[]string{"vault", audience}, ""},
		"for another audience":            {[]string{"vault"}, `for the audience "vault"`},
		"for an audience that looks like": {[]string{"sluice2"}, `for the audience "sluice2"`},
		"for the API server":              {nil, "with the audience sluice."},
	} {
		t.Run(name, func(t *testing.T) {
			before := f.wire.count(tokenPath)
			token := f.token(sa, nil, c.audiences...)
			caller, err := f.Authenticate(t.Context(), token)
			if c.refused != "" {
				wantProblem(t, err, httpv1.Unauthenticated, c.refused)
				f.wantCount(tokenPath, before)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if want := "system:serviceaccount:" + ns + ":dispatcher"; caller.User() != want {
				t.Errorf("the user is %s, want %s", caller.User(), want)
			}
			again, err := f.Authenticate(t.Context(), token)
			if err != nil || again != caller {
				t.Errorf("the second time the caller is %v, %v", again, err)
			}
			f.wantCount(tokenPath, before+1)
		})
	}
}

func TestGarbageCostsNoReview(t *testing.T) {
	f := newFixture(t)
	part := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	soon := time.Now().Add(time.Hour).Unix()
	good := fmt.Sprintf(`{"aud":["sluice"],"exp":%d}`, soon)
	for name, token := range map[string]string{
		"one word":             "secret",
		"two parts":            part("{}") + "." + part(good),
		"four parts":           part("{}") + "." + part(good) + ".c2ln.c2ln",
		"no signature":         part("{}") + "." + part(good) + ".",
		"no base64":            part("{}") + "." + part(good) + ".s!gnature",
		"base64 with padding":  part("{}") + "." + part(good) + ".c2k=",
		"a line break":         part("{}") + "." + part(good) + ".c2ln\nc2ln",
		"no JSON":              part("{}") + "." + part("secret") + ".c2ln",
		"a header of no JSON":  part("secret") + "." + part(good) + ".c2ln",
		"no claims":            part("{}") + "." + part("{}") + ".c2ln",
		"an audience of words": part("{}") + "." + part(`{"aud":"sluice and others"}`) + ".c2ln",
		"an audience of wrong type": part("{}") + "." +
			part(fmt.Sprintf(`{"aud":{"sluice":1},"exp":%d}`, soon)) + ".c2ln",
		"no expiry": part("{}") + "." + part(`{"aud":["sluice"]}`) + ".c2ln",
		"expired":   part("{}") + "." + part(`{"aud":"sluice","exp":1700000000}`) + ".c2ln",
		"valid from tomorrow on": part("{}") + "." + part(fmt.Sprintf(
			`{"aud":"sluice","exp":%d,"nbf":%d}`, soon+86400, soon+80000)) + ".c2ln",
		"expires in a million years": part("{}") + "." +
			part(`{"aud":"sluice","exp":31556952000000}`) + ".c2ln",
		"too long": part("{}") + "." + part(good) + "." + strings.Repeat("c2ln", 2048),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := f.Authenticate(t.Context(), token)
			wantProblem(t, err, httpv1.Unauthenticated, "")
			if strings.Contains(err.Error(), token) {
				t.Errorf("the problem repeats the token: %v", err)
			}
			f.wantCount(tokenPath, 0)
			f.wantCount(keysPath, 0)
		})
	}
}

func TestTokenIsNeverUsedBeyondItsExpiry(t *testing.T) {
	f := newFixture(t)
	token := f.token(f.serviceAccount(f.namespace(), "dispatcher"), nil, audience)
	f.advance(580 * time.Second) // the token lives for 600 s
	if _, err := f.Authenticate(t.Context(), token); err != nil {
		t.Fatal(err)
	}
	f.advance(20 * time.Second)
	_, err := f.Authenticate(t.Context(), token)
	wantProblem(t, err, httpv1.Unauthenticated, "expired")
	f.wantCount(tokenPath, 1)
}

// refusedByTheAPIServer waits until the API server does not accept a token any more. It remembers
// one that it has seen for 10 s itself.
func (f *fixture) refusedByTheAPIServer(token string) {
	f.Helper()
	controlplane.Eventually(f.T, "the token is still accepted", func() error {
		ask := &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{
			Token: token, Audiences: []string{audience},
		}}
		if err := f.kube.Create(f.Context(), ask); err != nil {
			return err
		}
		if ask.Status.Authenticated {
			return errors.New("it is authenticated")
		}
		return nil
	})
}

func TestTokenOfSomebodyDeleted(t *testing.T) {
	for name, prepare := range map[string]func(f *fixture, ns string) (token string, remove func()){
		"a ServiceAccount": func(f *fixture, ns string) (string, func()) {
			sa := f.serviceAccount(ns, "dispatcher")
			return f.token(sa, nil, audience), func() { f.remove(sa) }
		},
		"a pod": func(f *fixture, ns string) (string, func()) {
			sa := f.serviceAccount(ns, "dispatcher")
			pod := &corev1.Pod{
				ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "dispatcher"},
				Spec: corev1.PodSpec{
					ServiceAccountName: sa.Name,
					Containers:         []corev1.Container{{Name: "c", Image: "i"}},
				},
			}
			f.create(pod)
			return f.token(sa, &authenticationv1.BoundObjectReference{
				Kind: "Pod", APIVersion: "v1", Name: pod.Name, UID: pod.UID,
			}, audience), func() { f.remove(pod) }
		},
		"a ServiceAccount that came back": func(f *fixture, ns string) (string, func()) {
			sa := f.serviceAccount(ns, "dispatcher")
			return f.token(sa, nil, audience), func() {
				f.remove(sa)
				f.serviceAccount(ns, "dispatcher")
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			token, remove := prepare(f, f.namespace())
			if _, err := f.Authenticate(t.Context(), token); err != nil {
				t.Fatal(err)
			}
			remove()
			f.refusedByTheAPIServer(token)
			if _, err := f.Authenticate(t.Context(), token); err != nil {
				t.Fatalf("the answer is not remembered: %v", err)
			}
			f.advance(2 * time.Minute)
			_, err := f.Authenticate(t.Context(), token)
			wantProblem(t, err, httpv1.Unauthenticated, "deleted")
			f.wantCount(tokenPath, 2)
			_, err = f.Authenticate(t.Context(), token)
			wantProblem(t, err, httpv1.Unauthenticated, "deleted")
			f.wantCount(tokenPath, 2) // a refusal is remembered, too
		})
	}
}

func TestHotTokenIsRefreshedAhead(t *testing.T) {
	f := newFixture(t)
	token := f.token(f.serviceAccount(f.namespace(), "dispatcher"), nil, audience)
	call := func() {
		t.Helper()
		if _, err := f.Authenticate(t.Context(), token); err != nil {
			t.Fatal(err)
		}
	}
	call()
	f.advance(80 * time.Second)
	call()
	f.wantCount(tokenPath, 1)
	f.advance(5 * time.Second)
	call()
	controlplane.Eventually(t, "the token is not refreshed", func() error {
		if f.wire.count(tokenPath) != 2 || f.Flying() {
			return errors.New("no second review")
		}
		return nil
	})
	f.wire.on(tokenPath, func(*http.Request) (*http.Response, error) {
		t.Error("a call waited for a review, though the token was just refreshed")
		return nil, errors.New("unexpected")
	})
	f.advance(80 * time.Second) // 165 s after the first review
	call()
}

func TestManyWhoMissMakeOneReview(t *testing.T) {
	f := newFixture(t)
	token := f.token(f.serviceAccount(f.namespace(), "dispatcher"), nil, audience)
	errs := make(chan error)
	for range 100 {
		go func() {
			_, err := f.Authenticate(t.Context(), token)
			errs <- err
		}()
	}
	for range 100 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	f.wantCount(tokenPath, 1)
}

// TestItsOwnRightsSuffice runs as a ServiceAccount that has the ClusterRole system:auth-delegator
// and nothing else.
func TestItsOwnRightsSuffice(t *testing.T) {
	admin := newFixture(t)
	ns := admin.namespace()
	own := admin.serviceAccount(ns, "sluice")
	admin.grant("", "system:auth-delegator", userOf(own))
	f := newFixtureOn(t, asServiceAccount(controlplane.Config, admin.token(own, nil)))
	caller := f.caller(ns, "dispatcher")
	f.wantCount(keysPath, 1)
	f.grant(ns, f.role([]string{"use"}), caller)
	f.settles(caller, "use", ns, "newsletter", true)
	if err := f.authorize(caller, "use", ns, "newsletter"); err != nil {
		t.Error(err)
	}
	_, err := f.Authenticate(t.Context(), forge(f.token(own, nil, audience)))
	wantProblem(t, err, httpv1.Unauthenticated, "signed")
}

var _ kubeauth.Caller = user("")

// user is a Caller that no Auth has authenticated.
type user string

func (u user) User() string { return string(u) }

func TestWhoMissedAnAnswerByALittleAsksNothing(t *testing.T) {
	f := newFixture(t)
	home := f.namespace()
	token := f.token(f.serviceAccount(home, "dispatcher"), nil, audience)
	caller, err := f.Authenticate(t.Context(), token)
	if err != nil {
		t.Fatal(err)
	}
	_ = f.authorize(caller, "use", home, "")
	f.ReviewLate(token, caller, "use", limiter.Key{Namespace: home})
	f.wantCount(tokenPath, 1)
	f.wantCount(accessPath, 1)
}
