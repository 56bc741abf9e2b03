//go:build !race

// The race detector changes what is on the heap.

package journal

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/sluice-mail/sluice/limiter"
	"github.com/sluice-mail/sluice/limiter/limitertest"
)

// TestIdleAccountsAreSmall is G9 with a journal: what an account costs that was used, and is idle
// again. It is what it costs in memory, and who it is in the log.
func TestIdleAccountsAreSmall(t *testing.T) {
	const n = 200_000
	s := recovered(t, Options{Dir: t.TempDir()})
	l := limiter.New(s)
	l.MarkLoaded()
	used := func(from, to int) {
		var calls []limiter.Call
		for i := from; i < to; i++ {
			key := limiter.Key{Namespace: "marketing", Name: fmt.Sprintf("mailbox-%08d", i)}
			uid := fmt.Sprintf("5e1f3b0a-7c1d-4c39-9a54-%012d", i)
			limitertest.Apply(t, l, key, uid, limiter.Policy{Limits: limitertest.Limits(30, 0, 0)})
			calls = append(calls, limiter.Call{
				Key: key, Verb: limiter.ToCommit, Ask: limiter.Ask{ID: "once", Cost: 1},
			})
		}
		doAll(t, l, limiter.Instant{}, calls)
		s.Sweep(limiter.Instant{Mono: int64(25 * time.Hour)})
		if err := s.snapshot(); err != nil { // and the database has little in memory
			t.Fatal(err)
		}
	}
	heap := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	used(0, 1000)
	before := heap()
	used(1000, 1000+n)
	each := (heap() - before) / n
	t.Logf("an idle account costs %d bytes", each)
	if each > 600 {
		t.Errorf("an idle account costs %d bytes, want at most 600", each)
	}
	runtime.KeepAlive(l)
}
