package kubeauth_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mail/sluice/api/httpv1"
)

// forge returns a token with another signature.
func forge(token string) string { return forgeWith(token, 0) }

// forgeWith returns a token with a signature of a number, so that many differ.
func forgeWith(token string, number int) string {
	at := strings.LastIndex(token, ".")
	signature, err := base64.RawURLEncoding.DecodeString(token[at+1:])
	if err != nil {
		panic(err)
	}
	for i := range 4 {
		signature[i+10] ^= byte(number>>(8*i)) + 1
	}
	return token[:at+1] + base64.RawURLEncoding.EncodeToString(signature)
}

// edit returns a token with another claim or field of its header, and the signature that it had.
func edit(token string, part int, field string, value any) string {
	parts := strings.Split(token, ".")
	text, err := base64.RawURLEncoding.DecodeString(parts[part])
	if err != nil {
		panic(err)
	}
	var object map[string]any
	if err := json.Unmarshal(text, &object); err != nil {
		panic(err)
	}
	object[field] = value
	if text, err = json.Marshal(object); err != nil {
		panic(err)
	}
	parts[part] = base64.RawURLEncoding.EncodeToString(text)
	return strings.Join(parts, ".")
}

func TestForgedTokensCostNoReview(t *testing.T) {
	f := newFixture(t)
	sa := f.serviceAccount(f.namespace(), "dispatcher")
	token := f.token(sa, nil, audience)
	for name, forged := range map[string]string{
		"another signature":      forge(token),
		"another subject":        edit(token, 1, "sub", "system:serviceaccount:mail:admin"),
		"a later expiry":         edit(token, 1, "exp", time.Now().Add(24*time.Hour).Unix()),
		"another audience":       edit(f.token(sa, nil, "vault"), 1, "aud", []string{audience}),
		"another algorithm":      edit(token, 0, "alg", "RS256"),
		"a critical header":      edit(token, 0, "crit", []string{"b64"}),
		"a header of wrong type": edit(token, 0, "jwk", 1),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := f.Authenticate(t.Context(), forged)
			wantProblem(t, err, httpv1.Unauthenticated, "signed")
			f.wantCount(tokenPath, 0)
		})
	}
	f.wantCount(keysPath, 1)
	if _, err := f.Authenticate(t.Context(), token); err != nil {
		t.Errorf("the token itself is refused: %v", err)
	}
}

func TestTokenThatOnlyTheAPIServerCanVerifyIsReviewed(t *testing.T) {
	f := newFixture(t)
	token := f.token(f.serviceAccount(f.namespace(), "dispatcher"), nil, audience)
	for i, forged := range []string{
		edit(token, 0, "kid", "unknown"), edit(token, 0, "alg", "none"),
		edit(token, 0, "alg", "HS256"), edit(token, 0, "kid", ""),
	} {
		_, err := f.Authenticate(t.Context(), forged)
		wantProblem(t, err, httpv1.Unauthenticated, "does not accept")
		f.wantCount(tokenPath, i+1)
	}
}

// TestFloodOfForgedTokens has 20,000 forged tokens of each kind, while tokens that are new and good
// come in.
func TestFloodOfForgedTokens(t *testing.T) {
	for name, c := range map[string]struct {
		forge   func(token string, number int) string
		reviews func(passed time.Duration) int // at most, of the forged tokens
	}{
		"with a key of the cluster": {forgeWith, func(time.Duration) int { return 0 }},
		"with a key that nobody knows": {func(token string, number int) string {
			return forgeWith(edit(token, 0, "kid", "unknown"), number)
		}, func(passed time.Duration) int { return 40 + int(passed/time.Second+1)*20 }},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			ns := f.namespace()
			var good []string
			for i := range 10 {
				sa := f.serviceAccount(ns, fmt.Sprintf("dispatcher-%d", i))
				good = append(good, f.token(sa, nil, audience), f.token(sa, nil, audience))
			}
			began := time.Now()
			done := make(chan struct{}, 8)
			for i := range 8 {
				go func() {
					defer func() { done <- struct{}{} }()
					for n := i; n < 20000; n += 8 {
						if _, err := f.Authenticate(t.Context(), c.forge(good[0], n)); err == nil {
							t.Error("a forged token is accepted")
						}
					}
				}()
			}
			for _, token := range good {
				if _, err := f.Authenticate(t.Context(), token); err != nil {
					t.Errorf("a good token is refused: %v", err)
				}
			}
			for range 8 {
				<-done
			}
			forged := f.wire.count(tokenPath) - len(good)
			if most := c.reviews(time.Since(began)); forged > most {
				t.Errorf("%d reviews of forged tokens, want at most %d", forged, most)
			}
			if n := f.wire.count(keysPath); n > 2+int(time.Since(began)/(5*time.Second)) {
				t.Errorf("the keys were fetched %d times", n)
			}
			if got := f.Remembered(); got > 2*16384 {
				t.Errorf("%d tokens are remembered", got)
			}
			for _, token := range good { // no forged token has evicted them
				if _, err := f.Authenticate(t.Context(), token); err != nil {
					t.Error(err)
				}
			}
			f.wantCount(tokenPath, forged+len(good))
		})
	}
}

