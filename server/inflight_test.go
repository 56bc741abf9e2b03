package server_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-mail/sluice/limiter"
	"github.com/sluice-mail/sluice/server"
)

const inFlightHint = "repeat the call with the same id in a second"

// stuck is an api of which one operation waits until the test lets it go on.
type stuck struct {
	*api
	let chan struct{}
}

func newStuck(t *testing.T, operation string, maxInFlight int) *stuck {
	t.Helper()
	let := make(chan struct{})
	wait := func() error { <-let; return nil }
	return &stuck{newAPI(t, limiter.Policy{},
		setup{operation: operation, first: wait, maxInFlight: maxInFlight}), let}
}

// send sends a call without a body, and waits until so many calls of its pool are in flight.
func (s *stuck) send(verb, pool string, inFlight float64) {
	s.t.Helper()
	_, err := fmt.Fprintf(s.dial(),
		"POST /v1/accounts/marketing/newsletter/%s HTTP/1.1\r\nHost: s\r\n\r\n", verb)
	if err != nil {
		s.t.Fatal(err)
	}
	s.untilInFlight(pool, inFlight)
}

func (s *stuck) untilInFlight(pool string, n float64) {
	s.t.Helper()
	until(s.t, fmt.Sprint(n, " in flight"), func() bool {
		return s.series()["sluice_http_in_flight pool="+pool] == n
	})
}

// statuses asks for everything once.
func (s *stuck) statuses() map[string]int {
	item := `[{"namespace":"marketing","name":"newsletter"}]`
	return map[string]int{
		"check":       s.post("check", "{}").status,
		"checkBatch":  s.batch("/v1/check", `{"checks":`+item+`}`).status,
		"commit":      s.post("commit", "{}").status,
		"commitBatch": s.batch("/v1/commit", `{"commits":`+item+`}`).status,
		"release":     s.post("release", "{}").status,
		"usage":       s.get("/v1/accounts/marketing/newsletter").status,
		"list":        s.get("/v1/accounts").status,
		"contract":    s.get("/openapi.yaml").status,
		"unknown":     s.get("/v2").status,
	}
}

// TestPoolsShedOnlyTheirOwn fills one pool, and wants the calls of that pool to be refused, and all
// others to be answered. In particular, checks that are too many cost no commit.
func TestPoolsShedOnlyTheirOwn(t *testing.T) {
	for _, c := range []struct {
		verb, pool string
		refused    []string
	}{
		{"check", "check", []string{"check", "checkBatch"}},
		{"commit", "end", []string{"commit", "commitBatch", "release"}},
	} {
		t.Run(c.pool, func(t *testing.T) {
			s := newStuck(t, c.verb, 2)
			s.send(c.verb, c.pool, 1)
			s.send(c.verb, c.pool, 2)
			want := map[string]int{
				"check": 200, "checkBatch": 200, "commit": 200, "commitBatch": 200, "release": 404,
				"usage": 200, "list": 200, "contract": 200, "unknown": 404,
			}
			for _, name := range c.refused {
				want[name] = 503
			}
			if c.verb == "commit" {
				want["release"] = 503
			}
			if diff := cmp.Diff(want, s.statuses()); diff != "" {
				t.Error(diff)
			}
			got := s.post(c.verb, "{}")
			got.wantProblem(503, "overloaded", inFlightHint)
			if after := got.header.Get("Retry-After"); after != "1" {
				t.Errorf("Retry-After: %q", after)
			}
			if shed := s.series()["sluice_http_shed_total pool="+c.pool]; shed !=
				float64(len(c.refused)+1) {
				t.Errorf("%v were counted as shed", shed)
			}
			close(s.let)
			s.untilInFlight(c.pool, 0)
			if got := s.post(c.verb, "{}"); got.status != http.StatusOK {
				t.Errorf("then got %d", got.status)
			}
		})
	}
}

// TestSlowBodiesTakeNoPlace wants checks whose bodies do not end to leave the pool to others.
func TestSlowBodiesTakeNoPlace(t *testing.T) {
	a := newAPI(t, limiter.Policy{}, setup{maxInFlight: 1})
	for range 20 {
		_, err := io.WriteString(a.dial(), "POST "+checkPath+" HTTP/1.1\r\nHost: s\r\n"+
			"Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{")
		if err != nil {
			t.Fatal(err)
		}
	}
	for range 20 {
		if got := a.post("check", "{}"); got.status != http.StatusOK {
			t.Fatalf("got %d %s", got.status, got.body)
		}
	}
}

