package kubeauth_test

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-mail/sluice/api/httpv1"
	"github.com/sluice-mail/sluice/limiter"
	"github.com/sluice-mail/sluice/server/kubeauth"
)

// flood uses random names without a pause, by many at a time, for as long as it is said.
func (f *fakeAPI) flood(caller kubeauth.Caller, lasts time.Duration) (wait func()) {
	var group sync.WaitGroup
	var n atomic.Int64
	end := time.Now().Add(lasts)
	for range 100 {
		group.Go(func() {
			for time.Now().Before(end) {
				_ = f.use(caller, "marketing", fmt.Sprintf("random-%d", n.Add(1)))
				time.Sleep(50 * time.Millisecond)
			}
		})
	}
	return group.Wait
}

func TestFloodOfNamesByOneCaller(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fakeAPI) {
		f.set(func() { f.latency = 2 * time.Millisecond })
		f.allow("hostile", "newsletter", true)
		f.allow("dispatcher", "newsletter", true)
		hostile := f.mustAuthenticate(f.token("hostile"))
		dispatcher := f.mustAuthenticate(f.token("dispatcher"))
		for _, caller := range []kubeauth.Caller{hostile, dispatcher} {
			if err := f.use(caller, "marketing", "newsletter"); err != nil {
				t.Fatal(err)
			}
		}
		wait := f.flood(hostile, time.Minute)
		for i := range 55 {
			time.Sleep(time.Second)
			name := fmt.Sprintf("new-%d", i)
			f.allow("dispatcher", name, true)
			var known, fresh, own error
			took := took(func() {
				known = f.use(dispatcher, "marketing", "newsletter")
				fresh = f.use(dispatcher, "marketing", name)
				own = f.use(hostile, "marketing", "newsletter")
			})
			if known != nil || fresh != nil || own != nil || took > 10*time.Millisecond {
				t.Fatalf("after %d s: %v, %v, %v, and it took %s", i, known, fresh, own, took)
			}
		}
		wait()
		asked := 0
		f.set(func() {
			for q, n := range f.asked {
				if q.user == hostile.User() {
					asked += n
				}
			}
		})
		// Those who came last waited for 3 s.
		if asked > 1000+100*64 {
			t.Errorf("%d reviews for a hostile caller in a minute", asked)
		}
	})
}

// TestFewBatchesOfOneCallerWait has a caller send more batches of unknown names at a time than may
// hold memory while they wait. What it knows is answered in all of them.
func TestFewBatchesOfOneCallerWait(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fakeAPI) {
		f.allow("hostile", "newsletter", true)
		hostile := f.mustAuthenticate(f.token("hostile"))
		if err := f.use(hostile, "marketing", "newsletter"); err != nil {
			t.Fatal(err)
		}
		f.set(func() { f.latency = time.Second })
		const batches = 100
		var all sync.WaitGroup
		var waited atomic.Int32
		for batch := range batches {
			all.Go(func() {
				calls := make([]limiter.Call, 20)
				for i := range calls {
					calls[i].Key = limiter.Key{
						Namespace: "marketing", Name: fmt.Sprintf("random-%d-%d", batch, i),
					}
				}
				calls[0].Key.Name = "newsletter"
				if took(func() { f.AuthorizeCalls(t.Context(), hostile, "use", calls) }) > 0 {
					waited.Add(1)
				} else {
					wantProblem(t, calls[1].Err, httpv1.Overloaded, "Try again")
				}
				if err := calls[0].Err; err != nil {
					t.Errorf("what is known is refused: %v", err)
				}
			})
		}
		all.Wait()
		if n := waited.Load(); n == 0 || n > batches/4 {
			t.Errorf("%d of %d batches waited", n, batches)
		}
	})
}

// TestFloodOfGoodTokensByOneCaller has a caller use each token once, as one does that asks for a
// token for each call. That must not have others reviewed again, nor the API server flooded.
func TestFloodOfGoodTokensByOneCaller(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fakeAPI) {
		idle := f.token("dispatcher")
		f.mustAuthenticate(idle)
		const seconds = 60
		for range seconds {
			for range 18_000 / seconds {
				if _, err := f.Authenticate(t.Context(), f.token("hostile")); err != nil {
					wantProblem(t, err, httpv1.Overloaded, "Try again")
				}
			}
			time.Sleep(time.Second)
		}
		n := f.count(tokenPath)
		if n > 4000+(seconds+1)*100 {
			t.Errorf("%d reviews", n)
		}
		f.mustAuthenticate(f.token("another"))
		f.mustAuthenticate(idle)
		if again := f.count(tokenPath) - n; again != 1 {
			t.Errorf("%d reviews for others, want that of the new token", again)
		}
	})
}

// TestOwnQueueIsNoFaultOfTheAPIServer has a caller that tries to keep a right by waiting in its own
// queue until it is revoked.
func TestOwnQueueIsNoFaultOfTheAPIServer(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fakeAPI) {
		f.set(func() { f.latency = 200 * time.Millisecond })
		f.allow("hostile", "newsletter", true)
		hostile := f.mustAuthenticate(f.token("hostile"))
		if err := f.use(hostile, "marketing", "newsletter"); err != nil {
			t.Fatal(err)
		}
		f.allow("hostile", "newsletter", false)
		time.Sleep(5 * time.Minute)
		wait := f.flood(hostile, time.Minute)
		for range 50 {
			time.Sleep(time.Second)
			err := f.use(hostile, "marketing", "newsletter")
			var p *httpv1.Problem
			if !errors.As(err, &p) || p.Status != 403 && p.Status != 503 {
				t.Errorf("the right is used on: %v", err)
			}
		}
		wait()
	})
}

func TestRightsByNameToManyAccounts(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fakeAPI) {
		f.set(func() { f.latency = 2 * time.Millisecond })
		calls := make([]limiter.Call, 10000)
		for i := range calls {
			name := fmt.Sprintf("account-%d", i)
			calls[i].Key = limiter.Key{Namespace: "marketing", Name: name}
			f.allow("dispatcher", name, true)
		}
		dispatcher := f.mustAuthenticate(f.token("dispatcher"))
		round := func() (refused int) {
			for at := 0; at < len(calls); at += 1000 {
				batch := calls[at : at+1000]
				if took := took(func() {
					f.AuthorizeCalls(t.Context(), dispatcher, "use", batch)
				}); took > 4*time.Second {
					t.Fatalf("a batch took %s", took)
				}
				for i := range batch {
					if err := batch[i].Err; err != nil {
						wantProblem(t, err, httpv1.Overloaded, "Try again")
						batch[i].Err = nil
						refused++
					}
				}
			}
			return refused
		}
		began := time.Now()
		for round() > 0 {
			if time.Since(began) > 2*time.Minute {
				t.Fatal("the rights are not all known after 2 minutes")
			}
		}
		// From now on none is asked about twice in 5 minutes, and no call waits or fails.
		before := f.count(accessPath)
		for range 600 {
			if took := took(func() {
				if n := round(); n > 0 {
					t.Fatalf("%d calls were refused", n)
				}
			}); took != 0 {
				t.Fatalf("a round took %s", took)
			}
			time.Sleep(time.Second)
		}
		synctest.Wait()
		if n := f.count(accessPath) - before; n > 3*10000 {
			t.Errorf("%d reviews in 10 minutes", n)
		}
	})
}
