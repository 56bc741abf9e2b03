package kubeauth_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-mail/sluice/api/httpv1"
)

// TestAPIServerFails has one that fails at once, in each way, for longer than what it said may be
// used.
func TestAPIServerFails(t *testing.T) {
	for name, fault := range map[string]func(*http.Request) (*http.Response, error){
		"nobody listens": func(*http.Request) (*http.Response, error) {
			return nil, errors.New("connection refused")
		},
		"an internal error":         status(500),
		"unavailable":               status(503),
		"too many requests":         status(429),
		"Sluice's token is no good": status(401),
		"Sluice has lost its role":  status(403),
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, f *fakeAPI) {
				f.allow("dispatcher", "newsletter", true)
				token := f.token("dispatcher")
				caller := f.mustAuthenticate(token)
				if err := f.use(caller, "marketing", "newsletter"); err != nil {
					t.Fatal(err)
				}
				wantProblem(t, f.use(caller, "marketing", "other"), httpv1.Forbidden, "")
				f.set(func() { f.fault = fault })
				for passed := time.Duration(0); passed < 15*time.Minute; passed += 10 * time.Second {
					var errToken, errRight error
					if took := took(func() {
						_, errToken = f.Authenticate(t.Context(), token)
						errRight = f.use(caller, "marketing", "newsletter")
					}); errToken != nil || errRight != nil || took != 0 {
						t.Fatalf("after %s: %v, %v, and it took %s", passed, errToken, errRight, took)
					}
					_, err := f.Authenticate(t.Context(), f.token("dispatcher"))
					wantProblem(t, err, httpv1.NotReady, "")
					wantProblem(t, f.use(caller, "marketing", "never-asked"), httpv1.NotReady, "")
					kind := httpv1.NotReady // what was denied is not known any more
					if passed < 30*time.Second {
						kind = httpv1.Forbidden
					}
					wantProblem(t, f.use(caller, "marketing", "other"), kind, "")
					time.Sleep(10 * time.Second)
				}
				_, err := f.Authenticate(t.Context(), token)
				wantProblem(t, err, httpv1.NotReady, "")
				wantProblem(t, f.use(caller, "marketing", "newsletter"), httpv1.NotReady, "")

				f.set(func() { f.fault = nil })
				time.Sleep(time.Second)
				f.mustAuthenticate(token)
				f.mustAuthenticate(f.token("dispatcher"))
				if err := f.use(caller, "marketing", "newsletter"); err != nil {
					t.Error(err)
				}
				wantProblem(t, f.use(caller, "marketing", "other"), httpv1.Forbidden, "")
			})
		})
	}
}

func TestTokenExpiresWhileTheAPIServerIsAway(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fakeAPI) {
		token := f.token("dispatcher")
		time.Sleep(55 * time.Minute)
		f.mustAuthenticate(token)
		f.set(func() { f.fault = status(503) })
		time.Sleep(5*time.Minute - time.Second)
		f.mustAuthenticate(token)
		time.Sleep(time.Second)
		_, err := f.Authenticate(t.Context(), token)
		wantProblem(t, err, httpv1.Unauthenticated, "expired")
	})
}

func TestForgedTokenIsRefusedWhileTheAPIServerIsAway(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fakeAPI) {
		f.mustAuthenticate(f.token("dispatcher"))
		f.set(func() { f.fault = status(503) })
		_, err := f.Authenticate(t.Context(), f.token("dispatcher"))
		wantProblem(t, err, httpv1.NotReady, "")
		_, err = f.Authenticate(t.Context(), forge(f.token("dispatcher")))
		wantProblem(t, err, httpv1.Unauthenticated, "signed")
	})
}

// TestAPIServerHangs has one that takes calls and never answers.
func TestAPIServerHangs(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fakeAPI) {
		f.allow("dispatcher", "", true)
		token := f.token("dispatcher")
		caller := f.mustAuthenticate(token)
		if err := f.use(caller, "marketing", "newsletter"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(6 * time.Minute)
		f.set(func() { f.fault = hang })
		known := func() {
			t.Helper()
			f.mustAuthenticate(token)
			if err := f.use(caller, "marketing", "newsletter"); err != nil {
				t.Error(err)
			}
		}
		unknown := func() {
			t.Helper()
			_, err := f.Authenticate(t.Context(), f.token("dispatcher"))
			wantProblem(t, err, httpv1.NotReady, "")
		}
		// Each kind of review has to notice, once.
		if took := took(known); took > 6*time.Second {
			t.Errorf("the first call took %s", took)
		}
		if took := took(known); took != 0 {
			t.Errorf("the second call took %s", took)
		}
		if took := took(unknown); took > 3*time.Second {
			t.Errorf("a new token took %s", took)
		}
		time.Sleep(10 * time.Second) // the first review fails
		for range 10 {
			if took := took(known); took != 0 {
				t.Errorf("a call took %s", took)
			}
		}
		time.Sleep(1100 * time.Millisecond)
		go func() { _, _ = f.Authenticate(t.Context(), f.token("dispatcher")) }() // the probe
		synctest.Wait()
		for range 10 {
			if took := took(unknown); took != 0 {
				t.Errorf("a new token took %s", took)
			}
		}
		f.set(func() { f.fault = nil })
		time.Sleep(time.Second)
		f.mustAuthenticate(f.token("dispatcher"))
		if took := took(known); took != 0 {
			t.Errorf("a call took %s after the end", took)
		}
		// What was sent while it hung fails now, and means nothing any more.
		for range 100 {
			time.Sleep(200 * time.Millisecond)
			f.mustAuthenticate(f.token("dispatcher"))
		}
	})
}

