package memory

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-mail/sluice/limiter"
	"github.com/sluice-mail/sluice/limiter/limitertest"
)

// reserving is a loaded limiter with one account without limits, and a function that makes it hold
// a reservation.
func reserving(t testing.TB) (
	s *Store, l *limitertest.Harness, k limiter.Key,
	reserve func(now time.Duration, id string, ttl time.Duration),
) {
	t.Helper()
	s = New(Options{MaxReservationsPerAccount: DefaultMaxReservations})
	l = limitertest.New(t, s)
	k = limiter.Key{Namespace: "n", Name: "a"}
	l.Apply(k, "uid", limiter.Policy{})
	return s, l, k, func(now time.Duration, id string, ttl time.Duration) {
		t.Helper()
		d, err := l.Check(
			limiter.Instant{Mono: int64(now)},
			k,
			limiter.Ask{ID: id, Cost: 1, TTL: ttl},
		)
		if err != nil || d.Verdict != limiter.Allowed {
			t.Fatal(d, err)
		}
	}
}

// TestManyDeadlinesDueInOneCall has more deadlines pass than the history keeps apart before anybody
// looks: each window counts what the exact history would, and no more than what has left it within
// 1/8192 of its length.
func TestManyDeadlinesDueInOneCall(t *testing.T) {
	t.Parallel()
	for name, expireBy := range map[string]func(*limitertest.Harness, limiter.Instant){
		"a call":  func(*limitertest.Harness, limiter.Instant) {},
		"a sweep": (*limitertest.Harness).Sweep,
		"expiry":  (*limitertest.Harness).Expire,
	} {
		for _, n := range []int{30_000, 60_000, 100_000} {
			for _, spread := range []time.Duration{10 * time.Minute, 30 * time.Hour} {
				t.Run(fmt.Sprintf("%d within %s by %s", n, spread, name), func(t *testing.T) {
					t.Parallel()
					_, l, k, reserve := reserving(t)
					random := rand.New(rand.NewPCG(1, uint64(n)))
					deadlines := make([]int64, n)
					for i := range deadlines {
						ttl := 1 + time.Duration(random.Int64N(int64(spread)))
						reserve(0, strconv.Itoa(i), ttl)
						deadlines[i] = int64(ttl)
					}
					slices.Sort(deadlines)
					upTo := func(at int64) int64 {
						i, _ := slices.BinarySearch(deadlines, at+1)
						return int64(i)
					}
					wait := []time.Duration{0, time.Second, time.Hour, 24 * time.Hour}
					for _, later := range wait {
						at := spread + later
						now := limiter.Instant{Mono: int64(at)}
						expireBy(l, now)
						u, err := l.Usage(now, k)
						if err != nil || u.InFlight != 0 {
							t.Fatalf("%d are in flight, %v", u.InFlight, err)
						}
						for _, w := range u.Windows {
							length := lengths[w.Window]
							least := upTo(now.Mono) - upTo(now.Mono-length)
							most := upTo(now.Mono) - upTo(now.Mono-length-length/8192)
							if got := w.Used; got < least || got > most {
								t.Errorf(
									"%s after the checks the %s counts %d, want %d to %d",
									at,
									w.Window,
									got,
									least,
									most,
								)
							}
						}
					}
				})
			}
		}
	}
}

// TestReservationsExpireOnTime wants reservations to become sends when they fall due, whoever
// looks: a sweep comes round too seldom for that.
func TestReservationsExpireOnTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, l, k, reserve := reserving(t)
		other := limiter.Key{Namespace: "n", Name: "b"}
		l.Apply(other, "uid", limiter.Policy{})
		clock := limiter.StartClock()
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		go s.RunExpiry(ctx, clock)
		now := func() time.Duration { return time.Duration(clock.Now().Mono) }
		held := func(when string, want int) {
			t.Helper()
			synctest.Wait()
			if got := l.Stats().Reservations; got != want {
				t.Errorf("%s: %d are outstanding, want %d", when, got, want)
			}
		}
		synctest.Wait()
		reserve(now(), "late", 10*time.Second)
		reserve(now(), "soon", time.Second) // sooner than what it waits for
		reserve(now(), "committed", 5*time.Second)
		ask := limiter.Ask{ID: "other", Cost: 1, TTL: 3 * time.Second}
		if _, err := l.Check(clock.Now(), other, ask); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second - 1)
		held("before the first deadline", 4)
		time.Sleep(1 + expiryPause)
		held("after the first deadline", 3)
		if _, err := l.Commit(clock.Now(), k, "committed", 0); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		held("after that of the other account", 1)
		l.Purge(other)
		time.Sleep(7 * time.Second)
		held("after all deadlines", 0)
		reserve(now(), "again", time.Second)
		time.Sleep(time.Second + expiryPause)
		held("after a reservation of an account that had none", 0)
		u, err := l.Usage(clock.Now(), k)
		if err != nil || u.Window(limiter.Cost, limiter.Minute).Used != 4 {
			t.Errorf("the usage is %+v, %v", u, err)
		}
	})
}

