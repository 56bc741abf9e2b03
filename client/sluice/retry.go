package sluice

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"time"
)

// Retry says how a call is repeated that Sluice could not answer: it answered 503, the connection
// could not be made or broke, the answer did not come in time, or a proxy answered 502 or 504.
// Every other answer is final. The zero value is the default.
//
// A commit or release without a reservation id is repeated only if Sluice certainly did nothing;
// see [Client.Commit].
type Retry struct {
	// MaxAttempts is how often a call is sent at most, the first time included. 0 is 4; 1 is once.
	MaxAttempts int
	// MinDelay is the pause before the second attempt. It doubles with each further one, up to
	// MaxDelay. Every pause is shortened at random by up to half, so that callers do not come back
	// together. 0 is 100 ms.
	MinDelay time.Duration
	// MaxDelay is the longest pause. Where an answer has a Retry-After, the pause is that and a
	// little more, at random; if it is longer than MaxDelay, the call fails at once. 0 is 10 s.
	MaxDelay time.Duration
}

func (r Retry) validate() error {
	if r.MaxAttempts < 0 || r.MinDelay < 0 || r.MaxDelay < 0 {
		return fmt.Errorf("the fields of Retry must be 0 or more, not %+v", r)
	}
	return nil
}

func (r Retry) withDefaults() Retry {
	return Retry{
		MaxAttempts: cmp.Or(r.MaxAttempts, 4),
		MinDelay:    cmp.Or(r.MinDelay, 100*time.Millisecond),
		MaxDelay:    cmp.Or(r.MaxDelay, 10*time.Second),
	}
}

// many reports whether a call may be sent more than once.
func (r Retry) many() bool { return r.MaxAttempts > 1 }

// delay is the pause after the n-th attempt, or false if there is to be no other.
func (r Retry) delay(n int, idempotent bool, f *failure) (time.Duration, bool) {
	if n >= r.MaxAttempts || f.retryAfter > r.MaxDelay {
		return 0, false
	}
	if f.effect == decided || f.effect == unknown && !idempotent {
		return 0, false
	}
	longest := min(r.MinDelay, r.MaxDelay)
	for range n - 1 {
		longest = min(2*longest, r.MaxDelay)
	}
	random := rand.N(longest/2 + 1) //nolint:gosec // spreads callers, and is no secret
	if f.retryAfter > 0 {
		return f.retryAfter + random, true
	}
	return longest - random, true
}

// send sends a call until it is answered, or is not to be repeated any more. It returns the body of
// a 200.
func (c *Client) send(ctx context.Context, q *call) ([]byte, error) {
	for n := 1; ; n++ {
		body, f := c.attempt(ctx, q)
		if f == nil {
			return body, nil
		}
		if ctx.Err() != nil {
			return nil, f.err
		}
		delay, again := c.retry.delay(n, q.idempotent, f)
		if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < delay {
			again = false // the pause would be in vain
		}
		if !again {
			return nil, afterAttempts(n, f.err)
		}
		if err := pause(ctx, delay); err != nil {
			return nil, fmt.Errorf("%w, and before that: %w", err, afterAttempts(n, f.err))
		}
	}
}

// afterAttempts says how many there were, if more than one.
func afterAttempts(n int, err error) error {
	if n == 1 {
		return err
	}
	return fmt.Errorf("%w (after %d attempts)", err, n)
}

// pause waits, unless the context ends.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
