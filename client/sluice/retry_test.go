package sluice_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-mail/sluice/api/httpv1"
	"github.com/sluice-mail/sluice/client/sluice"
	"github.com/sluice-mail/sluice/limiter"
	"github.com/sluice-mail/sluice/limiter/limitertest"
	"github.com/sluice-mail/sluice/limiter/memory"
	"github.com/sluice-mail/sluice/server"
)

// TestWhatIsRepeated counts how often a check is sent, if it fails in one way only.
func TestWhatIsRepeated(t *testing.T) {
	problem := func(status int, name string) http.RoundTripper {
		return respond(status, `{"type":"https://sluice.dev/problems/`+name+`"}`)
	}
	for name, c := range map[string]struct {
		transport http.RoundTripper
		requests  int
		want      error
	}{
		"not ready":             {problem(503, "not-ready"), 4, sluice.ErrNotReady},
		"overloaded":            {problem(503, "overloaded"), 4, sluice.ErrOverloaded},
		"the store is away":     {problem(503, "store-unavailable"), 4, sluice.ErrStoreUnavailable},
		"no connection":         {roundTrip(noConnection), 4, sluice.ErrNoAnswer},
		"a lost answer":         {answerLost(respond(200, "{}")), 4, sluice.ErrNoAnswer},
		"a proxy's 502":         {respond(502, ""), 4, &sluice.StatusError{Status: 502}},
		"a proxy's 503":         {respond(503, ""), 4, &sluice.StatusError{Status: 503}},
		"a proxy's 504":         {respond(504, ""), 4, &sluice.StatusError{Status: 504}},
		"another problem":       {problem(409, "reservation-conflict"), 1, sluice.ErrReservationConflict},
		"a bug":                 {problem(500, "internal-error"), 1, sluice.ErrInternal},
		"a later Sluice's":      {problem(418, "teapot"), 1, &httpv1.Problem{}},
		"a proxy's 429":         {respond(429, ""), 1, &sluice.StatusError{Status: 429}},
		"a redirect":            {respond(307, "", "Location", url), 1, &sluice.StatusError{Status: 307}},
		"a 200 that is no JSON": {respond(200, "<html>"), 1, sluice.ErrUnreadable},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				requests := 0
				client := newClient(t, url, sluice.Options{Transport: inTurn(&requests, c.transport)})
				_, err := client.Check(t.Context(), account, httpv1.CheckRequest{})
				ok := errors.Is(err, c.want)
				switch want := c.want.(type) { //nolint:errorlint // of the table, not of a call
				case *sluice.StatusError:
					got, is := errors.AsType[*sluice.StatusError](err)
					ok = is && got.Status == want.Status
				case *httpv1.Problem:
					_, ok = errors.AsType[*httpv1.Problem](err)
				}
				if !ok || requests != c.requests {
					t.Errorf("it was sent %d times, want %d: %v", requests, c.requests, err)
				}
				if said := strings.Contains(err.Error(), "after 4 attempts"); said != (c.requests == 4) {
					t.Errorf("the error is %q", err)
				}
			})
		})
	}
}

// TestARetryAfterIsKept waits for a server that loads its limits.
func TestARetryAfterIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := limiter.New(memory.New(memory.Options{}))
		limitertest.Apply(t, l, key, "uid", limiter.Policy{})
		time.AfterFunc(1500*time.Millisecond, l.MarkLoaded)
		requests, began := 0, time.Now()
		c := newClient(t, url,
			sluice.Options{Transport: inTurn(&requests, direct(server.New(server.Options{Limiter: l})))})
		d, err := c.Check(t.Context(), account, httpv1.CheckRequest{})
		took := time.Since(began)
		if err != nil || d.Decision != httpv1.Allow || requests != 3 || took < 2*time.Second ||
			took > 2300*time.Millisecond {
			t.Errorf("%d requests took %s: %+v, %v", requests, took, d, err)
		}
	})
}

