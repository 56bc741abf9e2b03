package journal

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/sluice-mail/sluice/limiter"
	"github.com/sluice-mail/sluice/limiter/limitertest"
)

// faultyDisk fails one of its operations.
type faultyDisk struct {
	*medium
	failed string // what it was
}

var errDisk = fmt.Errorf("a disk that is faulty: %w", syscall.EIO)

func (d *faultyDisk) step(op errorfs.Op) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.left--
	if d.left != -1 {
		return nil
	}
	d.failed = fmt.Sprint(op.Kind, " of ", op.Path)
	if isLog(op.Path) && (op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData) {
		d.die() // what was to be synced is gone, although later syncs may say that all is well
	}
	return errDisk
}

// failAt has the n-th operation from now on fail.
func (d *faultyDisk) failAt(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.left = n
}

// happened returns which operation failed, or nothing.
func (d *faultyDisk) happened() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.failed
}

// counts are bounds of what a journal must count: what was answered, and what was asked.
type counts struct{ least, most int64 }

// call makes a call that adds so much if it is answered, and may add it if it is not.
func (c *counts) call(cost int64, err error) {
	c.most += cost
	if err == nil {
		c.least += cost
	}
}

// history makes some calls and takes a snapshot in between, or as much of it as the disk allows.
func history(s *Store, round int) (c counts) {
	l := limiter.New(s)
	_, _ = l.Apply(context.Background(), key, "uid", limiter.Policy{})
	l.MarkLoaded()
	id := func(name string) string { return fmt.Sprint(round, name) }
	half := func() {
		for _, name := range []string{"a", "b", "c"} {
			c.call(1, check(id(name))(l))
		}
		if commit(1, id("a"), 2)(l) == nil { // costs more
			c.least++
		}
		c.most++
		if release(1, id("b"))(l) == nil {
			c.least--
		}
		_ = commit(1, id("c"), 0)(l)
		c.call(3, commit(2, id("x"), 3)(l))
	}
	half()
	within(s, func() { _ = s.snapshot() })
	id = func(name string) string { return fmt.Sprint(round, "after-", name) }
	half()
	return c
}

// within does something that may never return if the journal fails.
func within(s *Store, do func()) {
	done := make(chan struct{})
	go func() { defer close(done); do() }()
	select {
	case <-done:
	case <-s.Failed():
	}
}

// count is what the account of the tests counts, in the last day and in flight.
func count(t *testing.T, s *Store) int64 {
	t.Helper()
	l := limiter.New(s)
	limitertest.Apply(t, l, key, "uid", limiter.Policy{})
	l.MarkLoaded()
	u, err := l.Usage(context.Background(), at(time.Second), key)
	if err != nil {
		t.Fatal(err)
	}
	return u.Window(limiter.Cost, limiter.Day).Used + u.InFlight
}

// TestEIO has each operation on the disk fail in turn, while a journal is opened and used. What a
// process after it finds is what was answered, or more, up to what was asked.
func TestEIO(t *testing.T) {
	for _, c := range []struct {
		survives int
		pace     time.Duration
	}{{0, 0}, {50, 0}, {100, 0}, {100, pace}} {
		t.Run(fmt.Sprintf("%d percent outlive it, %s", c.survives, c.pace), func(t *testing.T) {
			t.Parallel()
			n := 0
			for eio(t, n, c.survives, c.pace) {
				n += stride(3)
			}
			if n < 100 {
				t.Errorf("there were only %d operations", n)
			}
		})
	}
}

