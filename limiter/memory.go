package limiter

import "time"

const (
	// memoryTime is how long an ended id is remembered, and maxRemembered how many of one account at most: beyond it
	// the oldest are forgotten sooner.
	memoryTime    = int64(15 * time.Minute)
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

// ended is what is remembered of a reservation.
type ended struct {
	// at is the deadline of one that expired, also after a late commit; of any other, when it ended.
	at    int64
	cost  int32
	state state
}

// memory is the ids that ended lately, in the order in which they did. They are forgotten in the same order, so a ring
// holds them: the oldest is next to the second oldest, which matters more than anything else to how fast a busy account
// is. The zero value remembers nothing. It does no locking.
type memory struct {
	ring []ended
	head int // place of the oldest
	n    int
	byID idIndex // the places are those in ring
}

// find returns what is remembered of an id, or nil.
func (m *memory) find(id idHash) *ended {
	if place := m.byID.find(id); place != none {
		return &m.ring[place]
	}
	return nil
}

// remember adds an id that is not remembered yet.
func (m *memory) remember(id idHash, e ended) {
	switch {
	case m.n == maxRemembered:
		m.forgetOldest()
	case m.n == len(m.ring):
		m.resize(min(maxRemembered, max(4, m.n+m.n/8+1)))
	}
	place := m.wrap(m.head + m.n)
	m.ring[place] = e
	m.n++
	m.byID.add(id, int32(place))
}

// forget drops what ended long enough ago. An expired reservation is remembered when that is noticed; its deadline may
// be earlier than its neighbours' ends only by as long as nobody looked.
func (m *memory) forget(now int64) {
	for m.n > 0 && m.ring[m.head].at+memoryTime <= now {
		m.forgetOldest()
	}
}

func (m *memory) forgetOldest() {
	m.byID.remove(int32(m.head))
	m.head = m.wrap(m.head + 1)
	m.n--
}

func (m *memory) wrap(place int) int {
	if place >= len(m.ring) {
		place -= len(m.ring)
	}
	return place
}

// resize moves all to a ring of another size, which must hold them.
func (m *memory) resize(size int) {
	old := *m
	*m = memory{ring: make([]ended, size), byID: idIndex{ids: make([]idHash, size)}}
	m.byID.resize(max(4, old.n))
	for k := range old.n {
		place := old.wrap(old.head + k)
		m.remember(old.byID.ids[place], old.ring[place])
	}
}

// shrink gives back what is no longer needed.
func (m *memory) shrink() {
	switch {
	case m.n == 0:
		*m = memory{}
	case len(m.ring) > 8 && m.n < len(m.ring)/4:
		m.resize(2 * m.n)
	}
}
