package limiter

// ledger is the reservations of one account: those outstanding, and the ids of those that ended lately. It does no
// locking.
type ledger struct {
	held  holdings
	ended memory
	_     [56]byte // see TestAccountsShareNoCacheLine
}

func newLedger() *ledger { return &ledger{held: newHoldings()} }

// find looks an id up: the place of an outstanding reservation, or else what is remembered of one that ended, or nil.
func (l *ledger) find(id idHash) (place int32, past *ended) {
	if l == nil {
		return none, nil
	}
	if place = l.held.byID.find(id); place != none {
		return place, nil
	}
	return none, l.ended.find(id)
}

// end takes an outstanding reservation out of flight, remembers how and when it ended, and returns what it was.
func (l *ledger) end(place int32, as state, at int64) held {
	id, r := l.held.take(place)
	l.ended.remember(id, ended{at: at, cost: r.cost, state: as})
	return r
}

// empty says that the ledger holds and remembers nothing.
func (l *ledger) empty() bool { return l.held.count() == 0 && l.ended.n == 0 }
