package memory_test

import (
	"math"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/time/rate"

	"github.com/sluice-mail/sluice/limiter"
	"github.com/sluice-mail/sluice/limiter/limitertest"
	"github.com/sluice-mail/sluice/limiter/memory"
)

// Machines are shared and noisy, so what matters is compared side by side: a slice of the one, a
// slice of the other, and so on in one run. The metrics are
//
//	ns/op      of the subject
//	ref-ns/op  of the reference
//	ratio      the median, over the slices, of one to the other

// sideBySide measures two ways to do n operations.
func sideBySide(b *testing.B, reference, subject func(n int)) {
	b.Helper()
	const slice = 2000
	timed := func(work func(int)) time.Duration {
		start := time.Now()
		work(slice)
		return time.Since(start)
	}
	timed(reference)
	timed(subject)
	b.ResetTimer()
	var ratios []float64
	var referenceTook, subjectTook time.Duration
	done := 0
	for ; done < b.N; done += slice {
		x, y := timed(reference), timed(subject)
		referenceTook, subjectTook = referenceTook+x, subjectTook+y
		ratios = append(ratios, float64(y)/float64(x))
	}
	slices.Sort(ratios)
	b.ReportMetric(float64(subjectTook.Nanoseconds())/float64(done), "ns/op")
	b.ReportMetric(float64(referenceTook.Nanoseconds())/float64(done), "ref-ns/op")
	b.ReportMetric(ratios[len(ratios)/2], "ratio")
}

// pairs makes checks and their commits at an account that has sent so many in the last day: as many
// a day, or all at one instant.
func pairs(b *testing.B, sends int, instant bool) func(n int) {
	b.Helper()
	pause := int64(24*time.Hour) / int64(sends)
	l, now := withHistory(b, sends, pause)
	if instant {
		pause = 0
		for _, id := range mailIDs {
			checkAndCommit(b, l, now, id)
		}
	}
	i := 0
	return func(n int) {
		for range n {
			if now.Mono += pause; now.Mono > math.MaxInt64/2 { // after 146 years
				l, now = withHistory(b, sends, pause)
			}
			checkAndCommit(b, l, now, mailIDs[i])
			if i++; i == len(mailIDs) {
				i = 0
			}
		}
	}
}

// BenchmarkHistory compares an account that has sent 1,000,000 in the last day with one that has
// sent 10. "instant" keeps the clock still, so that nothing differs but the history: both sides
// remember the most ids there can be. "steady" lets time pass so that as much leaves the day as is
// added; there the one account also remembers the 10,000 ids of the last 15 minutes, and the other
// none.
func BenchmarkHistory(b *testing.B) {
	for name, instant := range map[string]bool{"instant": true, "steady": false} {
		b.Run(
			name,
			func(b *testing.B) {
				sideBySide(b, pairs(b, 10, instant), pairs(b, 1_000_000, instant))
			},
		)
	}
}

// BenchmarkTokenBucket compares a check and its commit, three exact windows and a reservation, with
// two AllowN of golang.org/x/time/rate: one window of a token bucket each.
func BenchmarkTokenBucket(b *testing.B) {
	bucket := rate.NewLimiter(rate.Limit(1e6), 1<<30)
	at := time.Now()
	sideBySide(b, func(n int) {
		for range n {
			at = at.Add(time.Millisecond)
			for range 2 {
				if !bucket.AllowN(at, 1) {
					b.Fatal("not allowed")
				}
			}
		}
	}, pairs(b, 1_000_000, false))
}

// BenchmarkCores compares two cores, each at accounts of its own, with one. A ratio of 0.5 is twice
// the throughput; the ratio of "arithmetic", which shares nothing at all, is what the machine can
// do at that time.
func BenchmarkCores(b *testing.B) {
	l := limitertest.New(b, memory.New(memory.Options{}))
	worker := func(name string) func(n int) {
		key := limiter.Key{Namespace: "n", Name: name}
		l.Apply(key, "uid", limiter.Policy{Limits: limitertest.Limits(1<<30, 1<<30, 1<<30)})
		var since limiter.Instant
		var next int
		return func(n int) {
			now, i := since, next // neighbours in memory perhaps: what a loop writes is its own
			for range n {
				now.Mono += int64(time.Second)
				checkAndCommitAt(b, l, key, now, mailIDs[i])
				if i++; i == len(mailIDs) {
					i = 0
				}
			}
			since, next = now, i
		}
	}
	arithmetic := func(n int) {
		x := uint64(n)
		for range 100 * n {
			x = (x*6364136223846793005 + 1442695040888963407) ^ x>>17
		}
		busyWork.Store(x)
	}
	for name, workers := range map[string][2]func(int){
		"pairs":      {worker("1"), worker("2")},
		"arithmetic": {arithmetic, arithmetic},
	} {
		b.Run(name, func(b *testing.B) {
			const chunk = 50 // so many slices: one is too short to be worth two goroutines
			sideBySide(b, func(n int) { workers[0](chunk * n) }, func(n int) {
				var group sync.WaitGroup
				for _, work := range workers {
					group.Go(func() { work(chunk / 2 * n) })
				}
				group.Wait()
			})
		})
	}
}

var busyWork atomic.Uint64 // keeps the compiler from leaving it out

// mailIDs are more ids than are remembered, and few enough to stay in the cache.
var mailIDs = func() []string {
	ids := make([]string, 20_000)
	for i := range ids {
		ids[i] = "mail-" + strconv.Itoa(i)
	}
	return ids
}()
