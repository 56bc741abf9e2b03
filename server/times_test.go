package server_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-mail/sluice/api/httpv1"
	"github.com/sluice-mail/sluice/limiter"
	"github.com/sluice-mail/sluice/limiter/limitertest"
)

// waits are the three ways in which a denial says how long to wait. Each returns when to come back.
var waits = map[string]func(t *testing.T, d httpv1.CheckResponse, header string) time.Time{
	"until deferredUntil": func(_ *testing.T, d httpv1.CheckResponse, _ string) time.Time {
		return d.DeferredUntil.Time
	},
	"for retryAfterMillis": func(_ *testing.T, d httpv1.CheckResponse, _ string) time.Time {
		return time.Now().Add(time.Duration(*d.RetryAfterMillis) * time.Millisecond)
	},
	"for Retry-After": func(t *testing.T, _ httpv1.CheckResponse, header string) time.Time {
		seconds, err := strconv.Atoi(header)
		if err != nil {
			t.Fatal(err)
		}
		return time.Now().Add(time.Duration(seconds) * time.Second)
	},
}

// TestWhoWaitsAsToldIsAllowed is the promise of deferredUntil. It also holds where the clock is
// between two milliseconds when the mail leaves, or when the next check comes.
func TestWhoWaitsAsToldIsAllowed(t *testing.T) {
	fractions := []time.Duration{0, 1, 999_999, 999_500_000}
	for name, limits := range map[string]limiter.Limits{
		"a minute":             limitertest.Limits(1, 0, 0),
		"an hour":              limitertest.Limits(0, 1, 0),
		"a day":                limitertest.Limits(0, 0, 1),
		"all of them":          limitertest.Limits(1, 1, 1),
		"the day, room before": limitertest.Limits(2, 2, 1),
	} {
		t.Run(name, func(t *testing.T) {
			for _, sent := range fractions {
				for _, asked := range fractions {
					for how, back := range waits {
						synctest.Test(t, func(t *testing.T) {
							if !waitAsTold(t, limits, sent, asked, back) {
								t.Errorf("sent %v after the start, asked %v later, waited %s", sent,
									asked, how)
							}
						})
					}
				}
			}
		})
	}
}

// waitAsTold sends a mail, checks for another after a while, and comes back when told. It reports
// whether the check is allowed then, and denied a millisecond before.
func waitAsTold(
	t *testing.T, limits limiter.Limits, sent, asked time.Duration,
	back func(*testing.T, httpv1.CheckResponse, string) time.Time,
) bool {
	a := newBubble(t, limiter.Policy{Limits: limits}, setup{})
	time.Sleep(sent) // of the bubble's clock, as all that follow
	a.post("commit", "")
	time.Sleep(asked)
	denial := a.post("check", "")
	d := into[httpv1.CheckResponse](denial)
	if d.DeferredUntil == nil {
		t.Fatalf("got %s", denial.body)
	}
	at := back(t, d, denial.header.Get("Retry-After"))
	time.Sleep(time.Until(d.DeferredUntil.Add(-time.Millisecond)))
	early := a.post("check", "")
	time.Sleep(time.Until(at))
	again := a.post("check", "")
	if into[httpv1.CheckResponse](early).Decision == httpv1.Defer &&
		into[httpv1.CheckResponse](again).Decision == httpv1.Allow {
		return true
	}
	t.Errorf("told %sa millisecond early %sat %v %s", denial.body, early.body, at, again.body)
	return false
}

// TestTheNextSlotIsOne wants a check at the nextSlot of the usage to be allowed.
func TestTheNextSlotIsOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newBubble(t, limiter.Policy{Limits: limitertest.Limits(1, 0, 0)}, setup{})
		time.Sleep(1_234_567)
		a.post("commit", "")
		time.Sleep(7_654_321)
		u := into[httpv1.Usage](a.get("/v1/accounts/marketing/newsletter"))
		time.Sleep(time.Until(u.NextSlot.Time))
		if got := a.post("check", ""); into[httpv1.CheckResponse](got).Decision != httpv1.Allow {
			t.Errorf("got %s", got.body)
		}
	})
}

// TestAReservationHoldsUntilItExpires wants a commit at expiresAt not to be late: expiresAt is
// rounded down.
func TestAReservationHoldsUntilItExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newBubble(t, limiter.Policy{}, setup{})
		time.Sleep(1_234_567)
		r := into[httpv1.CheckResponse](a.post("check", `{"ttlSeconds":1}`)).Reservation
		time.Sleep(time.Until(r.ExpiresAt.Time))
		got := into[httpv1.CommitResponse](a.post("commit", `{"reservation":"`+r.ID+`"}`))
		if got.Outcome != httpv1.Committed {
			t.Errorf("a commit at %v is %s", r.ExpiresAt, got.Outcome)
		}
	})
}

// slowBody is a body that takes its time to come.
type slowBody struct {
	io.Reader
	takes time.Duration
}

func (b slowBody) Read(p []byte) (int, error) {
	time.Sleep(b.takes)
	return b.Reader.Read(p)
}

// TestASlowRequestIsDecidedAtItsEnd wants the time of a decision to be after the body was read.
func TestASlowRequestIsDecidedAtItsEnd(t *testing.T) {
	const takes = time.Second
	item := `"id":"a","ttlSeconds":60}`
	for path, body := range map[string]string{
		"/v1/accounts/marketing/newsletter/check": `{` + item,
		"/v1/check": `{"checks":[{"namespace":"marketing","name":"newsletter",` + item + `]}`,
	} {
		synctest.Test(t, func(t *testing.T) {
			a := newBubble(t, limiter.Policy{}, setup{})
			slow := slowBody{strings.NewReader(body), takes}
			r := httptest.NewRequest(http.MethodPost, path, slow)
			r.Header.Set("Content-Type", "application/json")
			w := httptest.NewRecorder()
			a.server.ServeHTTP(w, r)
			want := time.Now().Add(time.Minute).UTC().Format("2006-01-02T15:04:05.000Z")
			if got := w.Body.String(); !strings.Contains(got, `"expiresAt":"`+want+`"`) {
				t.Errorf("%s: got %s, want it to expire at %s", path, got, want)
			}
		})
	}
}
