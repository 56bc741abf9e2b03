package sluice_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/sluice-mail/sluice/api/httpv1"
	"github.com/sluice-mail/sluice/client/sluice"
	"github.com/sluice-mail/sluice/server"
)

// The ways in which an answer is lost, after the server did what it was asked.
var (
	errReset = &net.OpError{Op: "read", Err: errors.New("connection reset by peer")}
	errDial  = &net.OpError{Op: "dial", Err: errors.New("connection refused")}
)

// answerLost passes a request on, and loses the answer.
func answerLost(to http.RoundTripper) roundTrip {
	return func(r *http.Request) (*http.Response, error) {
		if _, err := to.RoundTrip(r); err != nil {
			return nil, err
		}
		return nil, errReset
	}
}

// answerCut passes a request on, and loses the second half of the answer.
func answerCut(to http.RoundTripper) roundTrip {
	return func(r *http.Request) (*http.Response, error) {
		resp, err := to.RoundTrip(r)
		if err == nil {
			body := io.LimitReader(resp.Body, 10)
			resp.Body = io.NopCloser(io.MultiReader(body, broken{}))
		}
		return resp, err
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errReset }

// answerLate passes a request on, and answers when nobody waits any more.
func answerLate(to http.RoundTripper) roundTrip {
	return func(r *http.Request) (*http.Response, error) {
		if _, err := to.RoundTrip(r); err != nil {
			return nil, err
		}
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
}

func noConnection(*http.Request) (*http.Response, error) { return nil, errDial }

// TestAnAnswerThatIsLostCountsOnce repeats calls that a real server did already.
func TestAnAnswerThatIsLostCountsOnce(t *testing.T) {
	faults := map[string]func(http.RoundTripper) roundTrip{
		"the connection breaks":   answerLost,
		"half of the answer came": answerCut,
		"the answer is late":      answerLate,
		"there is no connection":  func(http.RoundTripper) roundTrip { return noConnection },
		"a proxy loses it":        proxyLoses,
	}
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLimiter(perMinute(10))
				to := direct(server.New(server.Options{Limiter: l}))
				// Each call fails twice, in a client of its own.
				faulty := func() *sluice.Client {
					return newClient(t, url, sluice.Options{Transport: inTurn(new(int), fault(to), fault(to), to)})
				}
				d, err := faulty().Check(t.Context(), account, httpv1.CheckRequest{})
				if err != nil || d.Decision != httpv1.Allow || inFlight(t, l) != 1 {
					t.Fatalf("check: %+v, %v, %d in flight", d, err, inFlight(t, l))
				}
				r, err := faulty().Commit(t.Context(), account,
					httpv1.CommitRequest{Reservation: &d.Reservation.ID})
				if err != nil || r.Outcome != httpv1.Committed || used(t, l) != 1 || inFlight(t, l) != 0 {
					t.Errorf("commit: %+v, %v, usage %+v", r, err, usage(t, l))
				}
				checks, err := faulty().CheckBatch(t.Context(), httpv1.CheckBatchRequest{
					Checks: []httpv1.CheckItem{{Account: account}, {Account: account}},
				})
				if err != nil || inFlight(t, l) != 2 {
					t.Fatalf("batch of checks: %+v, %v, %d in flight", checks, err, inFlight(t, l))
				}
				one, two := &checks.Results[0].Reservation.ID, &checks.Results[1].Reservation.ID
				released, err := faulty().Release(t.Context(), account, httpv1.ReleaseRequest{Reservation: one})
				if err != nil || released.Outcome != httpv1.Released || inFlight(t, l) != 1 {
					t.Errorf("release: %+v, %v, usage %+v", released, err, usage(t, l))
				}
				commits, err := faulty().CommitBatch(t.Context(), httpv1.CommitBatchRequest{
					Commits: []httpv1.CommitItem{{Account: account,
						CommitRequest: httpv1.CommitRequest{Reservation: two}}},
				})
				if err != nil || commits.Results[0].Outcome != httpv1.Committed || used(t, l) != 2 {
					t.Errorf("batch of commits: %+v, %v, usage %+v", commits, err, usage(t, l))
				}
				releases, err := faulty().ReleaseBatch(t.Context(), httpv1.ReleaseBatchRequest{
					Releases: []httpv1.ReleaseItem{{Account: account,
						ReleaseRequest: httpv1.ReleaseRequest{Reservation: one}}},
				})
				if err != nil || releases.Results[0].Outcome != httpv1.Released {
					t.Errorf("batch of releases: %+v, %v", releases, err)
				}
			})
		})
	}
}

// proxyLoses passes a request on, and answers that it got no answer.
func proxyLoses(to http.RoundTripper) roundTrip {
	return func(r *http.Request) (*http.Response, error) {
		if _, err := to.RoundTrip(r); err != nil {
			return nil, err
		}
		return respond(502, "upstream reset")(r)
	}
}

