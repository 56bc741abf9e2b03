package limiter_test

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/sluice-mail/sluice/limiter"
)

// BenchmarkCheckCommit is the cost of one check and its commit, all three windows limited, after so many sends in the
// last day.
//
// "instant" keeps the clock still, so that nothing differs but the history: both sides remember the most ids there can
// be. "steady" lets time pass so that as much leaves the day as is added; there the account of 1,000,000 sends also
// remembers the 10,000 ids of the last 15 minutes, and the one of 10 sends none.
func BenchmarkCheckCommit(b *testing.B) {
	ids := make([]string, 20_000) // more than are remembered, and few enough to stay in the cache
	for i := range ids {
		ids[i] = "mail-" + strconv.Itoa(i)
	}
	for _, clock := range []string{"instant", "steady"} {
		for _, sends := range []int{10, 1_000_000} {
			b.Run(fmt.Sprintf("%s/history=%d", clock, sends), func(b *testing.B) {
				pause := int64(24*time.Hour) / int64(sends)
				l, now := withHistory(b, sends, pause)
				if clock == "instant" {
					pause = 0
					for _, id := range ids {
						checkAndCommit(b, l, now, id)
					}
				}
				i := 0
				b.ReportAllocs()
				for b.Loop() {
					if now.Mono += pause; now.Mono > 1<<62 { // after 146 years
						b.StopTimer()
						l, now = withHistory(b, sends, pause)
						b.StartTimer()
					}
					checkAndCommit(b, l, now, ids[i%len(ids)])
					i++
				}
			})
		}
	}
}

func checkAndCommit(b *testing.B, l *limiter.Limiter, now limiter.Instant, id string) {
	d, err := l.Check(now, account, limiter.Ask{ID: id, Cost: 1, TTL: 2 * time.Minute})
	if err != nil || d.Verdict != limiter.Allowed {
		b.Fatal(d, err)
	}
	if _, err := l.Commit(now, account, id, 0); err != nil {
		b.Fatal(err)
	}
}

// withHistory is a limiter whose account has sent steadily for two days.
func withHistory(b *testing.B, sends int, pause int64) (*limiter.Limiter, limiter.Instant) {
	l := limiter.New(0)
	l.MarkLoaded()
	l.Apply(account, "uid", limiter.Policy{Limits: limits(1<<30, 1<<30, 1<<30)})
	var now limiter.Instant
	for range 2 * sends {
		now.Mono += pause
		if _, err := l.Commit(now, account, "", 1); err != nil {
			b.Fatal(err)
		}
	}
	return l, now
}

// BenchmarkDenied is the cost of a denial, with its earliest slot, from a full history.
func BenchmarkDenied(b *testing.B) {
	l := limiter.New(0)
	l.MarkLoaded()
	const sends = 1_000_000
	l.Apply(account, "uid", limiter.Policy{Limits: limits(sends, sends, sends)})
	var now limiter.Instant
	for range sends {
		now.Mono += int64(24*time.Hour) / sends
		if _, err := l.Commit(now, account, "", 1); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		d, err := l.Check(now, account, limiter.Ask{ID: "x", Cost: 1, TTL: time.Minute})
		if err != nil || d.Verdict != limiter.Deferred {
			b.Fatal(d, err)
		}
	}
}

// BenchmarkDistinctAccounts is check and commit by one goroutine per core, each at an account of its own.
func BenchmarkDistinctAccounts(b *testing.B) {
	l := limiter.New(0)
	l.MarkLoaded()
	var next = make(chan limiter.Key, 64)
	for i := range cap(next) {
		key := limiter.Key{Namespace: "n", Name: strconv.Itoa(i)}
		l.Apply(key, "uid", limiter.Policy{Limits: limits(1<<30, 1<<30, 1<<30)})
		next <- key
	}
	b.RunParallel(func(pb *testing.PB) {
		key := <-next
		var now limiter.Instant
		for i := 0; pb.Next(); i++ {
			now.Mono += int64(time.Second)
			id := strconv.Itoa(i)
			if d, err := l.Check(now, key, limiter.Ask{ID: id, Cost: 1, TTL: time.Minute}); err != nil || d.Verdict != limiter.Allowed {
				b.Error(d, err)
			}
			if _, err := l.Commit(now, key, id, 0); err != nil {
				b.Error(err)
			}
		}
	})
}