// TestBodyThatNobodyReadsGetsNoOneIn has reads come with a body, which they do not take.
func TestBodyThatNobodyReadsGetsNoOneIn(t *testing.T) {
	s := newStuck(t, "getAccount", 1)
	defer close(s.let)
	_, err := io.WriteString(s.dial(),
		"GET /v1/accounts/marketing/newsletter HTTP/1.1\r\nHost: s\r\nContent-Length: 1\r\n\r\nx")
	if err != nil {
		t.Fatal(err)
	}
	s.untilInFlight("read", 1)
	s.get("/v1/accounts").wantProblem(503, "overloaded", inFlightHint)
}

// slowRules are rules that take long to say who may list.
type slowRules struct {
	*rules
	asked, let chan struct{}
}

func (a slowRules) Authorize(
	ctx context.Context, who server.Caller, verb string, k limiter.Key,
) error {
	if verb == "list" {
		a.asked <- struct{}{}
		<-a.let
	}
	return a.rules.Authorize(ctx, who, verb, k)
}

// TestReviewsOfListsTakeNoPlace has a right to a list be reviewed while somebody else reads usage.
func TestReviewsOfListsTakeNoPlace(t *testing.T) {
	auth := slowRules{
		&rules{may: map[string][]string{"amy": {"get marketing/newsletter"}, "eve": nil}},
		make(chan struct{}), make(chan struct{}),
	}
	a := newAPI(t, limiter.Policy{}, setup{auth: auth, maxInFlight: 1})
	defer close(auth.let)
	_, err := io.WriteString(a.dial(), "GET /v1/accounts?namespace=marketing HTTP/1.1\r\n"+
		"Host: s\r\nAuthorization: Bearer eve\r\n\r\n")
	if err != nil {
		t.Fatal(err)
	}
	<-auth.asked
	usage := as("amy", request{method: http.MethodGet}.to("/v1/accounts/marketing/newsletter"))
	if got := a.call(usage); got.status != http.StatusOK {
		t.Errorf("meanwhile somebody else got %d %s", got.status, got.body)
	}
}

// TestChecksThatWaitForACoreAreShed has more calls arrive at a time than one core works on soon. If
// that is no burst, some of the checks are refused; of commits none is, though none of either is
// held up by the store.
func TestChecksThatWaitForACoreAreShed(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	const calls = 1000
	for _, c := range []struct {
		verb            string
		overload, sheds bool
	}{{"check", false, false}, {"check", true, true}, {"commit", true, false}} {
		a := newBubble(t, limiter.Policy{}, setup{})
		if c.overload {
			a.server.Overload()
		}
		var all sync.WaitGroup
		var mu sync.Mutex
		statuses := map[int]int{}
		for range calls {
			all.Go(func() {
				w := httptest.NewRecorder()
				a.server.ServeHTTP(w, httptest.NewRequest(http.MethodPost,
					"/v1/accounts/marketing/newsletter/"+c.verb, http.NoBody))
				mu.Lock()
				defer mu.Unlock()
				statuses[w.Code]++
			})
		}
		all.Wait()
		if shed := statuses[503] > 0; shed != c.sheds || statuses[200] == 0 ||
			statuses[200]+statuses[503] != calls {
			t.Errorf("%ss, with overload %v, are answered with %v", c.verb, c.overload, statuses)
		}
	}
}

// TestRefusalsArePaced wants the first refusals at once, and others held for a while.
func TestRefusalsArePaced(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	synctest.Test(t, func(t *testing.T) {
		refuse := server.Refusals()
		took := make(chan time.Duration, 10_000)
		ask := func(ctx context.Context, n int) (within []time.Duration) {
			start := time.Now()
			for range n {
				go func() {
					refuse(ctx)
					took <- time.Since(start)
				}()
			}
			for range n {
				within = append(within, <-took)
			}
			return within
		}
		got := ask(t.Context(), 5000)
		if got[99] != 0 || got[200] == 0 || got[1100] < 400*time.Millisecond ||
			got[4999] != 2*time.Second {
			t.Errorf("refused after %v, %v, %v and %v", got[99], got[200], got[1100], got[4999])
		}
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if got := ask(gone, 100); got[99] != 0 {
			t.Errorf("a caller that is gone was kept for %v", got[99])
		}
		time.Sleep(5 * time.Second)
		if got := ask(t.Context(), 50); got[49] != 0 {
			t.Errorf("later, few were refused after %v", got[49])
		}
	})
}
