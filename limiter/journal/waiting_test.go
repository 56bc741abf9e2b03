package journal

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/sluice-mail/sluice/limiter"
	"github.com/sluice-mail/sluice/limiter/limitertest"
)

var key = limiter.Key{Namespace: "marketing", Name: "newsletter"}

// ask is a check of cost 1.
func ask(id string) limiter.Ask { return limiter.Ask{ID: id, Cost: 1, TTL: time.Minute} }

func at(d time.Duration) limiter.Instant { return limiter.Instant{Mono: int64(d)} }

// recovered opens a journal, and has it closed.
func recovered(t testing.TB, o Options) *Store {
	t.Helper()
	s := New(o)
	if _, err := s.Recover(context.Background()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// stuckDisk is a disk on which syncs of the log take as long as it is told.
type stuckDisk struct {
	mu   sync.Mutex
	stop chan struct{} // nil: they do not wait
}

func (d *stuckDisk) step(op errorfs.Op) error {
	switch op.Kind {
	case errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpFileSyncTo:
	default:
		return nil
	}
	d.mu.Lock()
	stop := d.stop
	d.mu.Unlock()
	if stop != nil && strings.HasSuffix(op.Path, ".log") {
		<-stop
	}
	return nil
}

// stick has syncs take until the function that it returns is called.
func (d *stuckDisk) stick() (release func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	stop := make(chan struct{})
	d.stop = stop
	return sync.OnceFunc(func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.stop = nil
		close(stop)
	})
}

// TestWhoWaitsForTheDisk is G12: it makes calls while the disk does not answer.
func TestWhoWaitsForTheDisk(t *testing.T) {
	ctx := context.Background()
	for name, c := range map[string]struct {
		before []func(l *limiter.Limiter) // while the disk answers
		calls  []func(l *limiter.Limiter) error
		waits  bool // the last of the calls
	}{
		"an allowed check": {
			calls: []func(*limiter.Limiter) error{check("a")}, waits: true},
		"a repeated check, while the first one waits": {
			calls: []func(*limiter.Limiter) error{check("a"), check("a")}, waits: true},
		"a repeated check of what is on the disk": {
			before: does(check("a")),
			calls:  []func(*limiter.Limiter) error{check("a")}},
		"a denied check": {
			before: does(check("a"), check("b"), check("c")),
			calls:  []func(*limiter.Limiter) error{check("d")}},
		"a commit": {
			before: does(check("a")),
			calls:  []func(*limiter.Limiter) error{commit(1, "a", 0)}},
		"a commit that costs less": {
			before: does(func(l *limiter.Limiter) error {
				_, err := l.Check(ctx, at(0), key, limiter.Ask{ID: "a", Cost: 2, TTL: time.Minute})
				return err
			}),
			calls: []func(*limiter.Limiter) error{commit(1, "a", 1)}},
		"a commit that costs more": {
			before: does(check("a")),
			calls:  []func(*limiter.Limiter) error{commit(1, "a", 2)}, waits: true},
		"a commit of no reservation": {
			calls: []func(*limiter.Limiter) error{commit(1, "", 0)}, waits: true},
		"a commit of an unknown reservation": {
			calls: []func(*limiter.Limiter) error{commit(1, "x", 0)}, waits: true},
		"the same once more, while the first one waits": {
			calls: []func(*limiter.Limiter) error{commit(1, "x", 0), commit(1, "x", 0)}, waits: true},
		"a late commit": {
			before: does(check("a")),
			calls:  []func(*limiter.Limiter) error{commit(61, "a", 0)}, waits: true},
		"a commit of what was released": {
			before: does(check("a"), release(1, "a")),
			calls:  []func(*limiter.Limiter) error{commit(2, "a", 0)}, waits: true},
		"a commit while its check waits": {
			before: does(check("z")),
			calls:  []func(*limiter.Limiter) error{check("a"), commit(0, "a", 0)}, waits: true},
		"a commit while another check waits": {
			before: does(check("z")),
			calls:  []func(*limiter.Limiter) error{check("a"), commit(0, "z", 0)}},
		"a release": {
			before: does(check("a")),
			calls:  []func(*limiter.Limiter) error{release(1, "a")}},
		"usage": {
			calls: []func(*limiter.Limiter) error{func(l *limiter.Limiter) error {
				_, err := l.Usage(ctx, at(1), key)
				return err
			}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var d stuckDisk
			s := recovered(t, Options{
				Dir: "data", fs: watched(vfs.NewMem(), d.step),
			})
			l := limiter.New(s)
			limitertest.Apply(t, l, key, "uid", limiter.Policy{Limits: limitertest.Limits(3, 0, 0)})
			l.MarkLoaded()
			for _, do := range c.before {
				do(l)
			}
			if err := s.log.sync(ctx); err != nil {
				t.Fatal(err)
			}
			unstick := d.stick()
			defer unstick()
			answers := make([]chan error, len(c.calls))
			for i, call := range c.calls {
				answers[i] = make(chan error, 1)
				s.log.mu.Lock()
				next := s.log.next
				s.log.mu.Unlock()
				go func() { answers[i] <- call(l) }()
				if i+1 < len(c.calls) { // until it has changed what it has to
					for changed := false; !changed; time.Sleep(time.Millisecond) {
						s.log.mu.Lock()
						changed = s.log.next != next
						s.log.mu.Unlock()
					}
				}
			}
			last := answers[len(answers)-1]
			select {
			case err := <-last:
				if c.waits || err != nil {
					t.Errorf("it was answered before it was on the disk: %v", err)
				}
				last <- err
			case <-time.After(100 * time.Millisecond):
				if !c.waits {
					t.Error("it waits")
				}
			}
			unstick()
			for _, answer := range answers {
				if err := <-answer; err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// TestTheDiskTakesTooLong wants calls that wait for the disk, and checks that come after, to be
// told so, and what they wait for to be there when the disk answers again.
func TestTheDiskTakesTooLong(t *testing.T) {
	t.Parallel()
	var d stuckDisk
	s := recovered(t, Options{
		Dir: "data", fs: watched(vfs.NewMem(), d.step),
	})
	l := limiter.New(s)
	limitertest.Apply(t, l, key, "uid", limiter.Policy{})
	l.MarkLoaded()
	does(check("z"))[0](l)
	unstick := d.stick()
	defer unstick()
	started := time.Now()
	if err := check("a")(l); !errors.Is(err, limiter.ErrStoreUnavailable) {
		t.Errorf("a check is answered with %v", err)
	}
	if took := time.Since(started); took > 2*patience {
		t.Errorf("that took %s", took)
	}
	started = time.Now()
	for err := error(nil); !errors.Is(err, limiter.ErrStoreUnavailable); {
		err = check("b")(l)
	}
	if err := commit(0, "z", 0)(l); err != nil {
		t.Errorf("a commit that need not wait: %v", err)
	}
	if took := time.Since(started); took > patience {
		t.Errorf("the next calls took %s", took)
	}
	unstick()
	if err := s.log.sync(context.Background()); err != nil {
		t.Fatal(err)
	}
	for _, call := range []func(*limiter.Limiter) error{check("a"), check("c")} {
		if err := call(l); err != nil {
			t.Errorf("after the disk answers: %v", err)
		}
	}
}

func check(id string) func(*limiter.Limiter) error {
	return func(l *limiter.Limiter) error {
		_, err := l.Check(context.Background(), at(0), key, ask(id))
		return err
	}
}

func commit(second int, id string, cost int64) func(*limiter.Limiter) error {
	return func(l *limiter.Limiter) error {
		now := at(time.Duration(second) * time.Second)
		_, err := l.Commit(context.Background(), now, key, id, cost)
		return err
	}
}

func release(second int, id string) func(*limiter.Limiter) error {
	return func(l *limiter.Limiter) error {
		_, err := l.Release(context.Background(), at(time.Duration(second)*time.Second), key, id)
		return err
	}
}

// does makes calls whose answers do not matter.
func does(calls ...func(*limiter.Limiter) error) (all []func(*limiter.Limiter)) {
	for _, call := range calls {
		all = append(all, func(l *limiter.Limiter) { _ = call(l) })
	}
	return all
}