// TestWithoutAnIDNothingIsDoneTwice: the oldest outstanding reservation is another one each time.
func TestWithoutAnIDNothingIsDoneTwice(t *testing.T) {
	calls := map[string]func(context.Context, *sluice.Client) error{
		"commit": func(ctx context.Context, c *sluice.Client) error {
			_, err := c.Commit(ctx, account, httpv1.CommitRequest{})
			return err
		},
		"release": func(ctx context.Context, c *sluice.Client) error {
			_, err := c.Release(ctx, account, httpv1.ReleaseRequest{})
			return err
		},
		"commits": func(ctx context.Context, c *sluice.Client) error {
			items := []httpv1.CommitItem{
				{Account: account, CommitRequest: httpv1.CommitRequest{Reservation: new("gone")}},
				{Account: account},
			}
			_, err := c.CommitBatch(ctx, httpv1.CommitBatchRequest{Commits: items})
			return err
		},
		"releases": func(ctx context.Context, c *sluice.Client) error {
			items := []httpv1.ReleaseItem{
				{Account: account, ReleaseRequest: httpv1.ReleaseRequest{Reservation: new("gone")}},
				{Account: account},
			}
			_, err := c.ReleaseBatch(ctx, httpv1.ReleaseBatchRequest{Releases: items})
			return err
		},
	}
	pass := func(to http.RoundTripper) http.RoundTripper { return to }
	for name, c := range map[string]struct {
		fault    func(http.RoundTripper) http.RoundTripper
		requests int
	}{
		"no fault": {pass, 1},
		"the connection breaks": {func(to http.RoundTripper) http.RoundTripper { return answerLost(to) },
			1},
		"the answer is cut": {func(to http.RoundTripper) http.RoundTripper { return answerCut(to) },
			1},
		"the answer is late": {func(to http.RoundTripper) http.RoundTripper { return answerLate(to) },
			1},
		"a proxy loses it": {func(to http.RoundTripper) http.RoundTripper { return proxyLoses(to) },
			1},
		"a 503 of a proxy": {func(to http.RoundTripper) http.RoundTripper {
			return roundTrip(func(r *http.Request) (*http.Response, error) {
				_, _ = to.RoundTrip(r)
				return respond(503, "upstream reset")(r)
			})
		}, 1},
		"there is no connection": {func(
			http.RoundTripper) http.RoundTripper {
			return roundTrip(noConnection)
		}, 2},
		"not ready": {func(http.RoundTripper) http.RoundTripper {
			return respond(503, `{"type":"https://sluice.dev/problems/not-ready"}`)
		}, 2},
		"overloaded": {func(http.RoundTripper) http.RoundTripper {
			return respond(503, `{"type":"https://sluice.dev/problems/overloaded"}`)
		}, 2},
		"the store may have done it": {func(to http.RoundTripper) http.RoundTripper {
			return roundTrip(func(r *http.Request) (*http.Response, error) {
				_, _ = to.RoundTrip(r)
				return respond(503, `{"type":"https://sluice.dev/problems/store-unavailable"}`)(r)
			})
		}, 1},
	} {
		for verb, call := range calls {
			t.Run(name+", "+verb, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					l := newLimiter(perMinute(10))
					to := direct(server.New(server.Options{Limiter: l}))
					caller := newClient(t, url, sluice.Options{Transport: to})
					for range 3 {
						if _, err := caller.Check(t.Context(), account, httpv1.CheckRequest{}); err != nil {
							t.Fatal(err)
						}
					}
					requests := 0
					err := call(t.Context(),
						newClient(t, url, sluice.Options{Transport: inTurn(&requests, c.fault(to), to)}))
					if requests != c.requests {
						t.Errorf("it was sent %d times, want %d; %v", requests, c.requests, err)
					}
					if left := inFlight(t, l); left != 2 {
						t.Errorf("%d of 3 reservations are left, want 2", left)
					}
				})
			})
		}
	}
}

// TestFaultsOfARealNetwork holds the fakes above against what net/http really returns.
func TestFaultsOfARealNetwork(t *testing.T) {
	var requests atomic.Int32
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		requests.Add(1)
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_ = conn.Close() // instead of an answer
	}))
	defer api.Close()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := "http://" + listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	twice := sluice.Options{Retry: sluice.Retry{MaxAttempts: 2, MinDelay: 1}}
	for name, c := range map[string]struct {
		url         string
		reservation *string
		repeated    bool
	}{
		"nobody listens, without an id":        {nobody, nil, true},
		"nobody listens, with an id":           {nobody, new("id"), true},
		"the connection breaks, without an id": {api.URL, nil, false},
		"the connection breaks, with an id":    {api.URL, new("id"), true},
	} {
		t.Run(name, func(t *testing.T) {
			requests.Store(0)
			request := httpv1.CommitRequest{Reservation: c.reservation}
			_, err := newClient(t, c.url, twice).Commit(t.Context(), account, request)
			if !errors.Is(err, sluice.ErrNoAnswer) {
				t.Fatalf("got %v", err)
			}
			if repeated := strings.Contains(err.Error(), "after 2 attempts"); repeated != c.repeated {
				t.Errorf("repeated: %v, want %v: %v", repeated, c.repeated, err)
			}
			if n := requests.Load(); c.url == api.URL && (n == 2) != c.repeated {
				t.Errorf("the server got %d requests", n)
			}
		})
	}
}
