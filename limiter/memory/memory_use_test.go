//go:build !race

// The race detector changes what is on the heap.

package memory_test

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/sluice-mail/sluice/limiter"
	"github.com/sluice-mail/sluice/limiter/memory"
)

// What the limiter remembers of reservations, and what that costs.

// worst is the most that one of many costs, as their number grows by an eighth at a time: tables
// that grow by doubling are at their emptiest at other numbers than those that one would try.
func worst(t *testing.T, largest int, cost func(n int) int64) (bytes int64) {
	t.Helper()
	for n := 1000; n <= largest; n += n / 8 {
		bytes = max(bytes, cost(n)/int64(n))
	}
	return max(bytes, cost(largest)/int64(largest))
}

func TestG9OutstandingReservationsAreSmall(t *testing.T) {
	each := worst(t, 20_000, func(n int) int64 {
		l, keys := crowd(t, 0, 1)
		bytes, _ := heapOf(func() any {
			for i := range n {
				ask := limiter.Ask{ID: fmt.Sprint(i), Cost: 1, TTL: time.Minute}
				if _, err := l.Check(limiter.Instant{}, keys[0], ask); err != nil {
					t.Fatal(err)
				}
			}
			return l
		})
		runtime.KeepAlive(l)
		return bytes
	})
	t.Logf("an outstanding reservation costs %d bytes", each)
	if each > 160 {
		t.Errorf("an outstanding reservation costs %d bytes, want at most 160", each)
	}
}

func TestG9RememberedIDsAreSmall(t *testing.T) {
	each := worst(t, 16384, func(n int) int64 {
		l, keys := crowd(t, 0, 1)
		bytes, _ := heapOf(func() any {
			for i := range n {
				if _, err := l.Commit(limiter.Instant{}, keys[0], fmt.Sprint(i), 1); err != nil {
					t.Fatal(err)
				}
			}
			return l
		})
		runtime.KeepAlive(l)
		return bytes
	})
	t.Logf("a remembered id costs %d bytes", each)
	if each > 64 {
		t.Errorf("a remembered id costs %d bytes, want at most 64", each)
	}
}

// TestG9BurstsAreGivenBack wants an account that had a burst, and goes on with little, to cost
// little again.
func TestG9BurstsAreGivenBack(t *testing.T) {
	l, keys := crowd(t, 0, 1)
	check := func(id string, at time.Duration) {
		t.Helper()
		ask := limiter.Ask{ID: id, Cost: 1, TTL: time.Minute}
		if _, err := l.Check(limiter.Instant{Mono: int64(at)}, keys[0], ask); err != nil {
			t.Fatal(err)
		}
	}
	bytes, _ := heapOf(func() any {
		for i := range 100_000 {
			check(fmt.Sprint(i), 0)
		}
		for at := time.Duration(0); at < 20*time.Minute; at += memory.SweepInterval {
			check(fmt.Sprint("steady-", at), at)
			l.Sweep(limiter.Instant{Mono: int64(at)})
		}
		return l
	})
	if bytes > 64<<10 {
		t.Errorf("after a burst the account costs %d bytes", bytes)
	}
	end := limiter.Instant{Mono: int64(20 * time.Minute)}
	u, err := l.Usage(end, keys[0])
	if err != nil || u.InFlight != 5 || u.Window(limiter.Cost, limiter.Hour).Used != 100_000+115 {
		t.Errorf("the usage is %+v, %v", u, err)
	}
	if o, err := l.Commit(end, keys[0], "steady-19m50s", 0); err != nil ||
		o != limiter.Committed {
		t.Errorf("a reservation that was moved: %v, %v", o, err)
	}
}
