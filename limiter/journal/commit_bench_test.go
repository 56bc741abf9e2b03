package journal

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/sluice-mail/sluice/limiter"
)

// countingFS counts the syncs of the log.
type countingFS struct {
	vfs.FS
	syncs atomic.Int64
}

type countingFile struct {
	vfs.File
	syncs *atomic.Int64
}

func (c *countingFS) Create(name string, w vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := c.FS.Create(name, w)
	return c.count(name, f), err
}

func (c *countingFS) ReuseForWrite(
	old, name string, w vfs.DiskWriteCategory,
) (vfs.File, error) {
	f, err := c.FS.ReuseForWrite(old, name, w)
	return c.count(name, f), err
}

func (c *countingFS) count(name string, f vfs.File) vfs.File {
	if f == nil || !strings.HasSuffix(name, ".log") {
		return f
	}
	return &countingFile{f, &c.syncs}
}

func (c *countingFile) Sync() error     { c.syncs.Add(1); return c.File.Sync() }
func (c *countingFile) SyncData() error { c.syncs.Add(1); return c.File.SyncData() }

// BenchmarkGroupCommit has callers check and commit as fast as they can, each at an account of its
// own. syncs-per-allow-times-callers is how often the log is synced for each Allow, times the
// callers: 2 if each sync stands for half of them.
func BenchmarkGroupCommit(b *testing.B) {
	for _, callers := range []int{1, 16, 64, 256} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			fs := &countingFS{FS: vfs.Default}
			s := New(Options{Dir: b.TempDir(), fs: fs})
			if _, err := s.Recover(context.Background()); err != nil {
				b.Fatal(err)
			}
			l := limiter.New(s)
			for i := range callers {
				apply(b, l, i)
			}
			l.MarkLoaded()
			b.ResetTimer()
			fs.syncs.Store(0)
			started := time.Now()
			var group sync.WaitGroup
			for i := range callers {
				group.Go(func() { checkAndCommit(b, l, s.Clock(), benchKey(i), b.N/callers+1) })
			}
			group.Wait()
			allowed := float64((b.N/callers + 1) * callers)
			b.ReportMetric(float64(fs.syncs.Load())/allowed*float64(callers),
				"syncs-per-allow-times-callers")
			b.ReportMetric(allowed/time.Since(started).Seconds(), "allows/s")
			b.StopTimer()
			if err := s.Close(); err != nil {
				b.Fatal(err)
			}
		})
	}
}

func checkAndCommit(b *testing.B, l *limiter.Limiter, clock limiter.Clock, k limiter.Key, n int) {
	b.Helper()
	ctx := context.Background()
	for i := range n {
		id := fmt.Sprintf("%s-%d", k.Name, i)
		ask := limiter.Ask{ID: id, Cost: 1, TTL: time.Minute}
		d, err := l.Check(ctx, clock.Now(), k, ask)
		if err != nil || d.Verdict != limiter.Allowed {
			b.Errorf("%v, %v", d, err)
			return
		}
		if _, err := l.Commit(ctx, clock.Now(), k, id, 1); err != nil {
			b.Error(err)
			return
		}
	}
}
