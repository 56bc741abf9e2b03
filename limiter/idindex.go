package limiter

import "hash/maphash"

// idHash stands for a reservation's id: ids are up to 128 bytes long and chosen by callers, so the ledger keeps 128
// bits of two keyed hashes instead. Nobody outside can make two ids collide, as the keys are random.
type idHash struct{ a, b uint64 }

// idHasher makes idHashes. Those of different hashers are not comparable.
type idHasher struct{ a, b maphash.Seed }

func newIDHasher() idHasher { return idHasher{maphash.MakeSeed(), maphash.MakeSeed()} }

func (h idHasher) hash(id string) idHash {
	return idHash{maphash.String(h.a, id), maphash.String(h.b, id)}
}

// idIndex finds records by id: a hash table with linear probing that is at most three quarters full. A Go map would hash
// the hashes again and cost three times the memory.
type idIndex struct {
	slots []idSlot // the length is a power of two
	count int
}

// idSlot is a record's index with the bits of its id that say where it belongs, so that probing rarely has to look at
// the record itself.
type idSlot struct {
	tag    uint32
	record int32 // none: the slot is empty
}

func (x *idIndex) home(tag uint32) int { return int(tag) & (len(x.slots) - 1) }

func (x *idIndex) after(slot int) int { return (slot + 1) & (len(x.slots) - 1) }

// find returns the record with this id, or none.
func (x *idIndex) find(records []record, id idHash) int32 {
	if x.count == 0 {
		return none
	}
	tag := uint32(id.a)
	for s := x.home(tag); ; s = x.after(s) {
		if at := x.slots[s]; at.record == none || at.tag == tag && records[at.record].id == id {
			return at.record
		}
	}
}

// add indexes a record whose id is not in the index.
func (x *idIndex) add(id idHash, record int32) {
	if 4*x.count >= 3*len(x.slots) {
		x.grow()
	}
	x.place(idSlot{uint32(id.a), record})
	x.count++
}

func (x *idIndex) place(entry idSlot) {
	s := x.home(entry.tag)
	for x.slots[s].record != none {
		s = x.after(s)
	}
	x.slots[s] = entry
}

func (x *idIndex) grow() {
	old := x.slots
	x.slots = make([]idSlot, max(4, 2*len(old)))
	for s := range x.slots {
		x.slots[s].record = none
	}
	for _, entry := range old {
		if entry.record != none {
			x.place(entry)
		}
	}
}

// remove takes a record out, and moves those behind it that would no longer be found across the gap.
func (x *idIndex) remove(id idHash, record int32) {
	gap := x.home(uint32(id.a))
	for x.slots[gap].record != record {
		gap = x.after(gap)
	}
	mask := len(x.slots) - 1
	for s := x.after(gap); x.slots[s].record != none; s = x.after(s) {
		// It may move into the gap if that lies between its home and its place, going round.
		if home := x.home(x.slots[s].tag); (s-home)&mask >= (s-gap)&mask {
			x.slots[gap] = x.slots[s]
			gap = s
		}
	}
	x.slots[gap].record = none
	x.count--
}
