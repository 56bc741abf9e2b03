package journal

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"

	"github.com/sluice-mail/sluice/limiter"
	"github.com/sluice-mail/sluice/limiter/limitertest"
)

// onBoot are clocks of a machine on a boot.
func onBoot(id string) *clocks {
	c := systemClocks()
	c.machine = func() machine { return machine{bootID: id} }
	return c
}

// lines collects what is logged.
type lines struct {
	mu   sync.Mutex
	text string
}

func (l *lines) logger() logr.Logger {
	return funcr.New(func(prefix, args string) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.text += prefix + args + "\n"
	}, funcr.Options{})
}

func (l *lines) have(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.text, text)
}

// pacedLog is a disk with a log whose syncs were put off, but for one, after which much more was
// written. It returns how much was answered before that one, and in all.
func pacedLog(t *testing.T) (fs *vfs.MemFS, synced, all int64) {
	t.Helper()
	fs = vfs.NewCrashableMem()
	s := recovered(t, Options{Dir: "data", fs: fs, Sync: time.Hour, clocks: onBoot("one")})
	l := limiter.New(s)
	limitertest.Apply(t, l, key, "uid", limiter.Policy{})
	l.MarkLoaded()
	for i := range 1500 {
		if err := check(fmt.Sprint(i))(l); err != nil {
			t.Fatal(err)
		}
		if i == 500 {
			synced = int64(i + 1)
			last := s.written.Load()
			if err := errors.Join(s.disk.syncLogs(), s.witness.set(last), s.witness.sync()); err != nil {
				t.Fatal(err)
			}
		}
		all = int64(i + 1)
	}
	return fs, synced, all
}

// TestPowerCutWithAPace has a log lose some of what was not synced yet: it is cut off there, if the
// machine was started anew. What was synced is there.
func TestPowerCutWithAPace(t *testing.T) {
	t.Parallel()
	fs, synced, all := pacedLog(t)
	cut, promised := 0, 0
	for seed := range uint64(20) {
		for _, survives := range []int{0, 50, 90} {
			random := newMedium(Options{}, survives).random
			for range seed {
				random.Uint64()
			}
			after := crash(fs, survives, random)
			same := New(Options{Dir: "data", fs: crash(after, 100, random), clocks: onBoot("one")})
			if _, err := same.Recover(context.Background()); err != nil {
				promised++
			}
			_ = same.Close()
			var log lines
			s := New(Options{Dir: "data", fs: after, clocks: onBoot("two"), Log: log.logger()})
			if _, err := s.Recover(context.Background()); err != nil {
				t.Fatal(err)
			}
			if got := count(t, s); got < synced || got > all {
				t.Errorf("%d count, of which %d were synced, and %d answered", got, synced, all)
			}
			_ = s.Close()
			if log.have("it is cut off") {
				cut++
			}
			third := Options{Dir: "data", fs: after, clocks: onBoot("three")}
			if err := recovered(t, third).Close(); err != nil {
				t.Error(err)
			}
		}
	}
	if cut < promised || promised < 5 {
		t.Errorf("%d logs were cut; on the same boot %d were refused", cut, promised)
	}
}

// TestDamageWithAPace damages what was synced of a log: that is no torn end, whatever boot it is.
func TestDamageWithAPace(t *testing.T) {
	t.Parallel()
	fs, _, _ := pacedLog(t)
	at := newest(t, fs, ".log")
	for _, boot := range []string{"one", "two", ""} {
		damaged := crash(fs, 100, newMedium(Options{}, 100).random)
		flip(t, damaged, at, 5000)
		s := New(Options{Dir: "data", fs: damaged, clocks: onBoot(boot)})
		_, err := s.Recover(context.Background())
		if damage := (*Damage)(nil); !errors.As(err, &damage) {
			t.Errorf("on boot %q: %v", boot, err)
		}
		_ = s.Close()
	}
}

