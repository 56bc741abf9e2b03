package memory

import "testing"

// TestIDsThatLookAlike are those that share the bits by which they are looked for.
func TestIDsThatLookAlike(t *testing.T) {
	t.Parallel()
	held := newOutstanding()
	held.add(IDHash{1, 1}, 1, 1)
	if place := held.byID.find(IDHash{1, 2}); place != none {
		t.Errorf("an id that is not held was found at %d", place)
	}
	held.add(IDHash{1, 2}, 1, 1)
	for _, id := range []IDHash{{1, 1}, {1, 2}} {
		if place := held.byID.find(id); place == none || held.byID.ids[place] != id {
			t.Errorf("%v was found at %d", id, place)
		}
	}
}