func TestAnAPIServerThatIsAwayIsAskedOnceASecond(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fakeAPI) {
		f.allow("dispatcher", "", true)
		token := f.token("dispatcher")
		caller := f.mustAuthenticate(token)
		_ = f.use(caller, "marketing", "newsletter")
		time.Sleep(6 * time.Minute)
		f.set(func() { f.fault = status(503) })
		tokens, rights := f.count(tokenPath), f.count(accessPath)
		fresh := []string{f.token("dispatcher"), f.token("dispatcher"), f.token("dispatcher")}
		for i := range 1000 {
			_, _ = f.Authenticate(t.Context(), token)
			_, _ = f.Authenticate(t.Context(), fresh[i%len(fresh)])
			_ = f.use(caller, "marketing", "newsletter")
			_ = f.use(caller, "others", "newsletter")
			time.Sleep(10 * time.Millisecond)
		}
		synctest.Wait()
		tokens, rights = f.count(tokenPath)-tokens, f.count(accessPath)-rights
		if tokens < 9 || tokens > 11 || rights < 9 || rights > 11 {
			t.Errorf("in 10 s, %d reviews of tokens and %d of rights", tokens, rights)
		}
	})
}

func TestCallerWhoGivesUpFailsNoOther(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fakeAPI) {
		f.allow("dispatcher", "", true)
		f.set(func() { f.latency = time.Second })
		token := f.token("dispatcher")
		gone, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		go func() { _, _ = f.Authenticate(gone, token) }()
		synctest.Wait()
		caller := f.mustAuthenticate(token)
		if n := f.count(tokenPath); n != 1 {
			t.Errorf("%d reviews of one token", n)
		}
		go func() { _ = f.use(caller, "marketing", "newsletter") }()
		synctest.Wait()
		if err := f.use(caller, "marketing", "invoices"); err != nil {
			t.Error(err)
		}
		if n := f.count(accessPath); n != 1 {
			t.Errorf("%d reviews of one right", n)
		}
	})
}

// TestAPIServerTakesFiveSeconds has callers that nobody may keep waiting, as they called before.
func TestAPIServerTakesFiveSeconds(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fakeAPI) {
		f.allow("dispatcher", "newsletter", true)
		token := f.token("dispatcher")
		caller := f.mustAuthenticate(token)
		if err := f.use(caller, "marketing", "newsletter"); err != nil {
			t.Fatal(err)
		}
		f.set(func() { f.latency = 5 * time.Second })
		for range 20 * 60 {
			took := took(func() {
				f.mustAuthenticate(token)
				if err := f.use(caller, "marketing", "newsletter"); err != nil {
					t.Fatal(err)
				}
			})
			if took != 0 {
				t.Fatalf("a call took %s", took)
			}
			time.Sleep(time.Second)
		}
		fresh := f.token("dispatcher")
		if took := took(func() {
			_, err := f.Authenticate(t.Context(), fresh)
			wantProblem(t, err, httpv1.NotReady, "")
		}); took > 3*time.Second {
			t.Errorf("a caller waited for %s", took)
		}
		time.Sleep(2 * time.Second)
		f.mustAuthenticate(fresh) // the review went on
	})
}

// TestWhatIsRevokedEndsInTime has a caller that never pauses, so that what is remembered is always
// refreshed before it ends.
func TestWhatIsRevokedEndsInTime(t *testing.T) {
	for _, latency := range []time.Duration{0, time.Second, 5 * time.Second} {
		for _, after := range []time.Duration{
			time.Second, 83 * time.Second, 109 * time.Second, 226 * time.Second, 299 * time.Second,
		} {
			inBubble(t, func(t *testing.T, f *fakeAPI) {
				f.allow("dispatcher", "newsletter", true)
				token := f.token("dispatcher")
				caller := f.mustAuthenticate(token)
				if err := f.use(caller, "marketing", "newsletter"); err != nil {
					t.Fatal(err)
				}
				f.set(func() { f.latency = latency })
				call := func() (tokenErr, rightErr error) {
					_, tokenErr = f.Authenticate(t.Context(), token)
					return tokenErr, f.use(caller, "marketing", "newsletter")
				}
				for range after / time.Second {
					if a, b := call(); a != nil || b != nil {
						t.Fatal(a, b)
					}
					time.Sleep(time.Second)
				}
				f.set(func() { f.deleted[f.user("dispatcher")] = true })
				f.allow("dispatcher", "newsletter", false)
				began := time.Now()
				var tokenFor, rightFor time.Duration
				for time.Since(began) < 10*time.Minute {
					a, b := call()
					if a == nil {
						tokenFor = time.Since(began)
					}
					if b == nil {
						rightFor = time.Since(began)
					}
					time.Sleep(time.Second)
				}
				if tokenFor > 110*time.Second+latency || rightFor > 300*time.Second+2*latency {
					t.Errorf("with reviews of %s: what was revoked %s after the first one was used "+
						"for %s (token) and %s (right)", latency, after, tokenFor, rightFor)
				}
			})
		}
	}
}

// TestRevokedRightIsNotUsedAfterTheAnswer has the API server say that the right to the namespace is
// gone, and then go away before it says anything about the account alone.
func TestRevokedRightIsNotUsedAfterTheAnswer(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fakeAPI) {
		f.allow("dispatcher", "", true)
		caller := f.mustAuthenticate(f.token("dispatcher"))
		if err := f.use(caller, "marketing", "newsletter"); err != nil {
			t.Fatal(err)
		}
		f.allow("dispatcher", "", false)
		time.Sleep(6 * time.Minute)
		f.set(func() { f.latency = 100 * time.Millisecond })
		go func() {
			time.Sleep(50 * time.Millisecond) // the first review is on its way
			f.set(func() { f.fault = status(503) })
		}()
		wantProblem(t, f.use(caller, "marketing", "newsletter"), httpv1.NotReady, "")
	})
}