// TestWakeUpsAreFew wants the heap of deadlines to grow with the accounts that hold reservations,
// not with what they send.
func TestWakeUpsAreFew(t *testing.T) {
	t.Parallel()
	s, l, k, reserve := reserving(t)
	const ttl = 2 * time.Minute
	var now time.Duration
	for i := range 100_000 {
		now += 10 * time.Millisecond
		id := strconv.Itoa(i)
		reserve(now, id, ttl-time.Duration(i%3)*time.Second)
		if _, err := l.Commit(limiter.Instant{Mono: int64(now)}, k, id, 0); err != nil {
			t.Fatal(err)
		}
		l.Expire(limiter.Instant{Mono: int64(now)})
		if n := len(s.deadlines.heap); n > 6 {
			t.Fatalf("after %d checks and commits of one account there are %d wake-ups", i+1, n)
		}
	}
	l.Expire(limiter.Instant{Mono: int64(now + ttl)})
	if n := len(s.deadlines.heap); n != 0 {
		t.Errorf("nothing is outstanding, and there are %d wake-ups", n)
	}
}

// TestDeadlinesComeInOrder adds wake-ups at random and pops what is due.
func TestDeadlinesComeInOrder(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 1))
	d := newDeadlines()
	var want []int64
	for now := range int64(2000) {
		for range random.IntN(4) {
			at := now + random.Int64N(500)
			d.push(wakeUp{at: at})
			want = append(want, at)
		}
		slices.Sort(want)
		for len(want) > 0 && want[0] <= now {
			if at, ok := d.first(); !ok || at != want[0] {
				t.Fatalf("the first is at %d, %v, want %d", at, ok, want[0])
			}
			if w, due := d.popDue(now); !due || w.at != want[0] {
				t.Fatalf("at %d came %d, %v, want %d", now, w.at, due, want[0])
			}
			want = want[1:]
		}
		if w, due := d.popDue(now); due {
			t.Fatalf("at %d came %d, want nothing", now, w.at)
		}
	}
}

// TestLastSweep: it tells liveness that sweeps come round.
func TestLastSweep(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := New(Options{})
		clock := limiter.StartClock()
		start := clock.Now().Mono
		ctx, stop := context.WithCancel(t.Context())
		go s.RunSweep(ctx, clock)
		synctest.Wait()
		if at := s.LastSweep(); at != start {
			t.Errorf("when it begins, the last sweep was at %d, want %d", at, start)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if at := time.Duration(s.LastSweep() - start); at != time.Minute {
			t.Errorf("the last sweep was at %s, want 1m", at)
		}
		stop()
		time.Sleep(time.Minute)
		synctest.Wait()
		if at := time.Duration(s.LastSweep() - start); at != time.Minute {
			t.Errorf("the last sweep was at %s, after sweeps had ended", at)
		}
	})
}

// BenchmarkDeadlinesDue measures how long calls of an account wait while a million of its
// reservations fall due within a minute, or within ten seconds, on the real clock and with
// RunExpiry at work. Another caller does the same with an account that has none, so that it shows
// what the machine adds. One iteration is one such time. The metrics are
//
//	calls       how many calls came of each, one each millisecond
//	longest-ns  the longest of them, and p999-ns all but one in a thousand
//	idle-…      the same of the account without reservations
//	left        how many reservations were not expired yet when the last fell due
func BenchmarkDeadlinesDue(b *testing.B) {
	for _, within := range []time.Duration{time.Minute, 10 * time.Second} {
		b.Run(within.String(), func(b *testing.B) {
			for b.Loop() {
				callsWhileDue(b, DefaultMaxReservations, within)
			}
		})
	}
}

func callsWhileDue(b *testing.B, n int, within time.Duration) {
	b.Helper()
	s, l, busy, reserve := reserving(b)
	idle := limiter.Key{Namespace: "n", Name: "idle"}
	l.Apply(idle, "uid", limiter.Policy{})
	random := rand.New(rand.NewPCG(1, 1))
	for i := range n {
		reserve(0, strconv.Itoa(i), 1+time.Duration(random.Int64N(int64(within))))
	}
	runtime.GC()
	clock := limiter.StartClock()
	ctx, stop := context.WithCancel(b.Context())
	defer stop()
	go s.RunExpiry(ctx, clock)
	var callers sync.WaitGroup
	for name, k := range map[string]limiter.Key{"": busy, "idle-": idle} {
		callers.Go(func() {
			var took []time.Duration
			tick := time.NewTicker(time.Millisecond)
			defer tick.Stop()
			for now := clock.Now(); now.Mono < int64(within); now = clock.Now() {
				start := time.Now()
				if _, err := l.Usage(clock.Now(), k); err != nil {
					b.Error(err)
				}
				took = append(took, time.Since(start))
				<-tick.C
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)-1]), name+"longest-ns")
			b.ReportMetric(float64(took[len(took)*999/1000]), name+"p999-ns")
			b.ReportMetric(float64(len(took)), name+"calls")
		})
	}
	callers.Wait()
	b.ReportMetric(float64(l.Stats().Reservations), "left")
}