// TestDamageOfALongLog damages a log without a pace before its end, where it was synced; and the
// witness says less than it could.
func TestDamageOfALongLog(t *testing.T) {
	t.Parallel()
	fs := vfs.NewCrashableMem()
	s := recovered(t, Options{Dir: "data", fs: fs, clocks: onBoot("one")})
	l := limiter.New(s)
	limitertest.Apply(t, l, key, "uid", limiter.Policy{})
	l.MarkLoaded()
	for i := range 1500 {
		if err := check(fmt.Sprint(i))(l); err != nil {
			t.Fatal(err)
		}
	}
	fs = crash(fs, 100, newMedium(Options{}, 100).random)
	flip(t, fs, newest(t, fs, ".log"), 5000)
	w, err := openWitness(fs, "data/"+witnessFile)
	if err := errors.Join(err, w.reset(1), w.close()); err != nil {
		t.Fatal(err)
	}
	s = New(Options{Dir: "data", fs: fs, clocks: onBoot("two")})
	_, err = s.Recover(context.Background())
	if damage := (*Damage)(nil); !errors.As(err, &damage) {
		t.Errorf("it starts: %v", err)
	}
}

// TestTornTail tears the last record, for which nobody was answered: it is cut off and told.
func TestTornTail(t *testing.T) {
	t.Parallel()
	fs := vfs.NewCrashableMem()
	var d stuckDisk
	s := recovered(t, Options{Dir: "data", fs: watched(fs, d.step)})
	l := limiter.New(s)
	limitertest.Apply(t, l, key, "uid", limiter.Policy{})
	l.MarkLoaded()
	for i := range 5 {
		if err := check(fmt.Sprint(i))(l); err != nil {
			t.Fatal(err)
		}
	}
	before := s.readTail()
	unstick := d.stick()
	ended := make(chan error)
	go func() { ended <- check("torn")(l) }()
	for s.readTail().whole == before.whole {
		time.Sleep(time.Millisecond)
	}
	torn := crash(fs, 100, newMedium(Options{}, 100).random)
	unstick()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		tear func(fs *vfs.MemFS)
		want int64
		told bool
	}{
		"a record that is whole": {func(*vfs.MemFS) {}, 6, false},
		"a record that is not": {func(fs *vfs.MemFS) {
			flip(t, fs, before.name, before.whole+30)
		}, 5, true},
		"a record that is cut off": {func(fs *vfs.MemFS) {
			cutOff(t, fs, before.name, before.whole+30)
		}, 5, true},
		"a header that is cut off": {func(fs *vfs.MemFS) {
			cutOff(t, fs, before.name, before.whole+5)
		}, 5, true},
		"no byte of the record": {func(fs *vfs.MemFS) {
			cutOff(t, fs, before.name, before.whole)
		}, 5, false},
	} {
		t.Run(name, func(t *testing.T) {
			fs := crash(torn, 100, newMedium(Options{}, 100).random)
			c.tear(fs)
			var log lines
			s := recovered(t, Options{Dir: "data", fs: fs, Log: log.logger()})
			if got := count(t, s); got != c.want {
				t.Errorf("%d count, want %d", got, c.want)
			}
			if told := log.have("it is cut off"); told != c.told {
				t.Errorf("it is told: %v\n%s", told, log.text)
			}
		})
	}
}

// newest returns the name of the newest file of the database with an ending.
func newest(t *testing.T, fs *vfs.MemFS, ending string) (name string) {
	t.Helper()
	for file := range tree(t, fs, "data") {
		if strings.HasSuffix(file, ending) && file > name {
			name = file
		}
	}
	return name
}

// flip flips a bit of a file.
func flip(t *testing.T, fs *vfs.MemFS, name string, at int64) {
	t.Helper()
	text := append([]byte{}, tree(t, fs, "data")[name]...)
	text[at] ^= 4
	damage{file: name, text: text}.on(t, fs)
}

// cutOff cuts a file off.
func cutOff(t *testing.T, fs *vfs.MemFS, name string, at int64) {
	t.Helper()
	damage{file: name, text: tree(t, fs, "data")[name][:at]}.on(t, fs)
}
