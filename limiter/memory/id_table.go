package memory

import "hash/maphash"

// idHash stands for a reservation's id: ids may be long and are chosen by callers, so the tables keep 128
// bits of two keyed hashes instead. Nobody outside can make two ids collide, as the keys are random.
type idHash struct{ a, b uint64 }

// idHasher makes idHashes. Those of different hashers are not comparable.
type idHasher struct{ a, b maphash.Seed }

func newIDHasher() idHasher { return idHasher{maphash.MakeSeed(), maphash.MakeSeed()} }

func (h idHasher) hash(id string) idHash {
	return idHash{maphash.String(h.a, id), maphash.String(h.b, id)}
}

// none is no place.
const none = int32(-1)

// idTable finds the place that an id was given: a hash table with linear probing that is at most three quarters full. A
// Go map would hash the hashes again and cost three times the memory.
type idTable struct {
	ids   []idHash // by place
	slots []idSlot // the length is a power of two
	count int
}

// idSlot is a place with the bits of its id that say where it belongs in the table, so that probing rarely has to look
// at the id itself.
type idSlot struct {
	tag   uint32
	place int32 // none: the slot is empty
}

// newIDTable is an empty index in memory that the caller provides. The number of slots is a power of two.
func newIDTable(ids []idHash, slots []idSlot) idTable {
	x := idTable{ids: ids, slots: slots}
	x.clear()
	return x
}

func (x *idTable) clear() {
	for s := range x.slots {
		x.slots[s].place = none
	}
}

func (x *idTable) home(tag uint32) int { return int(tag) & (len(x.slots) - 1) }

func (x *idTable) after(slot int) int { return (slot + 1) & (len(x.slots) - 1) }

// find returns the place of an id, or none.
func (x *idTable) find(id idHash) int32 {
	if x.count == 0 {
		return none
	}
	tag := uint32(id.a)
	for s := x.home(tag); ; s = x.after(s) {
		if at := x.slots[s]; at.place == none || at.tag == tag && x.ids[at.place] == id {
			return at.place
		}
	}
}

// add gives a free place to an id that is not in the index. Places are taken in order at first.
func (x *idTable) add(id idHash, place int32) {
	if int(place) == len(x.ids) {
		x.ids = append(x.ids, id)
	}
	x.ids[place] = id
	if 4*x.count >= 3*len(x.slots) {
		x.grow()
	}
	x.put(idSlot{uint32(id.a), place})
	x.count++
}

func (x *idTable) put(entry idSlot) {
	s := x.home(entry.tag)
	for x.slots[s].place != none {
		s = x.after(s)
	}
	x.slots[s] = entry
}

// grow doubles the table.
func (x *idTable) grow() {
	old := x.slots
	x.slots = make([]idSlot, 2*len(old))
	x.clear()
	for _, entry := range old {
		if entry.place != none {
			x.put(entry)
		}
	}
}

// remove frees a place, and moves those slots behind its own that would no longer be found across the gap.
func (x *idTable) remove(place int32) {
	gap := x.home(uint32(x.ids[place].a))
	for x.slots[gap].place != place {
		gap = x.after(gap)
	}
	mask := len(x.slots) - 1
	for s := x.after(gap); x.slots[s].place != none; s = x.after(s) {
		// It may move into the gap if that lies between its home and its slot, going round.
		if home := x.home(x.slots[s].tag); (s-home)&mask >= (s-gap)&mask {
			x.slots[gap] = x.slots[s]
			gap = s
		}
	}
	x.slots[gap].place = none
	x.count--
}
