package memory

import (
	"math"
	"sync"
	"time"
)

// account is one account: its policy and everything it did. Its mutex guards all of it but the key.
// While it is held, no other lock is taken but that of the limiter's deadlines.
type account struct {
	key          Key // never changes
	mu           sync.Mutex
	uid          string
	policy       Policy
	purged       bool  // no longer in the map; whoever still holds it must answer as if it were not found
	stripe       uint8 // of the reservation cap
	now          int64
	wakeAt       int64 // of its wake-up in the limiter's deadlines; 0 if it has none
	sent         history
	reservations *reservations // nil until the first reservation
	_            [40]byte      // see TestAccountsShareNoCacheLine
}

// setPolicy changes the policy, if the account still exists with this uid.
func (a *account) setPolicy(uid string, p Policy) (changed, same bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.uid != uid || a.purged {
		return false, false
	}
	changed = a.policy != p
	a.policy = p
	return changed, true
}

// advance brings the account to the present: reservations past their deadline become sends at their
// deadline, then what is old enough leaves its windows. It returns how many expired. Callers race
// to the lock with their readings of the clock, so now may be a little before what the account has
// seen; it then stays where it is.
func (a *account) advance(now int64) (expiredCount int) {
	expiredCount, _ = a.advanceBy(now, math.MaxInt)
	return expiredCount
}

// advanceBy is advance in steps: it expires no more than most reservations, and if there are more,
// stays at the deadline of the last.
func (a *account) advanceBy(now int64, most int) (expiredCount int, done bool) {
	now, done = max(a.now, now), true
	if l := a.reservations; l != nil {
		for place := l.outstanding.nextExpired(now); place != none; place = l.outstanding.nextExpired(now) {
			if expiredCount == most {
				now, done = a.now, false
				break
			}
			a.expire(place)
			expiredCount++
		}
		l.ended.forget(now)
	}
	a.now = now
	a.sent.advance(now)
	return expiredCount, done
}

// expire brings the account to the soonest deadline, whose place this is, and makes a send at that
// time of the reservation. The history advances first: where it merges, it must know what has left
// each window by then.
func (a *account) expire(place int32) {
	a.now = a.reservations.outstanding.all[place].deadline
	a.sent.advance(a.now)
	r := a.reservations.end(place, expired, a.now)
	a.sent.append(a.now, int64(r.cost))
}

// nextDeadline returns the deadline that comes next, if a reservation is outstanding.
func (a *account) nextDeadline() (deadline int64, ok bool) {
	if a.outstandingCount() == 0 {
		return 0, false
	}
	return a.reservations.outstanding.all[a.reservations.outstanding.due[0]].deadline, true
}

// outstandingCount is how many reservations are outstandingCount.
func (a *account) outstandingCount() int {
	if a.reservations == nil {
		return 0
	}
	return a.reservations.outstanding.count()
}

func (a *account) inFlight() int64 {
	if a.reservations == nil {
		return 0
	}
	return a.reservations.outstanding.cost
}

// report says how each window stands, and whether and when a further cost fits; how long that is
// from now. The cost must not exceed a limit. The windows are written in place, as this is what a
// check spends most of its time on.
func (a *account) report(windows *[windowCount]WindowUsage, now, cost int64) {
	inFlight := a.inFlight()
	for w := range Window(len(windows)) {
		u := &windows[w]
		u.Limit, u.Used, u.InFlight = max(0, a.policy.Limits[w]), a.sent.used(w), inFlight
		excess := u.Used + inFlight + cost - u.Limit
		u.Full = u.Limit > 0 && excess > 0
		switch {
		case !u.Full:
			u.FreeIn = 0
		case excess <= u.Used:
			a.sent.settle()
			u.FreeIn = time.Duration(a.sent.freeAt(w, excess) - now)
		default: // some of what is in flight must leave too, and that would be committed now
			u.FreeIn = time.Duration(a.now + windowLengths[w] - now)
		}
	}
}

// repeated answers a check whose id is held already.
func (a *account) repeated(place int32, now, cost int64) (d Decision, err error) {
	r := &a.reservations.outstanding.all[place]
	if int64(r.cost) != cost {
		return d, ErrReservationCost
	}
	d = Decision{Verdict: Allowed, Cost: cost, ExpiresIn: time.Duration(r.deadline - now)}
	a.report(&d.Windows, now, 1)
	return d, nil
}

