package memory_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strconv"
	"testing"
	"time"

	limiter "github.com/sluice-mail/sluice/limiter/memory"
)

// What the limiter remembers of reservations, and what that costs.

func TestG5MemoryIsBounded(t *testing.T) {
	l := limiter.New(limiter.Options{})
	l.MarkLoaded()
	l.Apply(account, "uid", limiter.Policy{})
	at := limiter.Instant{Mono: 1}
	for i := range 16384 + 1 {
		if _, err := l.Commit(at, account, fmt.Sprint(i), 1); err != nil {
			t.Fatal(err)
		}
	}
	usage := func() int64 {
		u, err := l.Usage(at, account)
		if err != nil {
			t.Fatal(err)
		}
		return u.Windows[limiter.Minute].Used
	}
	before := usage()
	for _, c := range []struct {
		id    string
		added int64
	}{{"16384", 0}, {"1", 0}, {"0", 1}} { // the oldest was forgotten, and counts again: more, never less
		if _, err := l.Commit(at, account, c.id, 1); err != nil {
			t.Fatal(err)
		}
		if added := usage() - before; added != c.added {
			t.Errorf("repeating commit %s added %d, want %d", c.id, added, c.added)
		}
	}
}

// TestG5EndedIDsAreRemembered compares what is remembered with a list, as ids end, are forgotten and come again, at paces
// between a few and more than can be remembered in 15 minutes.
func TestG5EndedIDsAreRemembered(t *testing.T) {
	const seed = 1
	random := rand.New(rand.NewPCG(seed, seed))
	l, keys := crowd(0, 1)
	type end struct {
		id string
		at int64
	}
	var remembered []end
	is := map[string]bool{}
	var now limiter.Instant
	for _, phase := range []struct {
		pace  time.Duration
		steps int
	}{{10 * time.Millisecond, 100_000}, {time.Second, 20_000}, {5 * time.Minute, 100}} {
		for range phase.steps {
			now.Mono += random.Int64N(int64(2 * phase.pace))
			for len(remembered) > 0 && (len(remembered) > 16384 || remembered[0].at+int64(15*time.Minute) <= now.Mono) {
				delete(is, remembered[0].id)
				remembered = remembered[1:]
			}
			id := strconv.Itoa(random.IntN(30_000))
			want := limiter.ErrReservationNotFound
			if is[id] {
				want = limiter.ErrReservationEnded
			}
			if _, err := l.Release(now, keys[0], id); !errors.Is(err, want) {
				t.Fatalf("at %v, with %d remembered, release of %s: %v, want %v", time.Duration(now.Mono), len(remembered), id, err, want)
			}
			if _, err := l.Commit(now, keys[0], id, 1); err != nil {
				t.Fatal(err)
			}
			if !is[id] {
				is[id] = true
				remembered = append(remembered, end{id, now.Mono})
			}
			if random.IntN(1000) == 0 {
				l.Sweep(now)
			}
		}
	}
}

// worst is the most that one of many costs, as their number grows by an eighth at a time: tables that grow by
// doubling are at their emptiest at other numbers than those that one would try.
func worst(t *testing.T, largest int, cost func(n int) int64) (bytes int64) {
	t.Helper()
	for n := 1000; n <= largest; n += n / 8 {
		bytes = max(bytes, cost(n)/int64(n))
	}
	return max(bytes, cost(largest)/int64(largest))
}

func TestG9OutstandingReservationsAreSmall(t *testing.T) {
	each := worst(t, 20_000, func(n int) int64 {
		l, keys := crowd(0, 1)
		bytes, _ := heapOf(func() any {
			for i := range n {
				if _, err := l.Check(limiter.Instant{}, keys[0], limiter.Ask{ID: fmt.Sprint(i), Cost: 1, TTL: time.Minute}); err != nil {
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
		l, keys := crowd(0, 1)
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

// TestG9BurstsAreGivenBack wants an account that had a burst, and goes on with little, to cost little again.
func TestG9BurstsAreGivenBack(t *testing.T) {
	l, keys := crowd(0, 1)
	check := func(id string, at time.Duration) {
		t.Helper()
		if _, err := l.Check(limiter.Instant{Mono: int64(at)}, keys[0], limiter.Ask{ID: id, Cost: 1, TTL: time.Minute}); err != nil {
			t.Fatal(err)
		}
	}
	bytes, _ := heapOf(func() any {
		for i := range 100_000 {
			check(fmt.Sprint(i), 0)
		}
		for at := time.Duration(0); at < 20*time.Minute; at += limiter.SweepInterval {
			check(fmt.Sprint("steady-", at), at)
			l.Sweep(limiter.Instant{Mono: int64(at)})
		}
		return l
	})
	if bytes > 64<<10 {
		t.Errorf("after a burst the account costs %d bytes", bytes)
	}
	u, err := l.Usage(limiter.Instant{Mono: int64(20 * time.Minute)}, keys[0])
	if err != nil || u.InFlight != 5 || u.Windows[limiter.Hour].Used != 100_000+115 {
		t.Errorf("the usage is %+v, %v", u, err)
	}
	if o, err := l.Commit(limiter.Instant{Mono: int64(20 * time.Minute)}, keys[0], "steady-19m50s", 0); err != nil || o != limiter.Committed {
		t.Errorf("a reservation that was moved: %v, %v", o, err)
	}
}
