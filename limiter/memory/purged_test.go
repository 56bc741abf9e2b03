package memory

import (
	"errors"
	"testing"
	"time"
)

// TestPurgedWhileHeld has callers that found the account just before it was purged, and lock it
// just after. Here the map still has it, which is what they see.
func TestPurgedWhileHeld(t *testing.T) {
	t.Parallel()
	l := New(Options{})
	l.MarkLoaded()
	k, now := Key{Name: "purged"}, Instant{Mono: 1}
	ask := Ask{ID: "a", Cost: 1, TTL: time.Second}
	l.Apply(k, "uid", Policy{Limits: Limits{Minute: 1}})
	if _, err := l.Commit(now, k, "", 1); err != nil {
		t.Fatal(err)
	}
	found := l.accounts.get(k)
	l.Purge(k)
	l.accounts.put(found)
	for name, call := range map[string]func() error{
		"a check":   func() error { _, err := l.Check(now, k, ask); return err },
		"a commit":  func() error { _, err := l.Commit(now, k, "", 1); return err },
		"a release": func() error { _, err := l.Release(now, k, ""); return err },
		"a usage":   func() error { _, err := l.Usage(now, k); return err },
	} {
		if err := call(); !errors.Is(err, ErrAccountNotFound) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, enforced := l.PolicyInForce(k, "uid"); enforced {
		t.Error("it is enforced")
	}
	if page, _, err := l.List(now, "", Key{}, 10); err != nil || len(page) != 0 {
		t.Errorf("it is listed: %v, %v", page, err)
	}
	// Whoever creates it again at this moment gets one that is found.
	if !l.Apply(k, "uid", Policy{Limits: Limits{Minute: 1}}) {
		t.Error("to create it again changed nothing")
	}
	if u, err := l.Usage(now, k); err != nil || u.Windows[Minute].Used != 0 {
		t.Errorf("created again it is %+v, %v", u, err)
	}
}

// TestIDsThatLookAlike are those that share the bits by which they are looked for.
func TestIDsThatLookAlike(t *testing.T) {
	t.Parallel()
	held := newOutstanding()
	held.add(idHash{1, 1}, 1, 1)
	if place := held.byID.find(idHash{1, 2}); place != none {
		t.Errorf("an id that is not held was found at %d", place)
	}
	held.add(idHash{1, 2}, 1, 1)
	for _, id := range []idHash{{1, 1}, {1, 2}} {
		if place := held.byID.find(id); place == none || held.byID.ids[place] != id {
			t.Errorf("%v was found at %d", id, place)
		}
	}
}
