package faults

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"github.com/valkey-io/valkey-go"

	"github.com/sluice-mail/sluice/limiter"
	"github.com/sluice-mail/sluice/limiter/limitertest"
	"github.com/sluice-mail/sluice/limiter/redis"
)

var account = limiter.Key{Namespace: "marketing", Name: "newsletter"}

// limits are those of the account, unless a test has others. The hour is longer than every test;
// the second lets a test find history that was freed too early, or never.
var limits = limiter.Limits{limiter.Cost: {limiter.Second: 60, limiter.Hour: 500}}

// patience is how long tests wait for what must happen.
const patience = time.Minute

// replica is what one process of Sluice has of the store.
type replica struct {
	*limiter.Limiter
	store *redis.Store
	stop  func() error  // ends it, and returns what Run did
	done  chan struct{} // closed when it has ended

	mu     sync.Mutex
	events []string       // reasons of those it would make
	log    []string       // what it tells operators
	failed map[string]int // why calls were not answered, and how often
}

// open returns a replica that runs. Its server need not be good. It ends with the test.
func open(t *testing.T, o redis.Options, l limiter.Limits, keys ...limiter.Key) *replica {
	t.Helper()
	r := &replica{failed: map[string]int{}}
	o.Log = r.logger()
	o.Tell = func(_, reason, _ string) { r.change(func() { r.events = append(r.events, reason) }) }
	o.Failed = func(err error) { r.change(func() { r.failed[err.Error()]++ }) }
	store, err := redis.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	r.store, r.Limiter = store, limiter.New(store)
	ctx, cancel := context.WithCancel(context.Background())
	r.done = make(chan struct{})
	var result error
	go func() { result = store.Run(ctx); close(r.done) }()
	r.stop = func() error { cancel(); <-r.done; return result }
	t.Cleanup(func() {
		err := r.stop()
		if t.Failed() {
			r.tell(t, err)
		}
	})
	r.MarkLoaded()
	for _, key := range append(keys, account) {
		r.apply(t, key, l)
	}
	return r
}

func (r *replica) apply(t *testing.T, key limiter.Key, l limiter.Limits) {
	t.Helper()
	limitertest.Apply(t, r.Limiter, key, "uid", limiter.Policy{Limits: l})
}

// ready returns a replica once its server was found good.
func ready(t *testing.T, o redis.Options, l limiter.Limits, keys ...limiter.Key) *replica {
	t.Helper()
	r := open(t, o, l, keys...)
	r.awaitReady(t)
	return r
}

// pair is two replicas of one store that are ready.
func pair(t *testing.T, o redis.Options, keys ...limiter.Key) []*replica {
	t.Helper()
	return []*replica{ready(t, o, limits, keys...), ready(t, o, limits, keys...)}
}

// ended returns what Run did that must end by itself.
func (r *replica) ended(t *testing.T) error {
	t.Helper()
	select {
	case <-r.done:
		return r.stop()
	case <-time.After(patience):
		t.Fatal("the replica goes on")
		return nil
	}
}

// options are those of a replica.
func options(url string) redis.Options {
	return redis.Options{Connection: redis.Connection{URL: url}}
}

func (r *replica) awaitReady(t *testing.T) {
	t.Helper()
	until(t, "the replica is ready", func() error { return r.store.Ready() })
}

// awaitAway waits until the replica says that its server is not good, and returns why.
func (r *replica) awaitAway(t *testing.T) (why error) {
	t.Helper()
	until(t, "the replica is not ready", func() error {
		if why = r.store.Ready(); why == nil {
			return errors.New("it still is")
		}
		return nil
	})
	return why
}

// awaitLost waits until the replica says that the store has lost what was sent, and returns the
// epoch that it misses.
func (r *replica) awaitLost(t *testing.T) (epoch string) {
	t.Helper()
	until(t, "the replica notices the loss", func() error {
		err := r.store.Ready()
		if lost := (*redis.LostError)(nil); errors.As(err, &lost) {
			epoch = lost.Kept
			return nil
		}
		return fmt.Errorf("it says %w", orNil(err))
	})
	return epoch
}

func orNil(err error) error {
	if err == nil {
		return errors.New("nothing")
	}
	return err
}

// mustAllow asks until there is an answer, and wants that to be an Allow.
func (r *replica) mustAllow(t *testing.T, id string) {
	t.Helper()
	until(t, "a check is answered", func() error {
		d, err := r.Check(t.Context(), clock.Now(), account, ask(id))
		if err == nil && d.Verdict != limiter.Allowed {
			t.Fatalf("%s is told %+v", id, d)
		}
		return err
	})
}

// counts returns how much counts in the account now.
func (r *replica) counts(t *testing.T, key limiter.Key) (n int64) {
	t.Helper()
	until(t, "the usage is told", func() error {
		u, err := r.Usage(t.Context(), clock.Now(), key)
		n = u.Window(limiter.Cost, limiter.Hour).Used + u.InFlight
		return err
	})
	return n
}

func (r *replica) logger() logr.Logger {
	return funcr.New(func(prefix, args string) {
		r.change(func() {
			r.log = append(r.log, time.Now().Format("15:04:05.000 ")+prefix+args)
		})
	}, funcr.Options{})
}

// tell is for a test that failed.
func (r *replica) tell(t *testing.T, ended error) {
	r.change(func() {
		t.Logf("a replica ended with %v, and logged %q", ended, r.log)
		for _, why := range slices.Sorted(maps.Keys(r.failed)) {
			t.Logf("  it refused %d calls: %s", r.failed[why], why)
		}
	})
}

func (r *replica) change(do func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	do()
}

// keeper is a ConfigMap that no process takes with it.
type keeper struct {
	mu    sync.Mutex
	epoch string
}

func (k *keeper) Load(context.Context) (string, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.epoch, nil
}

func (k *keeper) Save(_ context.Context, was, epoch string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.epoch != was {
		return errors.New("another has saved")
	}
	k.epoch = epoch
	return nil
}

// acceptLoss does what `sluice redis accept-loss` does.
func acceptLoss(t *testing.T, url, epoch string) {
	t.Helper()
	c := client(t, url)
	until(t, "the loss is accepted", func() error { // a replica has to tell the store of it first
		return redis.AcceptLoss(t.Context(), c, redis.DefaultPrefix, epoch)
	})
}

func client(t *testing.T, url string) valkey.Client {
	t.Helper()
	c, err := redis.Connect(redis.Connection{URL: url, Timeout: patience})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// until waits for something that must happen, and tells what was wrong last.
func until(t *testing.T, what string, wrong func() error) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		err := wrong()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("this did not happen: %s: %v", what, err)
		}
	}
}