// eio has the n-th operation fail, and reports whether there were so many.
func eio(t *testing.T, n, survives int, pace time.Duration) (happened bool) {
	fs := vfs.NewCrashableMem()
	s := recovered(t, Options{Dir: "data", fs: fs, Sync: pace})
	before := history(s, 0)
	_ = s.Close()
	d := faultyDisk{medium: newMedium(Options{}, survives)}
	d.fs = fs
	d.failAt(n)
	s = New(Options{Dir: "data", fs: watched(linkFS{fs}, d.step), Sync: pace})
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	var more counts
	if _, err := s.Recover(ctx); err == nil {
		more = history(s, 1)
	} else if ctx.Err() != nil {
		t.Fatalf("operation %d, %s: a start hangs", n, d.happened())
	}
	d.mu.Lock()
	d.die()
	d.mu.Unlock()
	if s.Err() == nil {
		_ = s.Close()
	}
	again := recovered(t, Options{Dir: "data", fs: d.after})
	got := count(t, again)
	if least, most := before.least+more.least, before.most+more.most; got < least || got > most {
		t.Errorf("operation %d, %s, failed: %d count, but %d were answered, of %d",
			n, d.happened(), got, least, most)
	}
	_ = again.Close()
	return d.happened() != ""
}

// fullDisk is one that is full for a while.
type fullDisk struct{ full atomic.Bool }

func (d *fullDisk) step(op errorfs.Op) error {
	switch op.Kind {
	case errorfs.OpCreate, errorfs.OpFileWrite, errorfs.OpFileWriteAt, errorfs.OpRename,
		errorfs.OpLink, errorfs.OpReuseForWrite:
		if d.full.Load() {
			return syscall.ENOSPC
		}
	default: // it needs no room
	}
	return nil
}

// TestDiskFull has the disk be full for a while, again and again.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	fs := vfs.NewCrashableMem()
	var d fullDisk
	s := recovered(t, Options{Dir: "data", fs: watched(fs, d.step)})
	l := limiter.New(s)
	limitertest.Apply(t, l, key, "uid", limiter.Policy{})
	l.MarkLoaded()
	want := int64(0)
	for round := range 3 {
		id := func(name string) string { return fmt.Sprint(round, name) }
		for _, name := range []string{"a", "b"} {
			if err := check(id(name))(l); err != nil {
				t.Fatal(err)
			}
		}
		d.full.Store(true)
		started := time.Now()
		for _, name := range []string{"c", "d", "e"} {
			if err := check(id(name))(l); !errors.Is(err, limiter.ErrStoreUnavailable) {
				t.Errorf("a check is answered with %v", err)
			}
		}
		if _, err := l.Usage(context.Background(), at(0), key); err != nil {
			t.Error(err)
		}
		if err := commit(0, id("a"), 0)(l); err != nil {
			t.Error(err)
		}
		if err := release(0, id("b"))(l); err != nil {
			t.Error(err)
		}
		if err := s.snapshot(); err == nil {
			t.Error("a snapshot was taken where there is no room")
		}
		if took := time.Since(started); took > 3*patience {
			t.Errorf("that took %s", took)
		}
		d.full.Store(false)
		for check(id("c"))(l) != nil {
			if time.Since(started) > 10*time.Second {
				t.Fatal("it does not recover")
			}
		}
		if err := s.snapshot(); err != nil {
			t.Error(err)
		}
		want += 2 // a and c
	}
	if err := s.log.sync(context.Background()); err != nil {
		t.Fatal(err)
	}
	fs = crash(fs, 0, nil)
	if got := count(t, recovered(t, Options{Dir: "data", fs: fs})); got != want {
		t.Errorf("%d count after it, want %d", got, want)
	}
}

// TestStartOnAFullDisk wants a start to wait for room.
func TestStartOnAFullDisk(t *testing.T) {
	t.Parallel()
	var d fullDisk
	d.full.Store(true)
	s := New(Options{Dir: "data", fs: watched(vfs.NewMem(), d.step)})
	ended := make(chan error)
	go func() {
		_, err := s.Recover(context.Background())
		ended <- err
	}()
	select {
	case err := <-ended:
		t.Fatalf("it did not wait: %v", err)
	case <-time.After(3 * fullPause):
	}
	d.full.Store(false)
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	_ = s.Close()
}
