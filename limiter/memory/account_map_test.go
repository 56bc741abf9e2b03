package memory

import (
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"testing"
)

// TestDirectory compares it with a map, as accounts come and go.
func TestDirectory(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 1))
	d, want := newAccountMap(), map[Key]*account{}
	for _, keys := range []int{10, 3000, 100} { // also fewer than there were
		for range 50_000 {
			k := Key{Namespace: strconv.Itoa(random.IntN(2)), Name: strconv.Itoa(random.IntN(keys))}
			switch random.IntN(3) {
			case 0:
				a := &account{key: k}
				if added := d.put(a); added != (want[k] == nil) {
					t.Fatalf("added: %v, and there was %p", added, want[k])
				} else if added {
					want[k] = a
				}
			case 1:
				d.remove(&account{key: k}) // another one of that key
				if a := want[k]; a != nil {
					d.remove(a)
					delete(want, k)
				}
			default:
				if got := d.get(k); got != want[k] {
					t.Fatalf("got %p, want %p", got, want[k])
				}
			}
		}
		found := 0
		d.each(func(a *account) bool { found++; return want[a.key] == a })
		inOrder := slices.SortedFunc(maps.Keys(want), Key.compare)
		if found != len(want) || d.size() != len(want) || !slices.Equal(d.keysAfter("", Key{}, len(want)+1), inOrder) {
			t.Errorf("visited %d of %d, and there are %d", found, d.size(), len(want))
		}
	}
}

// TestDirectoryReaders wants an account that stays to be found at any time, whatever others come and go and whenever the
// table is replaced.
func TestDirectoryReaders(t *testing.T) {
	t.Parallel()
	d := newAccountMap()
	stays := Key{Name: "stays"}
	numbered := make([]*account, 22_000)
	for i := range numbered {
		numbered[i] = &account{key: Key{Name: strconv.Itoa(i)}}
	}
	for _, a := range numbered[:10] { // in front of it, perhaps
		d.put(a)
	}
	d.put(&account{key: stays})
	done := make(chan struct{})
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if d.get(stays) == nil {
					t.Error("an account that was never removed was not found")
					return
				}
			}
		})
	}
	for round := range 20 {
		some := numbered[round*1000:][:2000]
		for _, a := range some {
			d.put(a)
		}
		for _, a := range some {
			d.remove(a)
		}
	}
	close(done)
	readers.Wait()
}
