package limiter

import (
	"sync"
	"time"
)

// account is one account: its policy and everything it did. Its mutex guards all of it; no other lock is taken while
// it is held.
type account struct {
	mu     sync.Mutex
	uid    string
	policy Policy
	purged bool // no longer in the directory; whoever still holds it must answer as if it were not found
	now    int64
	sent   history
	ledger *ledger // nil until the first reservation
}

// advance brings the account to the present: reservations past their deadline become sends at their deadline, then
// what is old enough leaves its windows. It returns how many expired. Callers race to the lock with their readings of
// the clock, so now may be a little before what the account has seen; it then stays where it is.
func (a *account) advance(now int64) (expiredCount int) {
	a.now = max(a.now, now)
	if l := a.ledger; l != nil {
		for len(l.due) > 0 && l.records[l.due[0]].at <= a.now {
			i := l.due[0]
			deadline, cost := l.records[i].at, int64(l.records[i].cost)
			l.end(i, expired, deadline)
			a.sent.add(deadline, cost)
			expiredCount++
		}
		l.forget(a.now)
	}
	a.sent.advance(a.now)
	return expiredCount
}

func (a *account) inFlight() int64 {
	if a.ledger == nil {
		return 0
	}
	return a.ledger.inFlight
}

// report says how each window stands, and whether and when a further cost fits. The cost must not exceed a limit. The
// windows are written in place, as this is what a check spends most of its time on.
func (a *account) report(windows *[windows]WindowUsage, cost int64) {
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
			u.FreeIn = time.Duration(a.sent.freeAt(w, excess) - a.now)
		default: // some of what is in flight must leave too, and that would be committed now
			u.FreeIn = w.Length()
		}
	}
}

// known answers a check whose id was seen before.
func (a *account) known(i int32, cost int64) (Decision, error) {
	r := &a.ledger.records[i]
	if r.state != outstanding {
		return Decision{}, ErrReservationEnded
	}
	if int64(r.cost) != cost {
		return Decision{}, ErrReservationCost
	}
	d := Decision{Verdict: Allowed, Cost: cost, ExpiresIn: time.Duration(r.at - a.now)}
	a.report(&d.Windows, 1)
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

// decide says whether a new check of this cost fits into all windows, and if not, when to try again. It changes
// nothing but the decision.
func (a *account) decide(d *Decision, now Instant, cost int64) error {
	for _, limit := range a.policy.Limits {
		if limit > 0 && cost > limit {
			return ErrCostExceedsLimit
		}
	}
	a.report(&d.Windows, cost)
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
			d.RetryAfter = time.Duration(length - now.Wall%length)
		}
		d.Verdict = a.denial()
	}
	if d.Verdict == Undecided {
		d.Verdict = Allowed
	}
	return nil
}

// reserve takes a slot that decide found free.
func (a *account) reserve(d *Decision, id idHash, cost int64, ttl time.Duration) {
	if a.ledger == nil {
		a.ledger = newLedger()
	}
	a.ledger.hold(id, cost, a.now+int64(ttl))
	d.Cost, d.ExpiresIn = cost, ttl
	for w := range d.Windows {
		d.Windows[w].InFlight += cost
	}
}

// commit records a send, of the reservation at i (none: of no reservation), and returns how many reservations that
// took out of flight. A cost of 0 means the reservation's, or 1.
func (a *account) commit(i int32, cost int64) (outcome Outcome, freed int) {
	if i == none {
		a.sent.add(a.now, max(1, cost))
		return Unreserved, 0
	}
	r := &a.ledger.records[i]
	held := int64(r.cost)
	if cost == 0 {
		cost = held
	}
	switch r.state {
	case outstanding:
		a.ledger.end(i, committed, a.now)
		a.sent.add(a.now, cost)
		return Committed, 1
	case expired: // it counted from its deadline on; now it is known to have left as late as this
		r.state = late
		a.sent.remove(r.at, held)
		a.sent.add(a.now, cost)
		return Late, 0
	case released: // the caller gave the slot back, and yet the mail left
		r.state = unreserved
		a.sent.add(a.now, cost)
		return Unreserved, 0
	case committed:
		return Committed, 0
	case late:
		return Late, 0
	default:
		return Unreserved, 0
	}
}

// noteUnreserved remembers the id of a commit that had no reservation, so that its repetition is not counted again.
func (a *account) noteUnreserved(id idHash, cost int64) {
	if a.ledger == nil {
		a.ledger = newLedger()
	}
	a.ledger.note(id, max(1, cost), unreserved, a.now)
}

// release gives the slot of the reservation at i back, if it is still held, and returns how many that took out of
// flight.
func (a *account) release(i int32) (outcome Outcome, freed int, err error) {
	if i == none {
		return 0, 0, ErrReservationNotFound
	}
	switch a.ledger.records[i].state {
	case outstanding:
		a.ledger.end(i, released, a.now)
		return Released, 1, nil
	case released:
		return Released, 0, nil
	default:
		return 0, 0, ErrReservationEnded
	}
}

// oldest is the oldest outstanding reservation, or none.
func (a *account) oldest() int32 {
	if a.ledger == nil {
		return none
	}
	return a.ledger.held.first
}

// purge forgets everything and closes the account. It returns how many stamps and outstanding reservations there were.
func (a *account) purge() (stamps, held int) {
	stamps = a.sent.n
	if a.ledger != nil {
		held = len(a.ledger.due)
	}
	a.sent, a.ledger, a.purged = history{}, nil, true
	return stamps, held
}

// tidy gives back the memory that an idle account no longer needs.
func (a *account) tidy() {
	if a.ledger != nil && a.ledger.empty() {
		a.ledger = nil
	}
	a.sent.shrink()
}
