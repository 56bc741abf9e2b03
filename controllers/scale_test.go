//go:build scale

package controllers_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	apiruntime "k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-mail/sluice/api/v1alpha1"
	"github.com/sluice-mail/sluice/test/controlplane"
)

// TestScale is a replica with 100,000 accounts on a real kube-apiserver: `make scale`. It measures,
// side by side, how long a start takes until the limits are loaded and how long a bare informer
// takes for the same objects; what an account costs on the heap; and it wants a restart with
// nothing changed to write nothing.
func TestScale(t *testing.T) {
	n := 100_000
	if s := os.Getenv("SLUICE_SCALE_ACCOUNTS"); s != "" {
		var err error
		if n, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
	}
	createMany(t, n)
	first := timed(
		t, "the first start, which writes every status", func() { start(t).waitStatuses(t, n) },
	)
	t.Logf("the first start wrote %d statuses in %s", n, first.Round(time.Second))

	var bares, starts []time.Duration
	for range 3 {
		bares = append(bares, bareInformer(t))
		starts = append(starts, restart(t, n))
	}
	slices.Sort(bares)
	slices.Sort(starts)
	ratio := starts[1].Seconds() / bares[1].Seconds()
	t.Logf(
		"%d accounts: a bare informer %v, until the limits are loaded %v; "+
			"the ratio of the medians is %.2f",
		n, bares, starts, ratio,
	)
	if ratio > 2 {
		t.Errorf("a start takes %.2f times as long as a bare informer, want at most 2", ratio)
	}
	if each := heapPerAccount(t, n); each > 2048 {
		t.Errorf("an account costs %d bytes of heap, want at most 2048", each)
	} else {
		t.Logf("an account costs %d bytes of heap, the objects in the cache included", each)
	}
}

func timed(t *testing.T, what string, do func()) time.Duration {
	t.Helper()
	begin := time.Now()
	do()
	took := time.Since(begin)
	t.Logf("%s: %s", what, took.Round(time.Millisecond))
	return took
}

// unthrottled is the control plane without a client-side limit, as `sluice serve` has it.
func unthrottled() *rest.Config {
	config := rest.CopyConfig(controlplane.Config)
	config.QPS = -1
	return config
}

func createMany(t *testing.T, n int) {
	t.Helper()
	scheme := apiruntime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	c, err := client.New(unthrottled(), client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	timed(t, fmt.Sprintf("creating %d accounts", n), func() {
		var next atomic.Int64
		var group sync.WaitGroup
		for range 16 {
			group.Go(func() {
				for i := next.Add(1); i <= int64(n); i = next.Add(1) {
					account := newAccount(fmt.Sprintf("mailbox-%06d", i), int32(i%1000+1))
					if err := c.Create(t.Context(), account); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		group.Wait()
	})
}

// informer caches MailAccounts as everybody would, until the context ends; the handler gets what it
// sees.
func informer(
	ctx context.Context, t *testing.T, handler toolscache.ResourceEventHandler,
) (synced func()) {
	t.Helper()
	scheme := apiruntime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	c, err := cache.New(unthrottled(), cache.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	stopped := make(chan error)
	go func() { stopped <- c.Start(ctx) }()
	t.Cleanup(func() {
		if err := <-stopped; err != nil {
			t.Error(err)
		}
	})
	i, err := c.GetInformer(ctx, &v1alpha1.MailAccount{}, cache.BlockUntilSynced(false))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := i.AddEventHandler(handler); err != nil {
		t.Fatal(err)
	}
	return func() {
		if !c.WaitForCacheSync(ctx) {
			t.Fatal("not synced")
		}
	}
}

// bareInformer is how long an informer takes to list, decode and hand out all accounts.
func bareInformer(t *testing.T) time.Duration {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	return timed(
		t, "a bare informer",
		informer(ctx, t, toolscache.ResourceEventHandlerFuncs{AddFunc: func(any) {}}),
	)
}

// restart is how long a replica takes until its limits are loaded. It wants the restart to write
// nothing.
func restart(t *testing.T, n int) time.Duration {
	t.Helper()
	r := start(t)
	took := timed(t, "until the limits are loaded", func() { r.waitLoadedOf(t, n) })
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var updates atomic.Int64
	informer(
		ctx, t, toolscache.ResourceEventHandlerFuncs{UpdateFunc: func(any, any) { updates.Add(1) }},
	)()
	r.waitIdle(t)
	r.stop()
	if written := updates.Load(); written > 0 {
		t.Errorf("a restart with nothing changed wrote %d times", written)
	}
	return took
}

// waitIdle waits until the replica is elected, has looked at every account again, and then at none
// for two seconds.
func (r *replica) waitIdle(t *testing.T) {
	t.Helper()
	idle, before := 0, 0.
	err := wait.PollUntilContextTimeout(t.Context(), 100*time.Millisecond, 10*time.Minute, true,
		func(context.Context) (bool, error) {
			now := reconciled(t)
			if idle++; now != before || !r.log.contains("this replica writes the status") {
				idle, before = 0, now
			}
			return idle > 20, nil
		})
	if err != nil {
		t.Fatalf("the replica is busy: %v", err)
	}
}

// waitLoadedOf is waitLoaded for longer.
func (r *replica) waitLoadedOf(t *testing.T, n int) {
	t.Helper()
	err := wait.PollUntilContextTimeout(t.Context(), 5*time.Millisecond, 10*time.Minute, true,
		func(context.Context) (bool, error) {
			return r.limiter.Loaded(), nil
		})
	if have := r.limiter.Stats().Accounts; err != nil || have < n {
		t.Fatalf("%d accounts of %d are loaded: %v", have, n, err)
	}
}

// waitStatuses waits until n accounts have a status, and stops the replica.
func (r *replica) waitStatuses(t *testing.T, n int) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var ready sync.Map
	var count atomic.Int64
	note := func(obj any) {
		if a, ok := obj.(*v1alpha1.MailAccount); ok && len(a.Status.Conditions) > 0 {
			if _, seen := ready.LoadOrStore(a.Name, true); !seen {
				count.Add(1)
			}
		}
	}
	informer(
		ctx,
		t,
		toolscache.ResourceEventHandlerFuncs{
			AddFunc:    note,
			UpdateFunc: func(_, obj any) { note(obj) },
		},
	)()
	err := wait.PollUntilContextTimeout(ctx, 100*time.Millisecond, 30*time.Minute, true,
		func(context.Context) (bool, error) {
			return count.Load() >= int64(n), nil
		})
	if err != nil {
		t.Fatal(errors.Join(fmt.Errorf("%d of %d have a status", count.Load(), n), err))
	}
	r.stop()
}

// heapPerAccount is what a replica that has loaded n accounts costs on the heap, divided among
// them.
func heapPerAccount(t *testing.T, n int) int64 {
	t.Helper()
	heap := func() int64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := heap()
	r := start(t)
	r.waitLoadedOf(t, n)
	r.waitIdle(t)
	each := (heap() - before) / int64(n)
	r.stop()
	return each
}
