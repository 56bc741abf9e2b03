package controllers

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
	"sigs.k8s.io/controller-runtime/pkg/handler"

	"github.com/sluice-mail/sluice/limiter"
	"github.com/sluice-mail/sluice/limiter/memory"
)

// TestStatusNotifier tells three times of one account.
func TestStatusNotifier(t *testing.T) {
	byPriority := func() requestQueue { return priorityqueue.New[ctrl.Request]("by-priority") }
	inOrder := func() requestQueue {
		return workqueue.NewTypedRateLimitingQueue(
			workqueue.DefaultTypedControllerRateLimiter[ctrl.Request]())
	}
	for name, c := range map[string]struct {
		queue     func() requestQueue
		elected   bool
		loaded    bool
		unstarted bool
		want      int // in the queue
	}{
		"the elected replica looks again":             {byPriority, true, true, false, 1},
		"so it does with another kind of queue":       {inOrder, true, true, false, 1},
		"it does not while the limits are loaded":     {byPriority, true, false, false, 0},
		"a replica that is not elected does not":      {byPriority, false, true, false, 0},
		"a controller that has not begun is not told": {byPriority, true, true, true, 0},
	} {
		t.Run(name, func(t *testing.T) {
			l := limiter.New(memory.New(memory.Options{}))
			if c.loaded {
				l.MarkLoaded()
			}
			q := c.queue()
			defer q.ShutDown()
			n := &statusNotifier{
				limiter: l, elected: func() bool { return c.elected }, reader: named(""),
			}
			if !c.unstarted {
				if err := n.Start(t.Context(), q); err != nil {
					t.Fatal(err)
				}
			}
			for range 3 {
				n.policyChanged(nameOf("n/a"))
			}
			if got := q.Len(); got != c.want {
				t.Fatalf("the queue holds %d, want %d", got, c.want)
			}
			if c.want > 0 {
				wantNext(t, q, 0)
			}
		})
	}
}

// named is a reader of a list of accounts of these names, "n/a n/b".
type named string

func (r named) Get(
	context.Context, client.ObjectKey, client.Object, ...client.GetOption,
) error {
	return errors.New("nobody should ask for one of them")
}

func (r named) List(_ context.Context, list client.ObjectList, _ ...client.ListOption) error {
	accounts, ok := list.(*mailAccountList)
	if !ok {
		return fmt.Errorf("asked for %T", list)
	}
	for name := range strings.FieldsSeq(string(r)) {
		var a mailAccount
		a.Namespace, a.Name, _ = strings.Cut(name, "/")
		accounts.Items = append(accounts.Items, a)
	}
	return nil
}

// TestStatusNotifierOnceLoaded wants all accounts to be reconciled when the limits are loaded, and
// none before; if this replica is not elected, the election sees to it.
func TestStatusNotifierOnceLoaded(t *testing.T) {
	for name, elected := range map[string]bool{"elected": true, "not elected": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				l := limiter.New(memory.New(memory.Options{}))
				q := workqueue.NewTypedRateLimitingQueue(
					workqueue.DefaultTypedControllerRateLimiter[ctrl.Request]())
				defer q.ShutDown()
				n := &statusNotifier{
					limiter: l, elected: func() bool { return elected }, reader: named("n/a n/b"),
				}
				if err := n.Start(ctx, q); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				if got := q.Len(); got != 0 {
					t.Errorf("before the limits are loaded, the queue holds %d", got)
				}
				l.MarkLoaded()
				synctest.Wait()
				if got, want := q.Len(), map[bool]int{true: 2, false: 0}[elected]; got != want {
					t.Errorf("once the limits are loaded, the queue holds %d, want %d", got, want)
				}
				cancel()
			})
		})
	}
}

// TestStatusNotifierAddsAllWithLowPriority wants the accounts that are added once the limits are
// loaded to come after one that somebody changes.
func TestStatusNotifierAddsAllWithLowPriority(t *testing.T) {
	l := limiter.New(memory.New(memory.Options{}))
	l.MarkLoaded()
	q := priorityqueue.New[ctrl.Request]("all")
	defer q.ShutDown()
	n := &statusNotifier{
		limiter: l, elected: func() bool { return true }, reader: named("n/a"),
	}
	if err := n.Start(t.Context(), q); err != nil {
		t.Fatal(err)
	}
	wantNext(t, q, handler.LowPriority)
}

// wantNext wants n/a to be the next of a queue, with this priority if the queue has priorities.
func wantNext(t *testing.T, q requestQueue, priority int) {
	t.Helper()
	var got ctrl.Request
	has := priority
	if p, ok := q.(priorityqueue.PriorityQueue[ctrl.Request]); ok {
		got, has, _ = p.GetWithPriority()
	} else {
		got, _ = q.Get()
	}
	if got.NamespacedName != nameOf("n/a") || has != priority {
		t.Errorf("the queue holds %s with priority %d, want %d", got, has, priority)
	}
}

// TestStatusNotifierAfterTheEnd wants the limits controller not to be held up by a status
// controller that has stopped.
func TestStatusNotifierAfterTheEnd(t *testing.T) {
	q := priorityqueue.New[ctrl.Request]("ended")
	n := &statusNotifier{
		limiter: limiter.New(memory.New(memory.Options{})), elected: func() bool { return true },
		reader: named(""),
	}
	n.limiter.MarkLoaded()
	if err := n.Start(t.Context(), q); err != nil {
		t.Fatal(err)
	}
	q.ShutDown()
	for range 10_000 { // more than any channel between the two would hold
		n.policyChanged(nameOf("n/a"))
	}
}
