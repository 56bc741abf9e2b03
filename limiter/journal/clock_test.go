package journal

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/sluice-mail/sluice/limiter"
	"github.com/sluice-mail/sluice/limiter/limitertest"
)

// fakeClocks are clocks that a test sets. The limiter's own goes on as the process runs.
type fakeClocks struct {
	machine      machine
	boot, wall   time.Duration // the wall clock's is since the Unix epoch
	synchronized bool
}

func (f *fakeClocks) clocks() *clocks {
	return &clocks{
		machine:      func() machine { return f.machine },
		sinceBoot:    func() (int64, bool) { return int64(f.boot), true },
		synchronized: func() bool { return f.synchronized },
		wall:         func() int64 { return int64(f.wall) },
	}
}

const (
	second = int64(time.Second)
	hour   = int64(time.Hour)
)

// TestTimeGoesOn is G8 across a restart: how much of the time away counts as passed.
func TestTimeGoesOn(t *testing.T) {
	t.Parallel()
	before := past{
		on:     machine{bootID: "boot-1", timeNamespace: "ns"},
		last:   reading{mono: 100 * hour, wall: 500 * hour, boot: 7 * hour, synchronized: true},
		synced: reading{mono: 100 * hour, wall: 500 * hour, boot: 7 * hour, synchronized: true},
	}
	unsynced := before
	unsynced.last.synchronized, unsynced.synced = false, reading{}
	syncedEarlier := before
	syncedEarlier.last = reading{mono: 100 * hour, wall: 3 * hour, boot: 7 * hour}
	syncedEarlier.synced.mono, syncedEarlier.synced.wall = 99*hour, 499*hour
	later := before
	later.newest = 200 * hour
	same := machine{bootID: "boot-1", timeNamespace: "ns"}
	other := machine{bootID: "boot-2", timeNamespace: "ns"}
	for name, c := range map[string]struct {
		past  past
		now   fakeClocks
		trust bool
		want  int64 // hours
		as    Assumption
	}{
		"on the same boot": {before, fakeClocks{same, 9 * time.Hour, 502 * time.Hour, true}, false,
			102, SameBoot},
		"the wall clock was set forward": {before, fakeClocks{same, 9 * time.Hour, 900 * time.Hour,
			true}, false, 102, SameBoot},
		"the wall clock was set back": {before, fakeClocks{same, 9 * time.Hour, time.Hour, true}, false,
			102, SameBoot},
		"on the same boot, unsynchronised": {unsynced, fakeClocks{same, 9 * time.Hour, time.Hour, false},
			false, 102, SameBoot},
		"on another boot": {before, fakeClocks{other, time.Hour, 503 * time.Hour, true}, false,
			103, WallClock},
		"on another boot that is up for longer": {before, fakeClocks{other, 90 * time.Hour,
			503 * time.Hour, true}, false, 103, WallClock},
		"in another time namespace": {before, fakeClocks{machine{"boot-1", "ns 5"}, 90 * time.Hour,
			503 * time.Hour, true}, false, 103, WallClock},
		"the clock of the boot went back": {before, fakeClocks{same, time.Hour, 503 * time.Hour, true},
			false, 103, WallClock},
		"a machine without a boot id": {past{last: before.last, synced: before.synced},
			fakeClocks{machine{}, 9 * time.Hour, 503 * time.Hour, true}, false, 103, WallClock},
		"another boot whose wall clock was set back": {before, fakeClocks{other, time.Hour,
			400 * time.Hour, true}, false, 100, WallClock},
		"another boot, unsynchronised": {before, fakeClocks{other, time.Hour, 503 * time.Hour, false},
			false, 100, NoTime},
		"another boot, unsynchronised and trusted": {before, fakeClocks{other, time.Hour,
			503 * time.Hour, false}, true, 103, WallClock},
		"the wall clock before was unsynchronised": {unsynced, fakeClocks{other, time.Hour,
			503 * time.Hour, true}, false, 100, NoTime},
		"the wall clock before was unsynchronised at the end": {syncedEarlier, fakeClocks{other,
			time.Hour, 503 * time.Hour, true}, false, 103, WallClock},
		"an instant that is ahead": {later, fakeClocks{same, 9 * time.Hour, 502 * time.Hour, true},
			false, 200, SameBoot},
		"another boot, an instant that is ahead": {later, fakeClocks{other, time.Hour,
			503 * time.Hour, true}, false, 200, WallClock},
	} {
		clocks := c.now.clocks()
		if c.trust {
			clocks = clocks.trusting()
		}
		mono, a := clocks.resume(t.Context(), c.past)
		if mono != c.want*hour || a.Assumption != c.as {
			t.Errorf("%s: time goes on at %s (%s), want %d h (%s)",
				name, time.Duration(mono), a.Assumption, c.want, c.as)
		}
	}
}

