package limiter

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestKeyOrder compares it with a sorted slice, as accounts come and go, in order and at random.
func TestKeyOrder(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 1))
	var o keyOrder
	var want []Key
	insert := func(k Key) {
		if at, there := slices.BinarySearchFunc(want, k, Key.compare); !there {
			o.insert(&account{key: k})
			want = slices.Insert(want, at, k)
		}
	}
	remove := func(k Key) {
		if at, there := slices.BinarySearchFunc(want, k, Key.compare); there {
			o.remove(k)
			want = slices.Delete(want, at, at+1)
		}
	}
	key := func(i int) Key {
		return Key{Namespace: fmt.Sprint(i % 3), Name: fmt.Sprintf("%05d", i/3)}
	}
	compare := func() {
		t.Helper()
		if got := o.after("", Key{}, len(want)+1); !slices.Equal(got, want) {
			t.Fatalf("it holds %d keys, want %d: %v", len(got), len(want), got)
		}
		for _, c := range o.chunks {
			if len(c) == 0 || len(c) > chunkSize {
				t.Fatalf("a chunk holds %d", len(c))
			}
		}
	}
	compare()
	for i := range 5000 {
		insert(key(3 * i)) // in order
	}
	compare()
	if most := 5000/chunkSize + 1; len(o.chunks) > most {
		t.Errorf(
			"5,000 keys that came in order fill %d chunks, want at most %d",
			len(o.chunks),
			most,
		)
	}
	for range 50_000 {
		if k := key(random.IntN(15_000)); random.IntN(3) > 0 {
			insert(k)
		} else {
			remove(k)
		}
	}
	compare()
	for range 1000 {
		namespace, after, n := fmt.Sprint(
			random.IntN(4),
		), key(
			random.IntN(16_000),
		), 1+random.IntN(
			700,
		)
		if random.IntN(2) == 0 {
			namespace = ""
		}
		var page []Key
		for _, k := range want {
			if k.compare(after) > 0 && (namespace == "" || k.Namespace == namespace) &&
				len(page) < n {
				page = append(page, k)
			}
		}
		if got := o.after(namespace, after, n); !slices.Equal(got, page) {
			t.Fatalf("%d of namespace %q after %v are %v, want %v", n, namespace, after, got, page)
		}
	}
	for _, i := range random.Perm(15_000) {
		remove(key(i))
		if i%100 == 0 {
			compare()
		}
		if sparse := 4*len(want)/chunkSize + 2; len(o.chunks) > sparse {
			t.Fatalf("%d keys are left in %d chunks", len(want), len(o.chunks))
		}
	}
	compare()
}
