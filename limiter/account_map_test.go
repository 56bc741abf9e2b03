package limiter

import (
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"testing"
)

// TestAccountMap compares it with a map, as accounts come and go.
func TestAccountMap(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 1))
	m, want := newAccountMap(), map[Key]*account{}
	for _, keys := range []int{10, 3000, 100} { // also fewer than there were
		for range 50_000 {
			k := Key{Namespace: strconv.Itoa(random.IntN(2)), Name: strconv.Itoa(random.IntN(keys))}
			switch random.IntN(3) {
			case 0:
				a := &account{key: k}
				got, added := m.getOrAdd(k, func() *account { return a })
				if added != (want[k] == nil) || added != (got == a) {
					t.Fatalf("added: %v, and there was %p", added, want[k])
				}
				want[k] = got
			case 1:
				m.remove(&account{key: k}) // another one of that key
				if a := want[k]; a != nil {
					m.remove(a)
					delete(want, k)
				}
			default:
				if got := m.get(k); got != want[k] {
					t.Fatalf("got %p, want %p", got, want[k])
				}
			}
		}
		found := 0
		m.table.Load().each(func(a *account) {
			if want[a.key] == a {
				found++
			}
		})
		inOrder := slices.SortedFunc(maps.Keys(want), Key.compare)
		got := m.keysAfter("", Key{}, len(want)+1)
		if found != len(want) || m.size() != len(want) || !slices.Equal(got, inOrder) {
			t.Errorf("visited %d of %d, and there are %d", found, m.size(), len(want))
		}
	}
}

// TestAccountMapReaders wants an account that stays to be found at any time, whatever others come
// and go and whenever the table is replaced.
func TestAccountMapReaders(t *testing.T) {
	t.Parallel()
	m := newAccountMap()
	add := func(a *account) { m.getOrAdd(a.key, func() *account { return a }) }
	stays := Key{Name: "stays"}
	numbered := make([]*account, 22_000)
	for i := range numbered {
		numbered[i] = &account{key: Key{Name: strconv.Itoa(i)}}
	}
	for _, a := range numbered[:10] { // in front of it, perhaps
		add(a)
	}
	add(&account{key: stays})
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
				if m.get(stays) == nil {
					t.Error("an account that was never removed was not found")
					return
				}
			}
		})
	}
	for round := range 20 {
		some := numbered[round*1000:][:2000]
		for _, a := range some {
			add(a)
		}
		for _, a := range some {
			m.remove(a)
		}
	}
	close(done)
	readers.Wait()
}