func TestKeysThatCannotBeRead(t *testing.T) {
	for name, answer := range map[string]func(*http.Request) (*http.Response, error){
		"forbidden": func(r *http.Request) (*http.Response, error) {
			return response(r, 403, `{"kind":"Status","apiVersion":"v1","code":403}`), nil
		},
		"no JSON": func(r *http.Request) (*http.Response, error) {
			return response(r, 200, `<html>`), nil
		},
		"keys of other kinds": func(r *http.Request) (*http.Response, error) {
			return response(r, 200, `{"keys":[{"kty":"new"},{},{"kty":"oct","k":"eA","kid":"x"}]}`), nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.wire.on(keysPath, answer)
			sa := f.serviceAccount(f.namespace(), "dispatcher")
			for range 3 {
				if _, err := f.Authenticate(t.Context(), f.token(sa, nil, audience)); err != nil {
					t.Fatal(err)
				}
			}
			_, err := f.Authenticate(t.Context(), forge(f.token(sa, nil, audience)))
			wantProblem(t, err, httpv1.Unauthenticated, "does not accept")
			f.wantCount(tokenPath, 4)
		})
	}
}

// TestKeyRotation has an API server that publishes its key only later.
func TestKeyRotation(t *testing.T) {
	f := newFixture(t)
	f.wire.on(keysPath, func(r *http.Request) (*http.Response, error) {
		return response(r, 200, `{"keys":[]}`), nil
	})
	sa := f.serviceAccount(f.namespace(), "dispatcher")
	if _, err := f.Authenticate(t.Context(), f.token(sa, nil, audience)); err != nil {
		t.Fatal(err)
	}
	f.wire.on(keysPath, nil)
	_, err := f.Authenticate(t.Context(), forge(f.token(sa, nil, audience)))
	wantProblem(t, err, httpv1.Unauthenticated, "does not accept")
	f.wantCount(keysPath, 1) // they were fetched just now
	f.advance(5 * time.Second)
	_, err = f.Authenticate(t.Context(), forge(f.token(sa, nil, audience)))
	wantProblem(t, err, httpv1.Unauthenticated, "signed")
	f.wantCount(keysPath, 2)
	f.wantCount(tokenPath, 2)
}

// TestOnlyServiceAccountsCall has a TokenReview of another user.
func TestOnlyServiceAccountsCall(t *testing.T) {
	f := newFixture(t)
	token := f.token(f.serviceAccount(f.namespace(), "dispatcher"), nil, audience)
	answers := map[string]string{
		"another user": `{"authenticated":true,"audiences":["sluice"],"user":{"username":"admin"}}`,
		"no user":      `{"authenticated":true,"audiences":["sluice"]}`,
		"no audience": `{"authenticated":true,
			"user":{"username":"system:serviceaccount:mail:dispatcher"}}`,
		"another audience": `{"authenticated":true,"audiences":["vault"],
			"user":{"username":"system:serviceaccount:mail:dispatcher"}}`,
		"a user that is not authenticated": `{"audiences":["sluice"],
			"user":{"username":"system:serviceaccount:mail:dispatcher"}}`,
	}
	for _, name := range slices.Sorted(maps.Keys(answers)) {
		t.Run(name, func(t *testing.T) {
			f.wire.on(tokenPath, func(r *http.Request) (*http.Response, error) {
				return response(r, 201, `{"kind":"TokenReview",`+
					`"apiVersion":"authentication.k8s.io/v1","status":`+answers[name]+`}`), nil
			})
			_, err := f.Authenticate(t.Context(), token)
			wantProblem(t, err, httpv1.Unauthenticated, "")
			f.advance(10 * time.Second)
		})
	}
	f.wantCount(tokenPath, len(answers))
}

// TestSignatureHasOneSpelling has the bits that base64 does not use be set: the same signature.
func TestSignatureHasOneSpelling(t *testing.T) {
	f := newFixture(t)
	token := f.token(f.serviceAccount(f.namespace(), "dispatcher"), nil, audience)
	last := len(token) - 1
	other := token[:last] + string(token[last]+1)
	if a, b := forgeWith(token, 0), forgeWith(other, 0); a != b {
		t.Fatal("it is another signature")
	}
	_, err := f.Authenticate(t.Context(), other)
	wantProblem(t, err, httpv1.Unauthenticated, "not one that Kubernetes issues")
	f.wantCount(tokenPath, 0)
}
