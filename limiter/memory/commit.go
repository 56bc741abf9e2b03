package memory

import (
	"context"

	"github.com/sluice-mail/sluice/limiter"
)

// Commit implements [limiter.Account].
func (a *Account) Commit(
	_ context.Context, now limiter.Instant, id string, cost int64,
) (limiter.Outcome, error) {
	hash := a.store.hashID(id)
	if err := a.lockAndAdvance(now); err != nil {
		return 0, err
	}
	defer a.mu.Unlock()
	if id == "" {
		if place := a.reservations.oldest(); place != none {
			return a.commitOutstanding(place, cost), nil
		}
		return a.commitAnonymous(max(1, cost)), nil
	}
	place, ended := a.reservations.find(hash)
	switch {
	case place != none:
		return a.commitOutstanding(place, cost), nil
	case ended != nil:
		return a.commitEnded(ended, hash, cost), nil
	}
	return a.commitUnknown(hash, max(1, cost)), nil
}

// commitOutstanding records the send of an outstanding reservation.
func (a *Account) commitOutstanding(place int32, cost int64) limiter.Outcome {
	reserved := int64(a.reservations.outstanding.all[place].cost)
	if cost == 0 {
		cost = reserved
	}
	if a.record != nil {
		id := a.reservations.outstanding.byID.ids[place]
		a.record(Effect{
			Kind: Committed, At: a.now, ID: id, Cost: cost, CostsMore: cost > reserved,
		})
	}
	a.reservations.end(place, committed, a.now)
	a.sent.append(a.now, cost)
	a.releaseCap(1)
	return limiter.Committed
}

// commitEnded records the send of a reservation that has ended, unless it counts as it should
// already.
func (a *Account) commitEnded(e *ending, id IDHash, cost int64) limiter.Outcome {
	if cost == 0 {
		cost = int64(e.cost)
	}
	switch e.state {
	case expired: // it counted from its deadline on; now it is known to have left as late as this
		if a.record != nil {
			a.record(Effect{Kind: CommittedLate, At: a.now, ID: id, Cost: cost})
		}
		e.state = late
		a.sent.subtract(e.at, int64(e.cost))
		a.sent.append(a.now, cost)
		return limiter.Late
	case released: // the caller gave the slot back, and yet the mail left
		if a.record != nil {
			a.record(Effect{Kind: CommittedUnreserved, At: a.now, ID: id, Cost: cost})
		}
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
func (a *Account) commitUnknown(id IDHash, cost int64) limiter.Outcome {
	if a.reservations == nil {
		a.reservations = newReservations()
	}
	if a.record != nil {
		a.record(Effect{Kind: CommittedUnreserved, At: a.now, ID: id, Cost: cost})
	}
	a.reservations.ended.remember(id, ending{at: a.now, cost: int32(cost), state: unreserved})
	a.sent.append(a.now, cost)
	return limiter.Unreserved
}

// commitAnonymous records a send that nothing is known of but its cost.
func (a *Account) commitAnonymous(cost int64) limiter.Outcome {
	if a.record != nil {
		e := Effect{Kind: CommittedUnreserved, Anonymous: true, At: a.now, Cost: cost}
		a.record(e)
	}
	a.sent.append(a.now, cost)
	return limiter.Unreserved
}

// Release implements [limiter.Account]. Its errors are [limiter.ErrReservationNotFound] and
// [limiter.ErrReservationEnded].
func (a *Account) Release(
	_ context.Context, now limiter.Instant, id string,
) (limiter.Outcome, error) {
	hash := a.store.hashID(id)
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
		a.release(place)
		return limiter.Released, nil
	case ended == nil:
		return 0, limiter.ErrReservationNotFound
	case ended.state == released:
		return limiter.Released, nil
	}
	return 0, limiter.ErrReservationEnded
}

// release gives back the slot of an outstanding reservation.
func (a *Account) release(place int32) {
	if a.record != nil {
		id := a.reservations.outstanding.byID.ids[place]
		a.record(Effect{Kind: Released, At: a.now, ID: id})
	}
	a.reservations.end(place, released, a.now)
	a.releaseCap(1)
}
