package server

import (
	"time"

	"github.com/sluice-mail/sluice/api/httpv1"
	"github.com/sluice-mail/sluice/limiter"
)

// This file turns what the limiter says into the words of the API. The limiter speaks of durations
// from now. Callers get instants, rounded up to the millisecond, so that nobody comes back early.

var verdicts = [...]string{
	limiter.Allowed:  httpv1.Allow,
	limiter.Deferred: httpv1.Defer,
	limiter.Rejected: httpv1.Reject,
}

var behaviors = [...]string{limiter.Defer: httpv1.Defer, limiter.Reject: httpv1.Reject}

var outcomes = [...]string{
	limiter.Committed:  httpv1.Committed,
	limiter.Late:       httpv1.Late,
	limiter.Unreserved: httpv1.Unreserved,
	limiter.Released:   httpv1.Released,
}

// suspendedRetryAfter is when to ask again about a suspended account, in seconds. Nobody knows when
// the suspension ends, and a check every minute is no burden.
const suspendedRetryAfter = 60

// mostExhausted is how many windows are exhausted at most: minute, hour and day.
const mostExhausted = 3

// checkResponse is the response to a check: what was decided, for which id, and when.
type checkResponse struct {
	decision limiter.Decision
	id       string
	now      limiter.Instant
}

// AppendJSON appends the httpv1.CheckResponse of the decision. Nothing of it is on the heap.
func (c checkResponse) AppendJSON(b []byte) []byte {
	d := &c.decision
	out := httpv1.CheckResponse{Decision: verdicts[d.Verdict]}
	switch {
	case d.Verdict == limiter.Allowed:
		if d.Limited {
			out.Remaining = &d.Remaining
		}
		expiresAt := httpv1.Time{Time: time.Unix(0, c.now.Wall+int64(d.ExpiresIn))}
		out.Reservation = &httpv1.Reservation{ID: c.id, Cost: d.Cost, ExpiresAt: expiresAt}
	case d.Suspended:
		out.Reason = httpv1.ReasonSuspended
	default:
		until, millis := after(c.now, d.RetryAfter)
		out.DeferredUntil, out.RetryAfterMillis = &until, &millis
		out.Exhausted = appendExhausted(make([]httpv1.ExhaustedWindow, 0, mostExhausted), c.now, d)
	}
	return out.AppendJSON(b)
}

// RetryAfter is when to ask again after a denial: not before the instant that the body tells.
func (c checkResponse) RetryAfter() int64 {
	switch {
	case c.decision.Verdict == limiter.Allowed:
		return 0
	case c.decision.Suspended:
		return suspendedRetryAfter
	}
	_, millis := after(c.now, c.decision.RetryAfter)
	return ceil(millis, 1000)
}

func appendExhausted(
	to []httpv1.ExhaustedWindow, now limiter.Instant, d *limiter.Decision,
) []httpv1.ExhaustedWindow {
	for i := range d.Exhausted {
		w := &d.Exhausted[i]
		freeAt, _ := after(now, w.FreeIn)
		to = append(to, httpv1.ExhaustedWindow{
			Window: w.Window.String(),
			Limit:  w.Limit, Used: w.Used, InFlight: w.InFlight, FreeAt: freeAt,
		})
	}
	return to
}

// endResponse is the response to a commit or a release. Both have the same JSON.
type endResponse struct{ outcome limiter.Outcome }

// AppendJSON appends the httpv1.CommitResponse or httpv1.ReleaseResponse.
func (e endResponse) AppendJSON(b []byte) []byte {
	out := httpv1.CommitResponse{Outcome: outcomes[e.outcome]}
	return out.AppendJSON(b)
}

// RetryAfter is 0: there is nothing to wait for.
func (endResponse) RetryAfter() int64 { return 0 }

func convertUsage(now limiter.Instant, u *limiter.Usage) httpv1.Usage {
	out := httpv1.Usage{
		Namespace: u.Key.Namespace,
		Name:      u.Key.Name,
		Behavior:  behaviors[u.Policy.Behavior],
		Suspended: u.Policy.Suspended,
		InFlight:  u.InFlight,
		Windows:   make([]httpv1.WindowUsage, len(u.Windows)),
	}
	if u.Full {
		next, _ := after(now, u.NextSlot)
		out.NextSlot = &next
	}
	for i := range u.Windows {
		w := &u.Windows[i]
		window := httpv1.WindowUsage{Window: w.Window.String(), Used: w.Used}
		if w.Limit > 0 {
			remaining := w.Remaining()
			window.Limit, window.Remaining = &w.Limit, &remaining
		}
		if w.Full {
			freeAt, _ := after(now, w.FreeIn)
			window.FreeAt = &freeAt
		}
		out.Windows[i] = window
	}
	return out
}

// after returns the first whole millisecond that is not before now + wait, and how many
// milliseconds it is from now to then, rounded up.
func after(now limiter.Instant, wait time.Duration) (at httpv1.Time, millis int64) {
	const millisecond = int64(time.Millisecond)
	instant := ceil(now.Wall+int64(wait), millisecond)
	millis = max(1, ceil(instant*millisecond-now.Wall, millisecond))
	return httpv1.Time{Time: time.UnixMilli(instant)}, millis
}

// ceil divides positive numbers, and rounds up.
func ceil(n, unit int64) int64 { return (n + unit - 1) / unit }
