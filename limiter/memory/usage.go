package memory

import (
	"context"
	"time"

	"github.com/sluice-mail/sluice/limiter"
)

// Usage implements [limiter.Account].
func (a *Account) Usage(
	_ context.Context, now limiter.Instant, current *limiter.CurrentPolicy,
) (u limiter.Usage, err error) {
	if err := a.lockAndAdvance(now); err != nil {
		return u, err
	}
	defer a.mu.Unlock()
	p := current.Load()
	if p == nil {
		return u, limiter.ErrAccountNotFound
	}
	u.Policy, u.InFlight = *p, a.reservations.cost()
	u.Windows = make([]limiter.WindowUsage, 0, limiter.Windows)
	for unit := range limiter.Unit(limiter.Units) {
		for w := range limiter.Window(limiter.Windows) {
			always := unit == limiter.Cost && w != limiter.Second
			if !always && p.Limits[unit][w] <= 0 {
				continue
			}
			limit := max(0, p.Limits[unit][w])
			used, inFlight, excess := a.excess(unit, w, limit, 1)
			usage := limiter.WindowUsage{
				Unit: unit, Window: w, Limit: limit, Used: used, InFlight: inFlight,
			}
			if limit > 0 && excess > 0 {
				usage.Full, u.Full = true, true
				usage.FreeIn = a.freeIn(unit, w, used, excess, now.Mono)
				u.NextSlot = max(u.NextSlot, usage.FreeIn)
			}
			u.Windows = append(u.Windows, usage)
		}
	}
	return u, nil
}

// excess returns how much is used and in flight of a window, and by how much a further check of
// this cost would exceed the limit.
func (a *Account) excess(
	u limiter.Unit, w limiter.Window, limit, cost int64,
) (used, inFlight, excess int64) {
	used, inFlight = a.sent.used(u, w, a.now), a.reservations.cost()
	if u == limiter.Messages {
		inFlight, cost = int64(a.reservations.count()), 1
	}
	return used, inFlight, used + inFlight + cost - limit
}

// freeIn returns how long it is from now until an excess over the limit will have left a window of
// which so much is used. The excess must not be more than the limit.
func (a *Account) freeIn(u limiter.Unit, w limiter.Window, used, excess, now int64) time.Duration {
	if excess > used { // some of what is in flight must leave, too, and that would be committed now
		return time.Duration(a.now + lengths[w] - now)
	}
	if a.sent.settle(a.now) && a.record != nil {
		a.record(Effect{Kind: Merged, At: a.now})
	}
	return time.Duration(a.sent.freeAt(u, w, excess) - now)
}
