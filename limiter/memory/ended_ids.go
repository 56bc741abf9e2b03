package memory

import "time"

const (
	// rememberFor is how long an ended id is remembered, and maxRemembered how many of one account
	// at most: beyond it the oldest are forgotten sooner.
	rememberFor   = int64(15 * time.Minute)
	maxRemembered = 16384
)

// state is how a reservation ended.
type state uint8

const (
	expired state = iota // its deadline passed and it counts as sent then
	committed
	late
	unreserved // a commit of an id that was unknown or released
	released
)

// ending is how, and when, a reservation ended.
type ending struct {
	// at is the deadline of one that expired, also after a late commit; of any other, when it
	// ended.
	at    int64
	cost  int32
	state state
}

// endedIDs are the ids that ended lately, in a ring in the order in which they did. They are
// forgotten in the same order. The zero value remembers nothing. It does no locking.
type endedIDs struct {
	ring  []endedID
	head  int // place of the oldest
	n     int
	table endedTable
}

// endedID is one remembered id.
type endedID struct {
	id IDHash
	ending
}

// find returns how an id ended, or nil.
func (e *endedIDs) find(id IDHash) *ending {
	if e.n == 0 {
		return nil
	}
	t := &e.table
	for s := t.home(id); t.slots[s] != 0; s = t.after(s) {
		if !t.slots[s].mayBe(id) {
			continue
		}
		place := t.slots[s].place()
		if it := &e.ring[place]; it.id == id && e.remembers(place) {
			return &it.ending
		}
	}
	return nil
}

// remembers reports whether what is at a place has not been forgotten.
func (e *endedIDs) remembers(place int) bool {
	age := place - e.head
	if age < 0 {
		age += len(e.ring)
	}
	return age < e.n
}

// remember adds an id that is not remembered yet.
func (e *endedIDs) remember(id IDHash, how ending) {
	switch {
	case e.n == maxRemembered:
		e.forgetOldest()
	case e.n == len(e.ring):
		e.resize(min(maxRemembered, max(4, e.n+e.n/8+1)))
	}
	if e.table.full() {
		e.index()
	}
	place := e.wrap(e.head + e.n)
	e.ring[place] = endedID{id, how}
	e.n++
	e.table.add(id, place)
}

// forget forgets what ended long enough ago. A reservation that expired is remembered from when
// somebody looked; only by as long may its deadline be earlier than its neighbours' ends.
func (e *endedIDs) forget(now int64) {
	for e.n > 0 && e.ring[e.head].at+rememberFor <= now {
		e.forgetOldest()
	}
}

func (e *endedIDs) forgetOldest() {
	e.head = e.wrap(e.head + 1)
	e.n--
}

func (e *endedIDs) wrap(place int) int {
	if place >= len(e.ring) {
		place -= len(e.ring)
	}
	return place
}

// index makes the table anew.
func (e *endedIDs) index() {
	e.table.clear()
	for k := range e.n {
		place := e.wrap(e.head + k)
		e.table.add(e.ring[place].id, place)
	}
}

// resize moves all to a ring of another size, which must hold them.
func (e *endedIDs) resize(size int) {
	ring := make([]endedID, size)
	for k := range e.n {
		ring[k] = e.ring[e.wrap(e.head+k)]
	}
	*e = endedIDs{ring: ring, n: e.n, table: newEndedTable(size)}
	e.index()
}

// shrink gives back what is no longer needed.
func (e *endedIDs) shrink() {
	switch {
	case e.n == 0:
		*e = endedIDs{}
	case len(e.ring) > 8 && e.n < len(e.ring)/4:
		e.resize(2 * e.n)
	}
}
