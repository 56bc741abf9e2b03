package memory

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/sluice-mail/sluice/limiter"
	"github.com/sluice-mail/sluice/limiter/limitertest"
)

// BenchmarkSweep measures how long a sweep keeps an account locked at a time, and so a check
// waiting, where it has the most to do: a million reservations expire, ids are remembered and
// forgotten by the thousand, a day's history leaves. The metrics are
//
//	longest-ns  the longest time between taking the lock and letting go of it; each time is the
//	            shortest of all iterations, which do the same, so that what else the machine
//	            did is not in it
//	steps       how often the lock was taken
func BenchmarkSweep(b *testing.B) {
	for name, sooner := range map[string]int64{
		"one-deadline": 1, "random-deadlines": int64(time.Minute),
	} {
		b.Run(name, func(b *testing.B) {
			var shortest []time.Duration
			for b.Loop() {
				b.StopTimer()
				a, now := crowdedAccount(b, sooner)
				step := 0
				b.StartTimer()
				for _, later := range []time.Duration{
					0, 2 * time.Minute, 20 * time.Minute, 25 * time.Hour,
				} {
					for done := false; !done; step++ {
						start := time.Now()
						done = a.sweep(now + int64(later))
						took := time.Since(start)
						if step == len(shortest) {
							shortest = append(shortest, took)
						}
						shortest[step] = min(shortest[step], took)
					}
				}
			}
			b.ReportMetric(float64(slices.Max(shortest)), "longest-ns")
			b.ReportMetric(float64(len(shortest)), "steps")
		})
	}
}

// crowdedAccount has a day's history, all the ids that can be remembered, and a million
// reservations that expire within a minute, each by up to so much sooner.
func crowdedAccount(b *testing.B, sooner int64) (a *Account, now int64) {
	b.Helper()
	s := New(Options{MaxReservationsPerAccount: DefaultMaxReservations})
	l := limitertest.New(b, s)
	k := limiter.Key{Name: "crowded"}
	l.Apply(k, "uid", limiter.Policy{})
	const sends = 1_000_000
	for i := range sends {
		now += int64(24*time.Hour) / sends
		id := "sent-" + strconv.Itoa(i)
		if _, err := l.Commit(limiter.Instant{Mono: now}, k, id, 1); err != nil {
			b.Fatal(err)
		}
	}
	random := rand.New(rand.NewPCG(1, 1))
	for i := range DefaultMaxReservations {
		ttl := time.Duration(int64(time.Minute) - random.Int64N(sooner))
		ask := limiter.Ask{ID: strconv.Itoa(i), Cost: 1, TTL: ttl}
		if _, err := l.Check(limiter.Instant{Mono: now}, k, ask); err != nil {
			b.Fatal(err)
		}
	}
	return s.accounts[0], now
}

// TestSweepLetsGo wants a sweep to let callers in between the steps in which it expires a burst:
// after 64 reservations, which BenchmarkSweep measured to keep them waiting for less than 0.3 ms.
func TestSweepLetsGo(t *testing.T) {
	t.Parallel()
	s := New(Options{})
	l := limitertest.New(t, s)
	k := limiter.Key{Name: "burst"}
	l.Apply(k, "uid", limiter.Policy{})
	const burst, most = 1000, 64
	for i := range burst {
		ask := limiter.Ask{ID: strconv.Itoa(i), Cost: 1, TTL: time.Second}
		if _, err := l.Check(limiter.Instant{}, k, ask); err != nil {
			t.Fatal(err)
		}
	}
	for held, done := burst, false; !done; {
		done = s.accounts[0].sweep(int64(time.Minute))
		left := l.Stats().Reservations
		if expired := held - left; expired > most || done != (left == 0) {
			t.Fatalf(
				"a step expired %d, want at most %d; %d are left, done %v",
				expired,
				most,
				left,
				done,
			)
		}
		held = left
	}
}