// suspended is the denial of a suspended account.
func (a *account) suspended() Decision {
	return Decision{Verdict: a.denial(), Suspended: true}
}

// denial is the verdict of this account's denials.
func (a *account) denial() Verdict {
	if a.policy.Behavior == Reject {
		return Rejected
	}
	return Deferred
}

// decide says whether a new check of this cost fits into all windows, and if not, when to try
// again. It changes nothing but the decision.
func (a *account) decide(d *Decision, now Instant, cost int64) error {
	for _, limit := range a.policy.Limits {
		if limit > 0 && cost > limit {
			return ErrCostExceedsLimit
		}
	}
	a.report(&d.Windows, now.Mono, cost)
	for w := range d.Windows {
		u := &d.Windows[w]
		if !u.Full {
			continue
		}
		switch {
		case a.policy.DeferTo == EarliestSlot:
			d.RetryAfter = max(d.RetryAfter, u.FreeIn)
		case d.Verdict == Undecided: // the first exhausted one decides the boundary
			length := windowLengths[w]
			d.RetryAfter = time.Duration(length - (now.Wall%length+length)%length) // also before 1970
		}
		d.Verdict = a.denial()
	}
	if d.Verdict == Undecided {
		d.Verdict = Allowed
	}
	return nil
}

// reserve takes a slot that decide found free, and returns its deadline.
func (a *account) reserve(d *Decision, now int64, id idHash, ask *Ask) (deadline int64) {
	if a.reservations == nil {
		a.reservations = newReservations()
	}
	deadline = a.now + int64(ask.TTL)
	a.reservations.outstanding.add(id, ask.Cost, deadline)
	d.Cost, d.ExpiresIn = ask.Cost, time.Duration(deadline-now)
	for w := range d.Windows {
		d.Windows[w].InFlight += ask.Cost
	}
	return deadline
}

// commit records the send of an outstanding reservation.
func (a *account) commit(place int32, cost int64) Outcome {
	r := a.reservations.end(place, committed, a.now)
	if cost == 0 {
		cost = int64(r.cost)
	}
	a.sent.append(a.now, cost)
	return Committed
}

// commitEnded records the send of a reservation that has ended, unless it counts as it should
// already.
func (a *account) commitEnded(e *ending, cost int64) Outcome {
	if cost == 0 {
		cost = int64(e.cost)
	}
	switch e.state {
	case expired: // it counted from its deadline on; now it is known to have left as late as this
		e.state = late
		a.sent.subtract(e.at, int64(e.cost))
		a.sent.append(a.now, cost)
		return Late
	case released: // the caller gave the slot back, and yet the mail left
		e.state = unreserved
		a.sent.append(a.now, cost)
		return Unreserved
	case committed:
		return Committed
	case late:
		return Late
	default:
		return Unreserved
	}
}

// commitUnknown records a send without a reservation. If it has an id that is remembered, so that
// its repetition is not counted again.
func (a *account) commitUnknown(id *idHash, cost int64) Outcome {
	cost = max(1, cost)
	if id != nil {
		if a.reservations == nil {
			a.reservations = newReservations()
		}
		a.reservations.ended.remember(*id, ending{at: a.now, cost: int32(cost), state: unreserved})
	}
	a.sent.append(a.now, cost)
	return Unreserved
}

// oldest is the place of the oldest outstanding reservation, or none.
func (a *account) oldest() int32 {
	if a.reservations == nil {
		return none
	}
	return a.reservations.outstanding.oldest
}

// purge forgets everything and closes the account. It returns how many stamps and outstanding
// reservations there were.
func (a *account) purge() (stamps, held int) {
	stamps, held = a.sent.n, a.outstandingCount()
	a.sent, a.reservations, a.purged = history{}, nil, true
	return stamps, held
}

// tidy gives back the memory that an idle account no longer needs.
func (a *account) tidy() {
	if l := a.reservations; l != nil {
		l.outstanding.shrink()
		l.ended.shrink()
		if l.empty() {
			a.reservations = nil
		}
	}
	a.sent.shrink()
}
