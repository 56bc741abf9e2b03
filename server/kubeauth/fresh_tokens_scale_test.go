//go:build scale

package kubeauth_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-mail/sluice/test/controlplane"
)

// TestScaleFreshTokens has 10,000 new tokens come in over 60 s, as when all pods of a large cluster
// start, and each is used a few times. It reports what the API server is asked.
func TestScaleFreshTokens(t *testing.T) {
	const tokens, serviceAccounts, lasts = 10_000, 100, 60 * time.Second
	f := newFixture(t)
	issued := f.issue(tokens, serviceAccounts)
	f.wire.reset()
	began := time.Now()
	var callers sync.WaitGroup
	took := make([]time.Duration, tokens)
	for i, token := range issued {
		time.Sleep(time.Until(began.Add(lasts * time.Duration(i) / tokens)))
		callers.Go(func() {
			began := time.Now()
			for range 5 {
				if _, err := f.Authenticate(t.Context(), token); err != nil {
					t.Error(err)
				}
			}
			took[i] = time.Since(began)
		})
	}
	callers.Wait()
	passed := time.Since(began)
	reviews := f.wire.count(tokenPath)
	if reviews != tokens {
		t.Errorf("%d reviews of %d tokens", reviews, tokens)
	}
	var longest time.Duration
	for _, d := range took {
		longest = max(longest, d)
	}
	t.Logf("%d fresh tokens in %s: %d TokenReviews, %.0f/s, and %d requests for keys; "+
		"the longest first call took %s", tokens, passed.Round(time.Millisecond), reviews,
		float64(reviews)/passed.Seconds(), f.wire.count(keysPath), longest.Round(time.Millisecond))
}

func (w *wire) reset() {
	w.mu.Lock()
	defer w.mu.Unlock()
	clear(w.counts)
}

// issue has the API server issue tokens.
func (f *fixture) issue(tokens, serviceAccounts int) []string {
	f.Helper()
	config := rest.CopyConfig(controlplane.Config)
	config.QPS = -1
	kube, err := client.New(config, client.Options{})
	if err != nil {
		f.Fatal(err)
	}
	ns := f.namespace()
	issued := make([]string, tokens)
	var group sync.WaitGroup
	for i := range serviceAccounts {
		sa := f.serviceAccount(ns, fmt.Sprintf("dispatcher-%d", i))
		group.Go(func() {
			for at := i; at < tokens; at += serviceAccounts {
				seconds := int64(3600)
				request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{
					Audiences: []string{audience}, ExpirationSeconds: &seconds,
				}}
				if err := kube.SubResource("token").Create(f.Context(), sa, request); err != nil {
					f.Error(err)
					return
				}
				issued[at] = request.Status.Token
			}
		})
	}
	group.Wait()
	return issued
}
