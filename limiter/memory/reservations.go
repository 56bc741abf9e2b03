package memory

// reservations is the reservations of one account: those outstanding, and the ids of those that ended lately. It does no
// locking.
type reservations struct {
	outstanding outstanding
	ended       endedIDs
	_           [56]byte // see TestAccountsShareNoCacheLine
}

func newReservations() *reservations { return &reservations{outstanding: newOutstanding()} }

// find looks an id up: the place of an outstanding reservation, or else what is remembered of one that ended, or nil.
func (l *reservations) find(id idHash) (place int32, past *ending) {
	if l == nil {
		return none, nil
	}
	if place = l.outstanding.byID.find(id); place != none {
		return place, nil
	}
	return none, l.ended.find(id)
}

// end takes an outstanding reservation out of flight, remembers how and when it ended, and returns what it was.
func (l *reservations) end(place int32, as state, at int64) reservation {
	id, r := l.outstanding.remove(place)
	l.ended.remember(id, ending{at: at, cost: r.cost, state: as})
	return r
}

// empty reports whether it holds and remembers nothing.
func (l *reservations) empty() bool { return l.outstanding.count() == 0 && l.ended.n == 0 }
