package journal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/sluice-mail/sluice/limiter"
	"github.com/sluice-mail/sluice/limiter/limitertest"
)

// TestKillDuringASnapshot kills at each step of a snapshot: nothing changes by one.
func TestKillDuringASnapshot(t *testing.T) {
	for _, survives := range []int{0, 50, 100} {
		t.Run(fmt.Sprintf("%d percent outlive it", survives), func(t *testing.T) {
			t.Parallel()
			steps := 0
			for killed := true; killed; steps++ {
				m := smallJournal(t)
				m.survives = survives
				s := m.store
				want := s.images()
				m.Kill(t, steps, func(dead func() bool) {
					if err := s.snapshot(); err != nil {
						t.Fatal(err)
					}
					killed = dead()
				})
				m.Open(t)
				if got := state(m.store); got != want {
					t.Fatalf("killed at step %d: it holds\n%s, not\n%s", steps, got, want)
				}
				m.close()
			}
			if steps < 15 {
				t.Errorf("there were only %d steps", steps)
			}
		})
	}
}

// images is like state, of a store that is in use.
func (s *Store) images() string {
	all, _ := s.numbered()
	recovered := &Store{recovered: map[limiter.Key]*account{}}
	for _, a := range all {
		recovered.recovered[a.who.key] = a
	}
	return state(recovered)
}

// onDisk is a store with a journal on the real disk, whose snapshots are taken when it is told.
func onDisk(t *testing.T, minLog int64) (s *Store, l *limiter.Limiter) {
	t.Helper()
	s = recovered(t, Options{Dir: t.TempDir(), minLog: minLog, Sync: time.Second})
	l = limiter.New(s)
	limitertest.Apply(t, l, key, "uid-1", limiter.Policy{})
	l.MarkLoaded()
	return s, l
}

// sizeOf is how many bytes the files of a directory take.
func sizeOf(t *testing.T, dir string) (sum int64) {
	t.Helper()
	err := filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if err == nil {
			sum += info.Size()
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil // it was dropped meanwhile
		}
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return sum
}

// TestFilesStaySmall writes many times what an account holds, and wants the files to grow with what
// it holds and not with the traffic.
func TestFilesStaySmall(t *testing.T) {
	t.Parallel()
	const minLog, traffic, floor = 0, 128 << 20, 40 << 20
	s, l := onDisk(t, minLog)
	var largest [2]int64 // of the first and the second half
	written, taken := int64(0), uint64(0)
	for round := 0; written < traffic; round++ {
		var calls []limiter.Call
		now := at(time.Duration(round) * time.Second)
		before := s.logBytes.Load()
		for i := range 2000 {
			id := fmt.Sprint(round, "-", i)
			calls = append(calls, limiter.Call{Key: key, Verb: limiter.ToCheck, Ask: ask(id)},
				limiter.Call{Key: key, Verb: limiter.ToRelease, Ask: limiter.Ask{ID: id}})
		}
		doAll(t, l, now, calls)
		if after := s.logBytes.Load(); after > before {
			written += after - before
		} else {
			taken++
		}
		if round%10 == 0 {
			half := min(1, 2*written/traffic)
			largest[half] = max(largest[half], sizeOf(t, s.dir))
		}
	}
	limit := 3*s.snapshotBytes.Load() + floor
	t.Logf("%d snapshots, of %d bytes; at most %d and %d bytes of files",
		taken, s.snapshotBytes.Load(), largest[0], largest[1])
	if taken < 5 {
		t.Errorf("there were only %d snapshots", taken)
	}
	if largest[1] > limit || largest[1] > largest[0]+largest[0]/4 {
		t.Errorf("the files took %d bytes, and then %d; the limit is %d",
			largest[0], largest[1], limit)
	}
}

// TestPurgedIsGone wants nothing of an account that was purged to be left after a snapshot.
func TestPurgedIsGone(t *testing.T) {
	t.Parallel()
	s, l := onDisk(t, 1<<30)
	other := limiter.Key{Namespace: "sales", Name: "other"}
	limitertest.Apply(t, l, other, "uid-2", limiter.Policy{})
	for _, k := range []limiter.Key{key, other} {
		for i := range 100 {
			if _, err := l.Check(context.Background(), at(0), k, ask(fmt.Sprint(i))); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := s.snapshot(); err != nil {
		t.Fatal(err)
	}
	number := s.generation.accounts
	limitertest.Purge(t, l, other)
	if s.purgedAt.Load() == 0 {
		t.Error("no snapshot is due")
	}
	if err := s.snapshot(); err != nil {
		t.Fatal(err)
	}
	it, err := s.db.NewIter(&pebble.IterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	keys := 0
	for it.First(); it.Valid(); it.Next() {
		keys++
		if bytes.Contains(it.Value(), []byte(other.Name)) || keyNumber(it.Key()) == number &&
			it.Key()[0] == prefixSnapshot {
			t.Errorf("key %x is of the account", it.Key())
		}
	}
	if err := it.Close(); err != nil || keys < 3 {
		t.Errorf("there are %d keys, %v", keys, err)
	}
	if s.purgedAt.Load() != 0 {
		t.Error("another snapshot is due")
	}
	// The tables that had it are gone, and not only out of sight.
	m := s.db.Metrics()
	t.Logf("%d tables, %d of them virtual; %d bytes obsolete, %d zombies",
		m.Total().TablesCount, m.Total().VirtualTablesCount, m.Table.ObsoleteSize, m.Table.ZombieSize)
	if n := m.Total().VirtualTablesCount; n > 2 {
		t.Errorf("there are %d virtual tables", n)
	}
}

// TestPurgesDuringSnapshots creates and deletes accounts while snapshots are taken: those that are
// left are there after a kill, and no others.
func TestPurgesDuringSnapshots(t *testing.T) {
	t.Parallel()
	m := newMedium(Options{minLog: 1 << 40}, 100)
	m.Open(t)
	s := m.store
	kept := map[limiter.Key]bool{}
	m.Kill(t, 1<<40, func(func() bool) {
		l := limiter.New(s)
		l.MarkLoaded()
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			for i := range 2000 {
				k := limiter.Key{Namespace: "n", Name: fmt.Sprint(i % 700)}
				delete(kept, k)
				limitertest.Purge(t, l, k)
				limitertest.Apply(t, l, k, fmt.Sprint("uid-", i), limiter.Policy{})
				if _, err := l.Check(context.Background(), at(0), k, ask("a")); err != nil {
					t.Error(err)
				}
				if i%3 == 0 {
					kept[k] = true
				} else {
					limitertest.Purge(t, l, k)
				}
			}
		}()
		for taken := 0; ; taken++ {
			select {
			case <-ended:
				if taken < 10 {
					t.Errorf("there were only %d snapshots", taken)
				}
			default:
				if err := s.snapshot(); err != nil {
					t.Error(err)
				}
				continue
			}
			break
		}
		if err := s.log.sync(context.Background()); err != nil {
			t.Error(err)
		}
	})
	m.Open(t)
	if all, _ := m.store.numbered(); len(all) != len(kept) || len(m.store.recovered) != len(kept) {
		t.Errorf("%d accounts are left, under %d keys, want %d",
			len(all), len(m.store.recovered), len(kept))
	}
	for k := range kept {
		a := m.store.recovered[k]
		if a == nil {
			t.Errorf("%v is gone", k)
			continue
		}
		if _, reservations := a.Held(); reservations != 1 {
			t.Errorf("%v holds %d reservations, want 1", k, reservations)
		}
	}
}
