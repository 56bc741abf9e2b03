package memory_test

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-mail/sluice/limiter"
	"github.com/sluice-mail/sluice/limiter/limitertest"
	"github.com/sluice-mail/sluice/limiter/memory"
)

var account = limiter.Key{Namespace: "marketing", Name: "newsletter"}

func perMinute(
	n int64,
) limiter.Policy {
	return limiter.Policy{Limits: limitertest.Limits(n, 0, 0)}
}

// crowd is a limiter of so many accounts without limits, each of which may hold all reservations
// there may be.
func crowd(t limitertest.TB, maxReservations, accounts int) (*limitertest.Harness, []limiter.Key) {
	l := limitertest.New(t, memory.New(memory.Options{
		MaxReservations:           maxReservations,
		MaxReservationsPerAccount: memory.DefaultMaxReservations + 1,
	}))
	keys := make([]limiter.Key, accounts)
	for i := range keys {
		keys[i] = limiter.Key{Namespace: "n", Name: fmt.Sprint(i)}
		l.Apply(keys[i], "uid", limiter.Policy{})
	}
	return l, keys
}

// TestG9ReservationsAreBoundedExactly reserves all that may be outstanding, spread over accounts as
// unevenly as may be: neither one too many, nor is one refused while there is room.
func TestG9ReservationsAreBoundedExactly(t *testing.T) {
	for _, bound := range []int{1, 63, 64, 1000, 100_000} {
		for _, accounts := range []int{1, 100} {
			t.Run(fmt.Sprintf("%d over %d accounts", bound, accounts), func(t *testing.T) {
				l, keys := crowd(t, bound, accounts)
				check := func(i int) error {
					_, err := l.Check(
						limiter.Instant{},
						keys[i%accounts],
						limiter.Ask{ID: fmt.Sprint(i), Cost: 1, TTL: time.Minute},
					)
					return err
				}
				for round := range 2 {
					for i := range bound {
						if err := check(i + round*bound); err != nil {
							t.Fatalf("reservation %d: %v", i, err)
						}
					}
					err := check(-1 + (round+1)*1_000_000)
					if !errors.Is(err, limiter.ErrOverloaded) {
						t.Fatalf("one more than the bound: %v", err)
					}
					if n := l.Stats().Reservations; n != bound {
						t.Errorf("%d are outstanding, want %d", n, bound)
					}
					for i := range bound {
						key := keys[(i+round*bound)%accounts]
						if _, err := l.Release(limiter.Instant{}, key, ""); err != nil {
							t.Fatal(err)
						}
					}
					if n := l.Stats().Reservations; n != 0 {
						t.Fatalf("%d are outstanding, want none", n)
					}
				}
			})
		}
	}
}

// TestG9ReservationsAreBoundedUnderLoad has many callers take and give at the bound.
func TestG9ReservationsAreBoundedUnderLoad(t *testing.T) {
	const bound = 100
	l, keys := crowd(t, bound, 20)
	var outstanding atomic.Int64
	var over atomic.Bool
	var group sync.WaitGroup
	for g := range 8 {
		group.Go(func() {
			for i := range 5000 {
				key, id := keys[(g*7+i)%len(keys)], fmt.Sprint(g, "-", i)
				ask := limiter.Ask{ID: id, Cost: 1, TTL: time.Minute}
				if _, err := l.Check(limiter.Instant{}, key, ask); err != nil {
					continue // there is no room
				}
				if outstanding.Add(1) > bound {
					over.Store(true)
				}
				if i%3 != 0 {
					continue // stays outstanding for now
				}
				outstanding.Add(
					-1,
				) // counted down before it is given back, so that the count is never too high
				if _, err := l.Commit(limiter.Instant{}, key, id, 0); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	if over.Load() {
		t.Errorf("more than %d were outstanding at a time", bound)
	}
	if got, want := int64(l.Stats().Reservations), outstanding.Load(); got != want {
		t.Errorf("the limiter counts %d outstanding, the callers %d", got, want)
	}
}

// TestSweepOfManyExpired has more expire at once than a sweep takes in one step, at deadlines of
// their own.
func TestSweepOfManyExpired(t *testing.T) {
	l, keys := crowd(t, 0, 1)
	const n = 10_000
	for i := range n {
		ttl := time.Duration((i*7919)%n+1) * time.Millisecond
		ask := limiter.Ask{ID: fmt.Sprint(i), Cost: 1, TTL: ttl}
		if _, err := l.Check(limiter.Instant{}, keys[0], ask); err != nil {
			t.Fatal(err)
		}
	}
	l.Sweep(limiter.Instant{Mono: int64(time.Minute)})
	if held := l.Stats().Reservations; held != 0 {
		t.Errorf("%d are still outstanding", held)
	}
	// They were sent one each millisecond from 1 ms on, so half of them have left the minute 5 s
	// after its first.
	u, err := l.Usage(limiter.Instant{Mono: int64(time.Minute + 5*time.Second)}, keys[0])
	if err != nil || u.Window(limiter.Cost, limiter.Minute).Used != n/2 ||
		u.Window(limiter.Cost, limiter.Hour).Used != n {
		t.Errorf("the usage is %+v, %v", u, err)
	}
}

// TestOneAccountCannotHoldAll: an account whose callers never commit leaves room for the others.
func TestOneAccountCannotHoldAll(t *testing.T) {
	for name, c := range map[string]struct {
		options memory.Options
		share   int
	}{
		"a quarter":               {memory.Options{MaxReservations: 8000}, 2000},
		"a thousand at the least": {memory.Options{MaxReservations: 2000}, 1000},
		"as much as is said": {
			memory.Options{MaxReservations: 2000, MaxReservationsPerAccount: 7}, 7,
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := limitertest.New(t, memory.New(c.options))
			greedy, other := limiter.Key{Name: "greedy"}, limiter.Key{Name: "other"}
			l.Apply(greedy, "uid", limiter.Policy{})
			l.Apply(other, "uid", limiter.Policy{})
			check := func(k limiter.Key, at time.Duration, id string) error {
				_, err := l.Check(
					limiter.Instant{Mono: int64(at)},
					k,
					limiter.Ask{ID: id, Cost: 1, TTL: time.Minute},
				)
				return err
			}
			for i := range c.share {
				if err := check(greedy, 0, fmt.Sprint(i)); err != nil {
					t.Fatalf("reservation %d of %d: %v", i, c.share, err)
				}
			}
			err := check(greedy, 0, "more")
			if !errors.Is(err, limiter.ErrAccountOverloaded) {
				t.Errorf("one more than its share: %v", err)
			}
			if err := check(greedy, 0, "0"); err != nil {
				t.Errorf("the repetition of what it holds: %v", err)
			}
			if err := check(other, 0, "a"); err != nil {
				t.Errorf("another account: %v", err)
			}
			if err := check(greedy, time.Minute, "more"); err != nil { // all have expired
				t.Errorf("after the deadline: %v", err)
			}
		})
	}
}
