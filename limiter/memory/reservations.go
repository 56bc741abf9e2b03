package memory

// reservations are those of one account: the outstanding ones, and the ids of those that ended
// lately. They do no locking. Nil has none: an account makes them when it first needs them.
type reservations struct {
	outstanding outstanding
	ended       endedIDs
	_           [56]byte // see TestAccountsShareNoCacheLine
}

func newReservations() *reservations { return &reservations{outstanding: newOutstanding()} }

// find looks an id up: it returns the place of an outstanding reservation, or else how one ended.
func (r *reservations) find(id IDHash) (place int32, e *ending) {
	if r == nil {
		return none, nil
	}
	if place = r.outstanding.byID.find(id); place != none {
		return place, nil
	}
	return none, r.ended.find(id)
}

// end removes an outstanding reservation, remembers how and when it ended, and returns what it was.
func (r *reservations) end(place int32, as state, at int64) reservation {
	id, was := r.outstanding.remove(place)
	r.ended.remember(id, ending{at: at, cost: was.cost, state: as})
	return was
}

// count returns how many are outstanding.
func (r *reservations) count() int {
	if r == nil {
		return 0
	}
	return r.outstanding.count()
}

// cost returns the cost of those outstanding.
func (r *reservations) cost() int64 {
	if r == nil {
		return 0
	}
	return r.outstanding.cost
}

// oldest returns the place of the oldest one outstanding, or none.
func (r *reservations) oldest() int32 {
	if r == nil {
		return none
	}
	return r.outstanding.oldest
}

// empty reports whether nothing is outstanding and nothing remembered.
func (r *reservations) empty() bool { return r.outstanding.count() == 0 && r.ended.n == 0 }
