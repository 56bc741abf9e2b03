package memory_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	limiter "github.com/sluice-mail/sluice/limiter/memory"
)

// crowd is a limiter of so many accounts without limits, each of which may hold all reservations
// there may be.
func crowd(maxReservations, accounts int) (*limiter.Limiter, []limiter.Key) {
	l := limiter.New(limiter.Options{
		MaxReservations:           maxReservations,
		MaxReservationsPerAccount: limiter.DefaultMaxReservations + 1,
	})
	l.MarkLoaded()
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
				l, keys := crowd(bound, accounts)
				check := func(i int) error {
					_, err := l.Check(limiter.Instant{}, keys[i%accounts], limiter.Ask{ID: fmt.Sprint(i), Cost: 1, TTL: time.Minute})
					return err
				}
				for round := range 2 {
					for i := range bound {
						if err := check(i + round*bound); err != nil {
							t.Fatalf("reservation %d: %v", i, err)
						}
					}
					if err := check(-1 + (round+1)*1_000_000); err != limiter.ErrOverloaded { //nolint:errorlint // returned as it is
						t.Fatalf("one more than the bound: %v", err)
					}
					if n := l.Stats().Reservations; n != bound {
						t.Errorf("%d are outstanding, want %d", n, bound)
					}
					for i := range bound {
						if _, err := l.Release(limiter.Instant{}, keys[(i+round*bound)%accounts], ""); err != nil {
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
	l, keys := crowd(bound, 20)
	var outstanding atomic.Int64
	var over atomic.Bool
	var group sync.WaitGroup
	for g := range 8 {
		group.Go(func() {
			for i := range 5000 {
				key, id := keys[(g*7+i)%len(keys)], fmt.Sprint(g, "-", i)
				if _, err := l.Check(limiter.Instant{}, key, limiter.Ask{ID: id, Cost: 1, TTL: time.Minute}); err != nil {
					continue // there is no room
				}
				if outstanding.Add(1) > bound {
					over.Store(true)
				}
				if i%3 != 0 {
					continue // stays outstanding for now
				}
				outstanding.Add(-1) // counted down before it is given back, so that the count is never too high
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
	l, keys := crowd(0, 1)
	const n = 10_000
	for i := range n {
		ttl := time.Duration((i*7919)%n+1) * time.Millisecond
		if _, err := l.Check(limiter.Instant{}, keys[0], limiter.Ask{ID: fmt.Sprint(i), Cost: 1, TTL: ttl}); err != nil {
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
	if err != nil || u.Windows[limiter.Minute].Used != n/2 || u.Windows[limiter.Hour].Used != n {
		t.Errorf("the usage is %+v, %v", u, err)
	}
}

// TestOneAccountCannotHoldAll: an account whose callers never commit leaves room for the others.
func TestOneAccountCannotHoldAll(t *testing.T) {
	for name, c := range map[string]struct {
		options limiter.Options
		share   int
	}{
		"a quarter":               {limiter.Options{MaxReservations: 8000}, 2000},
		"a thousand at the least": {limiter.Options{MaxReservations: 2000}, 1000},
		"as much as is said":      {limiter.Options{MaxReservations: 2000, MaxReservationsPerAccount: 7}, 7},
	} {
		t.Run(name, func(t *testing.T) {
			l := limiter.New(c.options)
			l.MarkLoaded()
			greedy, other := limiter.Key{Name: "greedy"}, limiter.Key{Name: "other"}
			l.Apply(greedy, "uid", limiter.Policy{})
			l.Apply(other, "uid", limiter.Policy{})
			check := func(k limiter.Key, at time.Duration, id string) error {
				_, err := l.Check(limiter.Instant{Mono: int64(at)}, k, limiter.Ask{ID: id, Cost: 1, TTL: time.Minute})
				return err
			}
			for i := range c.share {
				if err := check(greedy, 0, fmt.Sprint(i)); err != nil {
					t.Fatalf("reservation %d of %d: %v", i, c.share, err)
				}
			}
			if err := check(greedy, 0, "more"); err != limiter.ErrAccountOverloaded { //nolint:errorlint // returned as it is
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
