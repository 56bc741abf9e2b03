package memory

import (
	"context"

	"github.com/sluice-mail/sluice/limiter"
)

// Commit implements [limiter.Account].
func (a *account) Commit(
	_ context.Context, now limiter.Instant, id string, cost int64,
) (limiter.Outcome, error) {
	hash := a.store.ids.hash(id)
	if err := a.lockAndAdvance(now); err != nil {
		return 0, err
	}
	defer a.mu.Unlock()
	if id == "" {
		if place := a.reservations.oldest(); place != none {
			return a.commitOutstanding(place, cost), nil
		}
		a.sent.append(a.now, max(1, cost))
		return limiter.Unreserved, nil
	}
	place, ended := a.reservations.find(hash)
	switch {
	case place != none:
		return a.commitOutstanding(place, cost), nil
	case ended != nil:
		return a.commitEnded(ended, cost), nil
	}
	return a.commitUnknown(hash, max(1, cost)), nil
}

// commitOutstanding records the send of an outstanding reservation.
func (a *account) commitOutstanding(place int32, cost int64) limiter.Outcome {
	r := a.reservations.end(place, committed, a.now)
	if cost == 0 {
		cost = int64(r.cost)
	}
	a.sent.append(a.now, cost)
	a.releaseCap(1)
	return limiter.Committed
}

// commitEnded records the send of a reservation that has ended, unless it counts as it should
// already.
func (a *account) commitEnded(e *ending, cost int64) limiter.Outcome {
	if cost == 0 {
		cost = int64(e.cost)
	}
	switch e.state {
	case expired: // it counted from its deadline on; now it is known to have left as late as this
		e.state = late
		a.sent.subtract(e.at, int64(e.cost))
		a.sent.append(a.now, cost)
		return limiter.Late
	case released: // the caller gave the slot back, and yet the mail left
		e.state = unreserved
		a.sent.append(a.now, cost)
		return limiter.Unreserved
	case committed:
		return limiter.Committed
	case late:
		return limiter.Late
	default:
		return limiter.Unreserved
	}
}

// commitUnknown records a send of an id that is not known, and remembers the id, so that the same
// commit is not counted again.
func (a *account) commitUnknown(id idHash, cost int64) limiter.Outcome {
	if a.reservations == nil {
		a.reservations = newReservations()
	}
	a.reservations.ended.remember(id, ending{at: a.now, cost: int32(cost), state: unreserved})
	a.sent.append(a.now, cost)
	return limiter.Unreserved
}

// Release implements [limiter.Account]. Its errors are [limiter.ErrReservationNotFound] and
// [limiter.ErrReservationEnded].
func (a *account) Release(
	_ context.Context, now limiter.Instant, id string,
) (limiter.Outcome, error) {
	hash := a.store.ids.hash(id)
	if err := a.lockAndAdvance(now); err != nil {
		return 0, err
	}
	defer a.mu.Unlock()
	place, ended := a.reservations.oldest(), (*ending)(nil)
	if id != "" {
		place, ended = a.reservations.find(hash)
	}
	switch {
	case place != none:
		a.reservations.end(place, released, a.now)
		a.releaseCap(1)
		return limiter.Released, nil
	case ended == nil:
		return 0, limiter.ErrReservationNotFound
	case ended.state == released:
		return limiter.Released, nil
	}
	return 0, limiter.ErrReservationEnded
}
