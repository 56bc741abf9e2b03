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
	"github.com/sluice-mail/sluice/limiter/limitertest"
)

// TestChecksDuringSnapshots measures how long checks take while snapshots of a large state are
// taken, one after the other, and while none is: with -journal.long, as it takes a minute.
func TestChecksDuringSnapshots(t *testing.T) {
	if !*long {
		t.Skip("only with -journal.long")
	}
	const accounts, stamps = 100_000, 100
	// On a disk in memory, what is longer is for a lock, or the processor.
	for _, fs := range []vfs.FS{vfs.NewMem(), vfs.Default} {
		dir, disk := t.TempDir(), "real disk"
		if fs != vfs.Default {
			disk = "disk in memory"
		}
		s := recovered(t, Options{Dir: dir, fs: fs, minLog: 1 << 40})
		l := limiter.New(s)
		keys := make([]limiter.Key, accounts)
		for i := range keys {
			keys[i] = limiter.Key{Namespace: "n", Name: fmt.Sprint("account-", i)}
			limitertest.Apply(t, l, keys[i], "uid", limiter.Policy{})
		}
		l.MarkLoaded()
		for stamp := range stamps {
			var b limiter.Batch
			ctx := b.Context(context.Background())
			for i, k := range keys {
				now := limiter.Instant{Mono: int64(stamp)*int64(10*time.Second) + int64(i)}
				if _, err := l.Commit(ctx, now, k, "", 1); err != nil {
					t.Fatal(err)
				}
				if i%10_000 == 0 {
					_ = b.Wait(context.Background()) // for what is in the backlog
				}
			}
			if err := b.Wait(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.snapshot(); err != nil {
			t.Fatal(err)
		}
		for round := range 2 {
			measure(t, fmt.Sprintf("%d: %s, no snapshot", round, disk), l, keys, func() {
				time.Sleep(5 * time.Second)
			})
			taken := 0
			measure(t, fmt.Sprintf("%d: %s, snapshots", round, disk), l, keys, func() {
				for started := time.Now(); time.Since(started) < 5*time.Second; taken++ {
					if err := s.snapshot(); err != nil {
						t.Fatal(err)
					}
				}
			})
			t.Logf("that were %d snapshots of %d MB; %d MB of files on the real disk",
				taken, s.snapshotBytes.Load()>>20, sizeOf(t, s.dir)>>20)
		}
		_ = s.Close()
	}
}

// measure makes checks and releases while something else happens.
func measure(
	t *testing.T, what string, l *limiter.Limiter, keys []limiter.Key, meanwhile func(),
) {
	stop := make(chan struct{})
	var mu sync.Mutex
	var all []time.Duration
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(g)))
			var took []time.Duration
			for i := 0; ; i++ {
				select {
				case <-stop:
					mu.Lock()
					all = append(all, took...)
					mu.Unlock()
					return
				default:
				}
				k, id := keys[random.IntN(len(keys))], fmt.Sprint(what, g, "-", i)
				now := at(20 * time.Minute)
				started := time.Now()
				_, err := l.Check(context.Background(), now, k, ask(id))
				took = append(took, time.Since(started))
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := l.Release(context.Background(), now, k, id); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	meanwhile()
	close(stop)
	wg.Wait()
	slices.Sort(all)
	at := func(part float64) time.Duration { return all[int(float64(len(all)-1)*part)] }
	t.Logf("%-30s %8d checks; p50 %s, p99 %s, p99.9 %s, longest %s", what, len(all),
		at(.5), at(.99), at(.999), all[len(all)-1])
}
