package journal

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/sluice-mail/sluice/limiter"
	"github.com/sluice-mail/sluice/limiter/memory"
)

// BenchmarkRecover measures a start: from the files to a limiter that is loaded. The journal was
// killed in the middle of its work, so its log is as long as it was then. The metrics are
//
//	s/start          until the limiter is loaded
//	heap-ratio       the heap after it, to that of a store in memory with the same sends
//	disk-ratio       the bytes on the disk, to those of a snapshot of all that is left
//	snapshot-bytes   those of such a snapshot
func BenchmarkRecover(b *testing.B) {
	for _, size := range []struct{ accounts, sends int }{{1000, 100_000}, {100_000, 10_000_000}} {
		b.Run(fmt.Sprintf("accounts=%d/sends=%d", size.accounts, size.sends), func(b *testing.B) {
			dir := b.TempDir()
			writeJournal(b, dir, size.accounts, size.sends)
			onDisk := bytesIn(b, dir)
			inMemory := heapOf(func() any {
				return fill(b, memory.New(memory.Options{}), size.accounts, size.sends)
			})
			var kept any
			heap := int64(0)
			for b.Loop() {
				heap = heapOf(func() any {
					s := New(Options{Dir: dir})
					started := time.Now()
					if _, err := s.Recover(context.Background()); err != nil {
						b.Fatal(err)
					}
					l := limiter.New(s)
					for i := range size.accounts {
						apply(b, l, i)
					}
					l.MarkLoaded()
					b.ReportMetric(time.Since(started).Seconds(), "s/start")
					kept = s
					return s
				})
				s, _ := kept.(*Store)
				if err := s.snapshot(); err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(s.snapshotBytes.Load()), "snapshot-bytes")
				b.ReportMetric(float64(onDisk)/float64(s.snapshotBytes.Load()), "disk-ratio")
				if err := s.Close(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(float64(heap)/float64(inMemory), "heap-ratio")
			b.ReportMetric(float64(heap), "heap-bytes")
		})
	}
}

// writeJournal fills a journal, and leaves it as a kill would.
func writeJournal(b *testing.B, dir string, accounts, sends int) {
	b.Helper()
	filled := b.TempDir()
	s := New(Options{Dir: filled})
	if _, err := s.Recover(context.Background()); err != nil {
		b.Fatal(err)
	}
	fill(b, s, accounts, sends)
	if err := os.CopyFS(dir, os.DirFS(filled)); err != nil {
		b.Fatal(err)
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
}

func benchKey(i int) limiter.Key {
	return limiter.Key{Namespace: "marketing", Name: fmt.Sprintf("newsletter-%06d", i)}
}

func apply(b *testing.B, l *limiter.Limiter, i int) {
	b.Helper()
	if _, err := l.Apply(context.Background(), benchKey(i), "uid", limiter.Policy{}); err != nil {
		b.Fatal(err)
	}
}

// fill spreads sends over accounts and over the last day. Each account has its own at their own
// instants, though many are sent at once.
func fill(b *testing.B, store limiter.Store, accounts, sends int) *limiter.Limiter {
	b.Helper()
	l := limiter.New(store)
	for i := range accounts {
		apply(b, l, i)
	}
	l.MarkLoaded()
	start := time.Now().Add(-23 * time.Hour).UnixNano()
	pause := int64(23*time.Hour) / int64(sends)
	calls := make([]limiter.Call, 0, min(accounts, 10_000))
	for i := range sends {
		calls = append(calls, limiter.Call{
			Key: benchKey(i % accounts), Verb: limiter.ToCommit, Ask: limiter.Ask{Cost: 1},
		})
		if len(calls) == cap(calls) || i == sends-1 {
			doAll(b, l, limiter.Instant{Mono: start + int64(i)*pause}, calls)
			calls = calls[:0]
		}
	}
	return l
}

// heapOf is how much the heap grows by what is built, and kept until it was measured.
func heapOf(build func() any) int64 {
	heap := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := heap()
	made := build()
	after := heap()
	runtime.KeepAlive(made)
	return after - before
}

// bytesIn is how many bytes the files of a folder have.
func bytesIn(b *testing.B, dir string) (bytes int64) {
	b.Helper()
	err := filepath.WalkDir(dir, func(_ string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if err == nil {
			bytes += info.Size()
		}
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	return bytes
}
