package memory_test

import (
	"context"
	"testing"
	"time"

	"github.com/sluice-mail/sluice/limiter"
	"github.com/sluice-mail/sluice/limiter/limitertest"
	"github.com/sluice-mail/sluice/limiter/memory"
)

// BenchmarkCheckCommit is the cost of one check and its commit, all three windows limited, by an
// account that sends 1,000,000 a day.
func BenchmarkCheckCommit(b *testing.B) {
	one := pairs(b, 1_000_000, false)
	b.ReportAllocs()
	for b.Loop() {
		one(1)
	}
}

func checkAndCommit(b *testing.B, l *limitertest.Harness, now limiter.Instant, id string) {
	checkAndCommitAt(b, l, account, now, id)
}

var ctx = context.Background()

func checkAndCommitAt(
	b testing.TB,
	l *limitertest.Harness,
	key limiter.Key,
	now limiter.Instant,
	id string,
) {
	d, err := l.Limiter.Check(ctx, now, key, limiter.Ask{ID: id, Cost: 1, TTL: 2 * time.Minute})
	if err != nil || d.Verdict != limiter.Allowed {
		b.Error(d, err)
	}
	if _, err := l.Limiter.Commit(ctx, now, key, id, 0); err != nil {
		b.Error(err)
	}
}

// withHistory is a limiter whose account has sent steadily for two days.
func withHistory(b *testing.B, sends int, pause int64) (*limitertest.Harness, limiter.Instant) {
	l := limitertest.New(b, memory.New(memory.Options{}))
	l.Apply(account, "uid", limiter.Policy{Limits: limitertest.Limits(1<<30, 1<<30, 1<<30)})
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
	l := limitertest.New(b, memory.New(memory.Options{}))
	const sends = 1_000_000
	l.Apply(account, "uid", limiter.Policy{Limits: limitertest.Limits(sends, sends, sends)})
	var now limiter.Instant
	for range sends {
		now.Mono += int64(24*time.Hour) / sends
		if _, err := l.Commit(now, account, "", 1); err != nil {
			b.Fatal(err)
		}
	}
	ask := limiter.Ask{ID: "x", Cost: 1, TTL: time.Minute}
	b.ReportAllocs()
	for b.Loop() {
		d, err := l.Limiter.Check(ctx, now, account, ask)
		if err != nil || d.Verdict != limiter.Deferred {
			b.Fatal(d, err)
		}
	}
}
