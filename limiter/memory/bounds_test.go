//go:build !race

// The race detector changes what is on the heap.

package memory_test

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/sluice-mail/sluice/limiter"
	"github.com/sluice-mail/sluice/limiter/limitertest"
	"github.com/sluice-mail/sluice/limiter/memory"
)

// G9: what the limiter may cost, and what it gives up for that.

func TestG9IdleAccountsAreSmall(t *testing.T) {
	const n = 1_000_000
	bytes, kept := heapOf(func() any {
		l := limitertest.New(t, memory.New(memory.Options{}))
		for i := range n {
			key := limiter.Key{Namespace: "marketing", Name: fmt.Sprintf("mailbox-%08d", i)}
			l.Apply(key, fmt.Sprintf("5e1f3b0a-7c1d-4c39-9a54-%012d", i), perMinute(30))
			// One mail each, a day and a sweep ago: an account that was used is idle again.
			if _, err := l.Commit(limiter.Instant{}, key, "once", 1); err != nil {
				t.Fatal(err)
			}
		}
		l.Sweep(limiter.Instant{Mono: int64(25 * time.Hour)})
		return l
	})
	if each := bytes / n; each > 400 {
		t.Errorf("an idle account costs %d bytes, want at most 400", each)
	} else {
		t.Logf("an idle account costs %d bytes", each)
	}
	runtime.KeepAlive(kept)
}

// TestFirstMailCosts is what an account needs from its first check and commit on, until a sweep
// finds it idle for a day: what docs/operations.md reckons with.
func TestFirstMailCosts(t *testing.T) {
	const n = 100_000
	l, keys := crowd(t, 0, n)
	bytes, _ := heapOf(func() any {
		for _, k := range keys {
			checkAndCommitAt(t, l, k, limiter.Instant{}, "once")
		}
		return l
	})
	if each := bytes / n; each > 1024 {
		t.Errorf("the first mail costs an account %d bytes, want at most 1024", each)
	} else {
		t.Logf("the first mail costs an account %d bytes", each)
	}
	runtime.KeepAlive(l)
}

// TestG9BusyHistoryIsBounded sends more than a history keeps apart, in each window.
func TestG9BusyHistoryIsBounded(t *testing.T) {
	for name, c := range map[string]struct{ cost, bound int64 }{
		"messages of cost 1":                   {1, 512 << 10},
		"messages that are counted apart, too": {2, 640 << 10},
	} {
		t.Run(name, func(t *testing.T) {
			l := limitertest.New(t, memory.New(memory.Options{}))
			l.Apply(account, "uid", limiter.Policy{})
			now := int64(0)
			commit := func(pause time.Duration) {
				now += int64(pause)
				if _, err := l.Commit(limiter.Instant{Mono: now}, account, "", c.cost); err != nil {
					t.Fatal(err)
				}
			}
			bytes, _ := heapOf(func() any {
				for range 2_000_000 { // a day at 23 a second, all at different instants
					commit(43_200*time.Microsecond - 13)
				}
				for range 500_000 { // then 8,000 a second for a minute
					commit(125 * time.Microsecond)
				}
				for range 100_000 { // then 20,000 a second for five seconds
					commit(50 * time.Microsecond)
				}
				return l
			})
			if bytes > c.bound {
				t.Errorf("the history costs %d bytes, want at most %d", bytes, c.bound)
			} else {
				t.Logf("the history costs %d bytes", bytes)
			}
			runtime.KeepAlive(l)
		})
	}
}

func TestG9UnknownNamesAllocateNothing(t *testing.T) {
	l := limitertest.New(t, memory.New(memory.Options{}))
	key := limiter.Key{Namespace: "marketing", Name: "nobody"}
	if n := testing.AllocsPerRun(100, func() {
		_, _ = l.Check(limiter.Instant{}, key, limiter.Ask{ID: "x", Cost: 1, TTL: 1})
		_, _ = l.Commit(limiter.Instant{}, key, "x", 1)
		_, _ = l.Release(limiter.Instant{}, key, "x")
	}); n != 0 {
		t.Errorf("calls for a name that is no account allocate %v times", n)
	}
}
