package memory

import (
	"encoding/binary"
	"hash/maphash"
	"math/bits"
)

// Two hash tables find ids: [idTable] those of outstanding reservations, [endedTable] those that
// ended lately. Both have linear probing, a power of two of slots, and in each slot, beside a place
// elsewhere, some bits of the id's hash, so that probing rarely has to look at an id itself.
//
// They differ in how an id leaves. An outstanding reservation leaves at any time: its slot is made
// free at once, and those behind it move up. Ended ids leave in the order in which they came: their
// slots stay, and whoever meets one sees by its place that it was forgotten (lazy deletion). Why
// these are no Go maps is told, with numbers, in limiter/README.md.

// IDHash stands for a reservation's id: 128 bits of two keyed hashes, as ids may be long and are
// chosen by callers. Nobody outside can make two ids collide, as the keys are random.
type IDHash struct{ a, b uint64 }

// idSize is how many bytes an IDHash has.
const idSize = 16

// NewIDHash returns a hash of two halves.
func NewIDHash(a, b uint64) IDHash { return IDHash{a, b} }

// ReadIDHash reads what [IDHash.AppendTo] wrote. There must be 16 bytes.
func ReadIDHash(b []byte) IDHash {
	return IDHash{binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:])}
}

// AppendTo appends the hash: 16 bytes.
func (h IDHash) AppendTo(b []byte) []byte {
	return binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(b, h.a), h.b)
}

// idHasher makes IDHashes. Those of different hashers are not comparable.
type idHasher struct{ a, b maphash.Seed }

func newIDHasher() idHasher { return idHasher{maphash.MakeSeed(), maphash.MakeSeed()} }

func (h idHasher) hash(id string) IDHash {
	return IDHash{maphash.String(h.a, id), maphash.String(h.b, id)}
}

// none is no place.
const none = int32(-1)

// idTable finds the place that an id was given. At most three quarters of its slots are in use.
type idTable struct {
	ids   []IDHash // by place
	slots []idSlot
	count int
}

// idSlot is a place, with bits of its id, which also say where it belongs in the table.
type idSlot struct {
	tag   uint32
	place int32 // none: the slot is free
}

// newIDTable returns an empty table in memory that the caller provides.
func newIDTable(ids []IDHash, slots []idSlot) idTable {
	t := idTable{ids: ids, slots: slots}
	t.clear()
	return t
}

func (t *idTable) clear() {
	for s := range t.slots {
		t.slots[s].place = none
	}
}

func (t *idTable) home(tag uint32) int { return int(tag) & (len(t.slots) - 1) }

func (t *idTable) after(slot int) int { return (slot + 1) & (len(t.slots) - 1) }

// find returns the place of an id, or none.
func (t *idTable) find(id IDHash) int32 {
	if t.count == 0 {
		return none
	}
	tag := uint32(id.a)
	for s := t.home(tag); ; s = t.after(s) {
		slot := t.slots[s]
		if slot.place == none || slot.tag == tag && t.ids[slot.place] == id {
			return slot.place
		}
	}
}

// add gives a place to an id that has none. A new place is the one after the last.
func (t *idTable) add(id IDHash, place int32) {
	if int(place) == len(t.ids) {
		t.ids = append(t.ids, id)
	}
	t.ids[place] = id
	if 4*t.count >= 3*len(t.slots) {
		t.grow()
	}
	t.put(idSlot{uint32(id.a), place})
	t.count++
}

func (t *idTable) put(slot idSlot) {
	s := t.home(slot.tag)
	for t.slots[s].place != none {
		s = t.after(s)
	}
	t.slots[s] = slot
}

// grow doubles the table.
func (t *idTable) grow() {
	old := t.slots
	t.slots = make([]idSlot, 2*len(old))
	t.clear()
	for _, slot := range old {
		if slot.place != none {
			t.put(slot)
		}
	}
}

// remove removes the id of a place, and moves up those slots behind its own that would no longer be
// found across the gap.
func (t *idTable) remove(place int32) {
	gap := t.home(uint32(t.ids[place].a))
	for t.slots[gap].place != place {
		gap = t.after(gap)
	}
	mask := len(t.slots) - 1
	for s := t.after(gap); t.slots[s].place != none; s = t.after(s) {
		// It may move into the gap if that lies between its home and its slot, going round.
		home := t.home(t.slots[s].tag)
		if (s-home)&mask >= (s-gap)&mask {
			t.slots[gap] = t.slots[s]
			gap = s
		}
	}
	t.slots[gap].place = none
	t.count--
}

// endedTable finds the place of an ended id in the ring of [endedIDs]. At most two thirds of its
// slots are in use, by ids that are remembered or were forgotten; when there are more, the table is
// made anew without those that were forgotten.
type endedTable struct {
	slots []endedSlot
	inUse int
}

// endedSlot is a place plus one, in placeBits, and above them bits of the id's hash. 0 is free.
type endedSlot uint32

const placeBits = 15 // enough for maxRemembered

func newEndedSlot(id IDHash, place int) endedSlot {
	return endedSlot(id.a>>(32+placeBits)<<placeBits) | endedSlot(place+1)
}

func (e endedSlot) place() int { return int(e&(1<<placeBits-1)) - 1 }

// mayBe reports whether the slot may be of this id.
func (e endedSlot) mayBe(id IDHash) bool { return uint64(e>>placeBits) == id.a>>(32+placeBits) }

// newEndedTable returns an empty table for a ring of this size: it has room for two to four times
// as many ids, so that each new id pays for making one to three slots anew.
func newEndedTable(size int) endedTable {
	return endedTable{slots: make([]endedSlot, 1<<bits.Len(uint(2*size-1)))}
}

func (t *endedTable) home(id IDHash) int { return int(id.a) & (len(t.slots) - 1) }

func (t *endedTable) after(s int) int { return (s + 1) & (len(t.slots) - 1) }

func (t *endedTable) full() bool { return 3*t.inUse >= 2*len(t.slots) }

// add adds a place. The table must not be full.
func (t *endedTable) add(id IDHash, place int) {
	s := t.home(id)
	for t.slots[s] != 0 {
		s = t.after(s)
	}
	t.slots[s] = newEndedSlot(id, place)
	t.inUse++
}

func (t *endedTable) clear() {
	clear(t.slots)
	t.inUse = 0
}
