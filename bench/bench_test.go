package bench

import (
	"bytes"
	"context"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-mail/sluice/api/httpv1"
	"github.com/sluice-mail/sluice/limiter"
	"github.com/sluice-mail/sluice/limiter/limitertest"
)

// tallied is what TestCountsAddUp looks at.
type tallied struct {
	Requests, Decisions, Outcomes, Problems map[string]int64
	Checks                                  int64
}

// TestCountsAddUp runs against a real server, in a second in which each of two connections sends
// 1,000 requests.
func TestCountsAddUp(t *testing.T) {
	for name, c := range map[string]struct {
		accounts int
		policy   limiter.Policy
		commit   float64
		batch    int // with one connection, so that it is certain which batch has what
		want     tallied
	}{
		"what is allowed is committed, the rest is denied": {
			4, perMinute(10), 1, 1,
			tallied{
				Requests:  map[string]int64{"check": 1960, "commit": 40, "release": 0},
				Decisions: map[string]int64{"Allow": 40, "Defer": 1920, "Reject": 0},
				Outcomes:  map[string]int64{"Committed": 40},
				Checks:    1960,
			},
		},
		"a rejecting account": {
			1, limiter.Policy{Limits: limitertest.Limits(0, 0, 1), Behavior: limiter.Reject}, 1, 1,
			tallied{
				Requests:  map[string]int64{"check": 1999, "commit": 1, "release": 0},
				Decisions: map[string]int64{"Allow": 1, "Defer": 0, "Reject": 1998},
				Outcomes:  map[string]int64{"Committed": 1},
				Checks:    1999,
			},
		},
		"three of four are committed, one is released": {
			3, limiter.Policy{}, 0.75, 1,
			tallied{
				Requests:  map[string]int64{"check": 1000, "commit": 750, "release": 250},
				Decisions: map[string]int64{"Allow": 1000, "Defer": 0, "Reject": 0},
				Outcomes:  map[string]int64{"Committed": 750, "Released": 250},
				Checks:    1000,
			},
		},
		"batches": {
			4, perMinute(100), 0.5, 10,
			tallied{
				Requests:  map[string]int64{"check": 680, "commit": 160, "release": 160},
				Decisions: map[string]int64{"Allow": 800, "Defer": 6000, "Reject": 0},
				Outcomes:  map[string]int64{"Committed": 400, "Released": 400},
				Checks:    6800,
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h, l := newServer(c.accounts, c.policy)
				config := setting(h)
				if config.Commit, config.Batch = c.commit, c.batch; c.batch > 1 {
					config.Connections = 1
				}
				r := mustRun(t, config)
				c.want.Problems = map[string]int64{}
				got := tallied{r.Requests, r.Decisions, r.Outcomes, r.Problems, r.Checks}
				if diff := cmp.Diff(c.want, got); diff != "" {
					t.Errorf("want -, got +:\n%s", diff)
				}
				if err := r.Err(); err != nil {
					t.Errorf("%v: %+v", err, r.Limits)
				}
				if held := l.Stats().Reservations; held != 0 {
					t.Errorf("%d reservations are still held", held)
				}
			})
		})
	}
}

// TestInterrupted ends a run early: what was allowed is committed, and there is a report.
func TestInterrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, l := newServer(4, limiter.Policy{})
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(500_500*time.Microsecond, cancel) // while requests are under way
		for _, rate := range []float64{0, 10} {
			c := setting(h)
			c.Duration, c.Rate = time.Hour, rate
			r, err := Run(ctx, c, Progress{})
			if rate > 0 { // interrupted from the start
				if err == nil || !strings.Contains(err.Error(), "context canceled") {
					t.Errorf("before the start: %v", err)
				}
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			if len(r.Notes) < 2 || !strings.Contains(r.Notes[1], "Interrupted after 500ms of 1h0m0s") {
				t.Errorf("the notes are %q", r.Notes)
			}
			if r.Decisions[httpv1.Allow] != r.Outcomes[httpv1.Committed] || l.Stats().Reservations != 0 {
				t.Errorf("decisions %v, outcomes %v, %d held", r.Decisions, r.Outcomes, l.Stats().Reservations)
			}
		}
	})
}

// TestProblemsAreCounted by what they are.
func TestProblemsAreCounted(t *testing.T) {
	respond := func(status int, body string) http.HandlerFunc {
		list := &fake{limit: 5}
		return func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodGet {
				list.ServeHTTP(w, r)
				return
			}
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body))
		}
	}
	for name, c := range map[string]struct {
		handler http.HandlerFunc
		want    string
	}{
		"a problem": {
			respond(503, `{"type":"https://sluice.dev/problems/not-ready","detail":"Wait."}`),
			"not-ready"},
		"of a proxy":             {respond(502, `{"error":"no backend"}`), "status 502"},
		"no JSON":                {respond(200, `<html>`), "unreadable answer"},
		"JSON of something else": {respond(200, `{"decision":7}`), "unreadable answer"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := mustRun(t, setting(c.handler))
				if diff := cmp.Diff(map[string]int64{c.want: 2000}, r.Problems); diff != "" {
					t.Errorf("want -, got +:\n%s", diff)
				}
				want := "none of 2000 checks was answered with a decision"
				if err := r.Err(); err == nil || err.Error() != want {
					t.Errorf("the error is %v", err)
				}
			})
		})
	}
}

func TestProgressIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := setting(&fake{limit: 5})
		c.Connections, c.Duration = 1, 1500*time.Millisecond
		var out bytes.Buffer
		// Never at the instant of an answer, as it could then be told before or after.
		every := Progress{To: &out, Every: 700_300 * time.Microsecond}
		if _, err := Run(t.Context(), c, every); err != nil {
			t.Fatal(err)
		}
		const want = `   1 s        500 checks/s      1,000 requests/s        500 allowed/s  1 LIMITS EXCEEDED
   1 s        500 checks/s      1,000 requests/s        500 allowed/s  1 LIMITS EXCEEDED
`
		if diff := cmp.Diff(want, out.String()); diff != "" {
			t.Errorf("want -, got +:\n%s", diff)
		}
	})
}
