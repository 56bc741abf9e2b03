package memory

import (
	"context"
	"math"
	"time"

	"github.com/sluice-mail/sluice/limiter"
)

// Check implements [limiter.Account]. Its errors are [limiter.ErrReservationCost],
// [limiter.ErrReservationEnded], [limiter.ErrCostExceedsLimit], [limiter.ErrAccountOverloaded] and
// [limiter.ErrOverloaded].
func (a *Account) Check(
	_ context.Context, now limiter.Instant, current *limiter.CurrentPolicy, ask limiter.Ask,
) (d limiter.Decision, err error) {
	id := a.store.hashID(ask.ID)
	if err := a.lockAndAdvance(now); err != nil {
		return d, err
	}
	defer a.mu.Unlock()
	p := current.Load()
	switch {
	case p == nil:
		return d, limiter.ErrAccountNotFound
	case p.Suspended:
		return limiter.Decision{Verdict: denial(p), Suspended: true}, nil
	}
	place, ended := a.reservations.find(id)
	switch {
	case place != none:
		return a.repeated(p, place, now.Mono, ask.Cost)
	case ended != nil:
		return d, limiter.ErrReservationEnded
	}
	d.Remaining, d.Limited = a.remaining(p, ask.Cost, 1)
	switch {
	case d.Remaining < 0:
		return a.deny(p, now, ask.Cost)
	case a.reservations.count() >= a.store.perAccount:
		return limiter.Decision{}, limiter.ErrAccountOverloaded
	case !a.store.reservationCap.tryAcquire(a.stripe):
		return limiter.Decision{}, limiter.ErrOverloaded
	}
	deadline := a.now + int64(ask.TTL)
	if a.record != nil {
		a.record(Effect{Kind: Granted, At: a.now, ID: id, Cost: ask.Cost, Deadline: deadline})
	}
	a.reserve(id, ask.Cost, deadline)
	d.Verdict, d.Cost = limiter.Allowed, ask.Cost
	d.ExpiresIn = time.Duration(deadline - now.Mono)
	return d, nil
}

// repeated answers a check whose id is held already.
func (a *Account) repeated(
	p *limiter.Policy, place int32, now, cost int64,
) (d limiter.Decision, err error) {
	r := &a.reservations.outstanding.all[place]
	if int64(r.cost) != cost {
		return d, limiter.ErrReservationCost
	}
	d.Verdict, d.Cost, d.ExpiresIn = limiter.Allowed, cost, time.Duration(r.deadline-now)
	d.Remaining, d.Limited = a.remaining(p, 0, 0)
	d.Remaining = max(0, d.Remaining)
	return d, nil
}

// remaining returns the least that would remain in any limited window with so much more in flight,
// and reports whether there is a limit. It is below 0 if that does not fit.
func (a *Account) remaining(p *limiter.Policy, cost, messages int64) (least int64, limited bool) {
	const unlimited = math.MaxInt64
	least = unlimited
	cost += a.reservations.cost()
	messages += int64(a.reservations.count())
	for w := range limiter.Window(limiter.Windows) {
		if limit := p.Limits[limiter.Cost][w]; limit > 0 {
			least = min(least, limit-cost-a.sent.used(limiter.Cost, w, a.now))
		}
		if limit := p.Limits[limiter.Messages][w]; limit > 0 {
			least = min(least, limit-messages-a.sent.used(limiter.Messages, w, a.now))
		}
	}
	if least == unlimited {
		return 0, false
	}
	return least, true
}

// deny answers a check that does not fit: it says which windows are exhausted, and when to try
// again. It changes nothing that anybody could count, but may merge stamps; see history.settle.
func (a *Account) deny(
	p *limiter.Policy, now limiter.Instant, cost int64,
) (limiter.Decision, error) {
	for w := range limiter.Window(limiter.Windows) {
		if limit := p.Limits[limiter.Cost][w]; limit > 0 && cost > limit {
			return limiter.Decision{}, limiter.ErrCostExceedsLimit
		}
	}
	d := limiter.Decision{Verdict: denial(p), Limited: true}
	for u := range limiter.Unit(limiter.Units) {
		for w := range limiter.Window(limiter.Windows) {
			limit := p.Limits[u][w]
			if limit <= 0 {
				continue
			}
			used, inFlight, excess := a.excess(u, w, limit, cost)
			if excess <= 0 {
				continue
			}
			freeIn := a.freeIn(u, w, used, excess, now.Mono)
			d.Exhausted = append(d.Exhausted, limiter.WindowUsage{
				Unit: u, Window: w, Limit: limit, Used: used, InFlight: inFlight,
				Full: true, FreeIn: freeIn,
			})
			d.RetryAfter = max(d.RetryAfter, freeIn)
		}
	}
	if p.DeferTo == limiter.WindowBoundary {
		length := int64(d.Exhausted[0].Window.Length())
		d.RetryAfter = time.Duration(length - (now.Wall%length+length)%length) // also before 1970
	}
	return d, nil
}

// denial is the verdict of the denials under a policy.
func denial(p *limiter.Policy) limiter.Verdict {
	if p.Behavior == limiter.Reject {
		return limiter.Rejected
	}
	return limiter.Deferred
}

// reserve holds a slot that was found free.
func (a *Account) reserve(id IDHash, cost, deadline int64) {
	if a.reservations == nil {
		a.reservations = newReservations()
	}
	a.reservations.outstanding.add(id, cost, deadline)
	a.store.wakeBy(a, deadline)
}