// TestPauses looks at the time between the attempts.
func TestPauses(t *testing.T) {
	const ms = time.Millisecond
	for name, c := range map[string]struct {
		retry      sluice.Retry
		retryAfter string
		want       [][2]time.Duration // each pause, at least and at most
	}{
		"by default they double": {sluice.Retry{MaxAttempts: 5}, "",
			[][2]time.Duration{{50 * ms, 100 * ms}, {100 * ms, 200 * ms}, {200 * ms, 400 * ms},
				{400 * ms, 800 * ms}}},
		"up to the longest": {sluice.Retry{MinDelay: 3 * ms, MaxDelay: 4 * ms}, "",
			[][2]time.Duration{{1 * ms, 3 * ms}, {2 * ms, 4 * ms}, {2 * ms, 4 * ms}}},
		"where the first is the longest": {sluice.Retry{MinDelay: time.Hour, MaxDelay: 4 * ms,
			MaxAttempts: 2}, "",
			[][2]time.Duration{{2 * ms, 4 * ms}}},
		"a Retry-After, in seconds": {sluice.Retry{}, "3",
			[][2]time.Duration{{3000 * ms, 3050 * ms}, {3000 * ms, 3100 * ms}, {3000 * ms, 3200 * ms}}},
		// The bubble's clock begins with the year 2000. The first request is at once.
		"a Retry-After, as a date": {sluice.Retry{MaxAttempts: 2}, "Sat, 01 Jan 2000 00:00:07 GMT",
			[][2]time.Duration{{7000 * ms, 7050 * ms}}},
		"a Retry-After that is long": {sluice.Retry{}, "11", nil},
		"a Retry-After that is past": {sluice.Retry{MaxAttempts: 2}, "Fri, 31 Dec 1999 23:59:59 GMT",
			[][2]time.Duration{{50 * ms, 100 * ms}}},
		"a Retry-After that is negative": {sluice.Retry{MaxAttempts: 2}, "-5",
			[][2]time.Duration{{50 * ms, 100 * ms}}},
		"a Retry-After of nonsense": {sluice.Retry{MaxAttempts: 2}, "soon",
			[][2]time.Duration{{50 * ms, 100 * ms}}},
		"no retries": {sluice.Retry{MaxAttempts: 1}, "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var sent []time.Time
				client := newClient(t, url, sluice.Options{
					Retry: c.retry,
					Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
						sent = append(sent, time.Now())
						return respond(503, "", "Retry-After", c.retryAfter)(r)
					}),
				})
				if _, err := client.Usage(t.Context(), account); err == nil {
					t.Fatal("there is no error")
				}
				if len(sent) != len(c.want)+1 {
					t.Fatalf("there were %d attempts, want %d", len(sent), len(c.want)+1)
				}
				for i, want := range c.want {
					if p := sent[i+1].Sub(sent[i]); p < want[0] || p > want[1] {
						t.Errorf("pause %d was %s, want %s to %s", i+1, p, want[0], want[1])
					}
				}
			})
		})
	}
}

// TestPausesAreRandom: callers that failed together do not come back together.
func TestPausesAreRandom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pauses := map[time.Duration]bool{}
		for _, retryAfter := range []string{"", "1"} {
			for range 20 {
				requests, began := 0, time.Now()
				c := newClient(t, url, sluice.Options{
					Retry:     sluice.Retry{MaxAttempts: 2},
					Transport: inTurn(&requests, respond(503, "", "Retry-After", retryAfter)),
				})
				_, _ = c.Usage(t.Context(), account)
				pauses[time.Since(began)] = true
			}
		}
		if len(pauses) < 30 {
			t.Errorf("40 callers came back at %d times", len(pauses))
		}
	})
}

// TestTheContextEndsACall at once, whatever it waits for.
func TestTheContextEndsACall(t *testing.T) {
	notReady := respond(503, `{"type":"https://sluice.dev/problems/not-ready"}`, "Retry-After", "5")
	for name, c := range map[string]struct {
		transport http.RoundTripper
		cancel    time.Duration
		deadline  time.Duration
		took      time.Duration
		requests  int
		want      []error
	}{
		"cancelled in a pause": {notReady, time.Second, 0, time.Second, 1,
			[]error{context.Canceled, sluice.ErrNotReady}},
		"cancelled in an attempt": {answerLate(notReady), time.Second, 0, time.Second, 1,
			[]error{context.Canceled, sluice.ErrNoAnswer}},
		"cancelled before": {direct(http.NotFoundHandler()), -1, 0, 0, 1,
			[]error{context.Canceled, sluice.ErrNoAnswer}},
		"a pause that the deadline cuts is not begun": {notReady, 0, 8 * time.Second, 5 * time.Second, 2,
			[]error{sluice.ErrNotReady}},
		"a deadline in an attempt": {answerLate(notReady), 0, time.Second, time.Second, 1,
			[]error{context.DeadlineExceeded, sluice.ErrNoAnswer}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				switch {
				case c.cancel < 0:
					cancel()
				case c.cancel > 0:
					time.AfterFunc(c.cancel, cancel)
				}
				if c.deadline > 0 {
					ctx, cancel = context.WithTimeout(ctx, c.deadline)
					defer cancel()
				}
				requests, began := 0, time.Now()
				client := newClient(t, url, sluice.Options{Transport: inTurn(&requests, c.transport)})
				_, err := client.Check(ctx, account, httpv1.CheckRequest{})
				took := time.Since(began)
				if requests != c.requests || took < c.took || took > c.took+60*time.Millisecond {
					t.Errorf("%d requests took %s, want %d and %s", requests, took, c.requests, c.took)
				}
				for _, want := range c.want {
					if !errors.Is(err, want) {
						t.Errorf("got %v, want %v", err, want)
					}
				}
			})
		})
	}
}

// TestAnAttemptIsBounded, and the next one has all of its time.
func TestAnAttemptIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, requests, began := newLimiter(perMinute(5)), 0, time.Now()
		to := direct(server.New(server.Options{Limiter: l}))
		c := newClient(t, url, sluice.Options{
			AttemptTimeout: 3 * time.Second,
			Transport:      inTurn(&requests, answerLate(to), answerLate(to), to),
		})
		_, err := c.Check(t.Context(), account, httpv1.CheckRequest{})
		took := time.Since(began)
		if err != nil || requests != 3 || took < 6*time.Second || took > 6500*time.Millisecond {
			t.Errorf("%d requests took %s: %v", requests, took, err)
		}
	})
}
