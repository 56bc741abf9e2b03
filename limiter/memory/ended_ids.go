package memory

import (
	"math/bits"
	"time"
)

const (
	// rememberFor is how long an ended id is remembered, and maxRemembered how many of one account at most: beyond it
	// the oldest are forgotten sooner.
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

// ending is what is remembered of a reservation.
type ending struct {
	// at is the deadline of one that expired, also after a late commit; of any other, when it ended.
	at    int64
	cost  int32
	state state
}

// endedIDs is the ids that ended lately, in the order in which they did. They are forgotten in the same order, so a ring
// holds them, and to forget the oldest is to count it no longer. Nothing is taken out of the table then, as that took a
// sixth of the time of a check and its commit: an entry of an id that was forgotten is recognised by its place, and all
// of those are left out when the table is full and made anew. The zero value remembers nothing. It does no locking.
type endedIDs struct {
	ring []endedID
	head int // place of the oldest
	n    int
	// table finds places by id: a hash table with linear probing, of which at most two thirds are in use.
	table []entry
	inUse int
}

// endedID is one remembered id.
type endedID struct {
	id idHash
	ending
}

// entry is a place plus one, in placeBits, and above them bits of the id's hash, so that probing hardly ever has to look at
// another id. 0 is an entry that is not in use.
type entry uint32

const placeBits = 15 // enough for maxRemembered

func newEntry(id idHash, place int) entry {
	return entry(id.a>>(32+placeBits)<<placeBits) | entry(place+1)
}

func (e entry) place() int { return int(e&(1<<placeBits-1)) - 1 }

// mayBe says whether the entry may be of this id.
func (e entry) mayBe(id idHash) bool { return uint64(e>>placeBits) == id.a>>(32+placeBits) }

// find returns what is remembered of an id, or nil.
func (m *endedIDs) find(id idHash) *ending {
	if m.n == 0 {
		return nil
	}
	for s := m.home(id); m.table[s] != 0; s = m.after(s) {
		if !m.table[s].mayBe(id) {
			continue
		}
		place := m.table[s].place()
		if p := &m.ring[place]; p.id == id && m.remembers(place) {
			return &p.ending
		}
	}
	return nil
}

// remembers says whether what is at a place has not been forgotten.
func (m *endedIDs) remembers(place int) bool {
	age := place - m.head
	if age < 0 {
		age += len(m.ring)
	}
	return age < m.n
}

// remember adds an id that is not remembered yet.
func (m *endedIDs) remember(id idHash, e ending) {
	switch {
	case m.n == maxRemembered:
		m.forgetOldest()
	case m.n == len(m.ring):
		m.resize(min(maxRemembered, max(4, m.n+m.n/8+1)))
	}
	if 3*m.inUse >= 2*len(m.table) {
		m.index()
	}
	place := m.wrap(m.head + m.n)
	m.ring[place] = endedID{id, e}
	m.n++
	m.enter(place)
}

// forget drops what ended long enough ago. An expired reservation is remembered when that is noticed; its deadline may
// be earlier than its neighbours' ends only by as long as nobody looked.
func (m *endedIDs) forget(now int64) {
	for m.n > 0 && m.ring[m.head].at+rememberFor <= now {
		m.forgetOldest()
	}
}

func (m *endedIDs) forgetOldest() {
	m.head = m.wrap(m.head + 1)
	m.n--
}

func (m *endedIDs) wrap(place int) int {
	if place >= len(m.ring) {
		place -= len(m.ring)
	}
	return place
}

func (m *endedIDs) home(id idHash) int { return int(id.a) & (len(m.table) - 1) }

func (m *endedIDs) after(s int) int { return (s + 1) & (len(m.table) - 1) }

// enter adds a place to the table.
func (m *endedIDs) enter(place int) {
	s := m.home(m.ring[place].id)
	for m.table[s] != 0 {
		s = m.after(s)
	}
	m.table[s] = newEntry(m.ring[place].id, place)
	m.inUse++
}

// index makes the table anew.
func (m *endedIDs) index() {
	clear(m.table)
	m.inUse = 0
	for k := range m.n {
		m.enter(m.wrap(m.head + k))
	}
}

// resize moves all to a ring of another size, which must hold them. The table gets two to four times as many entries: of
// full rings, the call of each new id pays for making one to three entries anew.
func (m *endedIDs) resize(size int) {
	ring := make([]endedID, size)
	for k := range m.n {
		ring[k] = m.ring[m.wrap(m.head+k)]
	}
	*m = endedIDs{ring: ring, n: m.n, table: make([]entry, 1<<bits.Len(uint(2*size-1)))}
	m.index()
}

// shrink gives back what is no longer needed.
func (m *endedIDs) shrink() {
	switch {
	case m.n == 0:
		*m = endedIDs{}
	case len(m.ring) > 8 && m.n < len(m.ring)/4:
		m.resize(2 * m.n)
	}
}
