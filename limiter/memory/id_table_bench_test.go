package memory

import (
	"runtime"
	"testing"
)

// BenchmarkIDTables compares the two hash tables of an account with Go maps that do the same, each
// with as many ids as fit into the cache: a new id comes, one is looked up, the oldest goes. The
// metrics are the time of that, and the bytes of heap for each id.
func BenchmarkIDTables(b *testing.B) {
	const n = 10_000
	hasher := newIDHasher()
	hashes := make([]IDHash, 4*n)
	for i := range hashes {
		hashes[i] = hasher.hash(string(rune(i)) + "mail")
	}
	id := func(i int) IDHash { return hashes[i%len(hashes)] }
	for name, table := range map[string]func() (turn func(i int), kept any){
		"outstanding/table": func() (func(int), any) {
			t := newIDTable(make([]IDHash, 0, 8), make([]idSlot, 16))
			for i := range n {
				t.add(id(i), int32(i))
			}
			return func(i int) {
				place := t.find(id(i))
				t.remove(place)
				t.add(id(i+n), place)
			}, &t
		},
		"outstanding/map": func() (func(int), any) {
			m := map[IDHash]int32{}
			for i := range n {
				m[id(i)] = int32(i)
			}
			return func(i int) {
				place := m[id(i)]
				delete(m, id(i))
				m[id(i+n)] = place
			}, m
		},
		"ended/table": func() (func(int), any) {
			e := &endedIDs{}
			for i := range n {
				e.remember(id(i), ending{})
			}
			return func(i int) {
				if e.find(id(i+n)) != nil {
					b.Fatal("found")
				}
				e.forgetOldest()
				e.remember(id(i+n), ending{})
			}, e
		},
		"ended/map": func() (func(int), any) {
			m, ring := map[IDHash]ending{}, make([]IDHash, n)
			for i := range n {
				m[id(i)], ring[i] = ending{}, id(i)
			}
			return func(i int) {
				if _, found := m[id(i+n)]; found {
					b.Fatal("found")
				}
				delete(m, ring[i%n])
				m[id(i+n)], ring[i%n] = ending{}, id(i+n)
			}, [2]any{m, ring}
		},
	} {
		b.Run(name, func(b *testing.B) {
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			turn, kept := table()
			runtime.GC()
			runtime.ReadMemStats(&after)
			b.ResetTimer()
			for i := range b.N {
				turn(i)
			}
			b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/n, "B/id")
			runtime.KeepAlive(kept)
		})
	}
}
