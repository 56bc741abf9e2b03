package server

import (
	"time"

	"github.com/sluice-mail/sluice/api/httpv1"
	"github.com/sluice-mail/sluice/limiter"
)

// From the limiter's words to those of the API. The limiter speaks of durations from now; callers get instants, rounded
// up to the millisecond, so that whoever comes back at the instant is not early.

var verdicts = [...]string{limiter.Allowed: httpv1.Allow, limiter.Deferred: httpv1.Defer, limiter.Rejected: httpv1.Reject}

var behaviors = [...]string{limiter.Defer: httpv1.Defer, limiter.Reject: httpv1.Reject}

var outcomes = [...]string{
	limiter.Committed:  httpv1.Committed,
	limiter.Late:       httpv1.Late,
	limiter.Unreserved: httpv1.Unreserved,
	limiter.Released:   httpv1.Released,
}

// suspendedRetryAfter is when to ask again about a suspended account, in seconds: nobody knows when it ends, and asking
// every minute is no burden.
const suspendedRetryAfter = 60

// decision is an httpv1.Decision with all that it may point to, so that one can be written without allocating any of it.
type decision struct {
	httpv1.CheckResponse
	remaining, millis int64
	reservation       httpv1.Reservation
	until             httpv1.Time
	exhausted         [len(limiter.Decision{}.Windows)]httpv1.ExhaustedWindow
}

// set makes it the answer to a check of this id.
func (out *decision) set(now limiter.Instant, d *limiter.Decision, id string) {
	out.CheckResponse = httpv1.CheckResponse{Decision: verdicts[d.Verdict]}
	switch {
	case d.Verdict == limiter.Allowed:
		var limited bool
		if out.remaining, limited = d.Remaining(); limited {
			out.Remaining = &out.remaining
		}
		expiresAt := httpv1.Time{Time: time.Unix(0, now.Wall+int64(d.ExpiresIn))}
		out.reservation = httpv1.Reservation{ID: id, Cost: d.Cost, ExpiresAt: expiresAt}
		out.Reservation = &out.reservation
	case d.Suspended:
		out.Reason = httpv1.ReasonSuspended
	default:
		out.until, out.millis = after(now, d.RetryAfter)
		out.DeferredUntil, out.RetryAfterMillis = &out.until, &out.millis
		out.setExhausted(now, d)
	}
}

func (out *decision) setExhausted(now limiter.Instant, d *limiter.Decision) {
	out.Exhausted = out.exhausted[:0]
	for i := range d.Windows {
		if w := &d.Windows[i]; w.Full {
			freeAt, _ := after(now, w.FreeIn)
			out.Exhausted = append(out.Exhausted, httpv1.ExhaustedWindow{
				Window: limiter.Window(i).String(), Limit: w.Limit, Used: w.Used, InFlight: w.InFlight, FreeAt: freeAt,
			})
		}
	}
}

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
		wire := httpv1.WindowUsage{Window: limiter.Window(i).String(), Used: w.Used}
		if w.Limit > 0 {
			remaining := w.Remaining()
			wire.Limit, wire.Remaining = &w.Limit, &remaining
		}
		if w.Full {
			freeAt, _ := after(now, w.FreeIn)
			wire.FreeAt = &freeAt
		}
		out.Windows[i] = wire
	}
	return out
}

// after is the first whole millisecond that is not before now + wait, and how many milliseconds that is from now,
// rounded up.
func after(now limiter.Instant, wait time.Duration) (at httpv1.Time, millis int64) {
	const millisecond = int64(time.Millisecond)
	instant := ceil(now.Wall+int64(wait), millisecond)
	return httpv1.Time{Time: time.UnixMilli(instant)}, max(1, ceil(instant*millisecond-now.Wall, millisecond))
}

// retryAfterSeconds is the Retry-After of a denial, rounded up, or 0.
func retryAfterSeconds(d *httpv1.CheckResponse) int64 {
	switch {
	case d.RetryAfterMillis != nil:
		return ceil(*d.RetryAfterMillis, 1000)
	case d.Reason == httpv1.ReasonSuspended:
		return suspendedRetryAfter
	}
	return 0
}

// ceil is n/unit, rounded up, for positive numbers.
func ceil(n, unit int64) int64 { return (n + unit - 1) / unit }
