package journal

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/sluice-mail/sluice/limiter"
)

// BenchmarkChecksDuringSnapshots makes checks and releases at random accounts of 100,000, which
// have 10,000,000 sends, while snapshots are taken one after the other, and while none is. On a
// disk in memory, what takes long waits for a lock or for the processor. The metrics are the 99.9th
// percentile of a check and the longest, with snapshots and (ref-) without.
func BenchmarkChecksDuringSnapshots(b *testing.B) {
	for name, fs := range map[string]vfs.FS{"memory": vfs.NewMem(), "disk": vfs.Default} {
		b.Run("disk="+name, func(b *testing.B) {
			const accounts, sends = 100_000, 10_000_000
			s := New(Options{Dir: b.TempDir(), fs: fs, minLog: 1 << 40})
			if _, err := s.Recover(context.Background()); err != nil {
				b.Fatal(err)
			}
			l := fill(b, s, accounts, sends)
			if err := s.snapshot(); err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				p999, longest := checksWhile(b, l, s.Clock(), accounts, func() {
					time.Sleep(5 * time.Second)
				})
				b.ReportMetric(p999, "ref-p99.9-ms")
				b.ReportMetric(longest, "ref-longest-ms")
				taken := 0.0
				p999, longest = checksWhile(b, l, s.Clock(), accounts, func() {
					for started := time.Now(); time.Since(started) < 5*time.Second; taken++ {
						if err := s.snapshot(); err != nil {
							b.Fatal(err)
						}
					}
				})
				b.ReportMetric(p999, "p99.9-ms")
				b.ReportMetric(longest, "longest-ms")
				b.ReportMetric(taken, "snapshots")
			}
			b.ReportMetric(0, "ns/op")
			if err := s.Close(); err != nil {
				b.Fatal(err)
			}
		})
	}
}

// checksWhile has four callers check and release while something else happens. It returns how long
// checks took, in milliseconds.
func checksWhile(
	b *testing.B, l *limiter.Limiter, clock limiter.Clock, accounts int, meanwhile func(),
) (p999, longest float64) {
	b.Helper()
	stop := make(chan struct{})
	var mu sync.Mutex
	var all []float64
	var callers sync.WaitGroup
	for range 4 {
		callers.Go(func() {
			took := checksUntil(b, l, clock, accounts, stop)
			mu.Lock()
			defer mu.Unlock()
			all = append(all, took...)
		})
	}
	meanwhile()
	close(stop)
	callers.Wait()
	slices.Sort(all)
	return all[len(all)*999/1000], all[len(all)-1]
}

func checksUntil(
	b *testing.B, l *limiter.Limiter, clock limiter.Clock, accounts int, stop chan struct{},
) (took []float64) {
	b.Helper()
	ctx := context.Background()
	for {
		select {
		case <-stop:
			return took
		default:
		}
		k, id := benchKey(rand.IntN(accounts)), fmt.Sprint(rand.Uint64())
		started := time.Now()
		_, err := l.Check(ctx, clock.Now(), k, limiter.Ask{ID: id, Cost: 1, TTL: time.Minute})
		took = append(took, float64(time.Since(started))/1e6)
		if err == nil {
			_, err = l.Release(ctx, clock.Now(), k, id)
		}
		if err != nil {
			b.Error(err)
			return took
		}
	}
}
