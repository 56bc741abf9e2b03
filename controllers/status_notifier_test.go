package controllers

import (
	"testing"

	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
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
		priority  int // of the account, if the queue holds it
		want      int // in the queue
	}{
		"the elected replica looks again": {byPriority, true, true, false, 0, 1},
		"so it does while the limits are loaded": {
			byPriority, true, false, false, handler.LowPriority, 1,
		},
		"another kind of queue":                       {inOrder, true, false, false, 0, 1},
		"a replica that is not elected does not":      {byPriority, false, true, false, 0, 0},
		"a controller that has not begun is not told": {byPriority, true, true, true, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			l := limiter.New(memory.New(memory.Options{}))
			if c.loaded {
				l.MarkLoaded()
			}
			q := c.queue()
			defer q.ShutDown()
			n := &statusNotifier{limiter: l, elected: func() bool { return c.elected }}
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
				wantNext(t, q, c.priority)
			}
		})
	}
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
	}
	if err := n.Start(t.Context(), q); err != nil {
		t.Fatal(err)
	}
	q.ShutDown()
	for range 10_000 { // more than any channel between the two would hold
		n.policyChanged(nameOf("n/a"))
	}
}