// TestAStartWaitsForTheClock wants a start on another boot to wait until the clock is synchronised,
// but not for ever.
func TestAStartWaitsForTheClock(t *testing.T) {
	t.Parallel()
	for after, want := range map[time.Duration]Assumption{
		20 * time.Second: WallClock, 2 * time.Minute: NoTime,
	} {
		synctest.Test(t, func(t *testing.T) {
			last := reading{mono: hour, wall: hour, synchronized: true}
			f := fakeClocks{machine: machine{bootID: "boot-2"}, wall: 3 * time.Hour}
			clocks := f.clocks()
			clocks.patience = syncPatience
			started := time.Now()
			clocks.synchronized = func() bool { return time.Since(started) >= after }
			mono, a := clocks.resume(t.Context(), past{machine{bootID: "boot-1"}, last, last, hour})
			took := time.Since(started)
			if a.Assumption != want || took > syncPatience || want == WallClock && mono != 3*hour {
				t.Errorf("synchronised after %s: time goes on at %s (%s) after %s",
					after, time.Duration(mono), a.Assumption, took)
			}
		})
	}
}

// TestNoTimeIsMadeUp restarts a store on one machine after the other, with clocks that are wrong in
// turn, and wants its full account to stay full until an hour has really passed.
func TestNoTimeIsMadeUp(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	f := &fakeClocks{machine: machine{bootID: "boot-1"}, wall: 1000 * time.Hour, synchronized: true}
	k := limiter.Key{Namespace: "n", Name: "a"}
	life := func(want Assumption, calls func(l *limiter.Limiter, s *Store)) {
		t.Helper()
		s := New(Options{Dir: "data", fs: fs, clocks: f.clocks()})
		found, err := s.Recover(context.Background())
		if err != nil || found.Assumption != want {
			t.Fatalf("found %+v, %v, want %s", found, err, want)
		}
		l := limiter.New(s)
		limitertest.Apply(t, l, k, "uid", limiter.Policy{Limits: limitertest.Limits(0, 1, 0)})
		l.MarkLoaded()
		calls(l, s)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	check := func(l *limiter.Limiter, s *Store) limiter.Verdict {
		t.Helper()
		ask := limiter.Ask{ID: "more", Cost: 1, TTL: time.Minute}
		d, err := l.Check(t.Context(), s.Clock().Now(), k, ask)
		if err != nil {
			t.Fatal(err)
		}
		return d.Verdict
	}
	full := func(l *limiter.Limiter, s *Store) {
		t.Helper()
		if v := check(l, s); v != limiter.Deferred {
			t.Errorf("on %s the account is not full any more", f.machine.bootID)
		}
	}
	life(FirstStart, func(l *limiter.Limiter, s *Store) {
		_, err := l.Commit(t.Context(), s.Clock().Now(), k, "sent", 1)
		if err != nil {
			t.Fatal(err)
		}
	})
	// The battery of the clock is empty, and the kernel says so.
	*f = fakeClocks{machine: machine{bootID: "boot-2"}, wall: 0}
	life(NoTime, full)
	// It is synchronised now, but what it is compared with is of 1970.
	*f = fakeClocks{machine: machine{bootID: "boot-3"}, wall: 1000 * time.Hour, synchronized: true}
	life(WallClock, full)
	// The wall clock is set forward by a day on the same boot.
	f.boot, f.wall = 10*time.Minute, 1024*time.Hour
	life(SameBoot, full)
	f.boot = 71 * time.Minute
	life(SameBoot, func(l *limiter.Limiter, s *Store) {
		if v := check(l, s); v != limiter.Allowed {
			t.Error("an hour later the account is still full")
		}
	})
}
