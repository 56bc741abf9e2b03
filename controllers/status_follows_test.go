package controllers

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/event"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/sluice-mail/sluice/api/v1alpha1"
	"github.com/sluice-mail/sluice/limiter"
	"github.com/sluice-mail/sluice/limiter/memory"
	"github.com/sluice-mail/sluice/test/controlplane"
)

// follower is a status controller in a manager, and a limits controller that is called by hand.
type follower struct {
	client client.WithWatch // the test's own
	limits *limitsReconciler
	name   types.NamespacedName

	mu     sync.Mutex
	before func()                   // comes once, before a status is sent
	ended  int                      // how often the status controller has looked at the account
	seen   map[types.UID]generation // of the account
}

// generation is one that was seen by a look that began when so many had ended.
type generation struct {
	number int64
	ended  int
}

func newFollower(t *testing.T, name string) *follower {
	t.Helper()
	scheme, err := NewScheme()
	if err != nil {
		t.Fatal(err)
	}
	f := &follower{
		name: types.NamespacedName{Namespace: "default", Name: name},
		seen: map[types.UID]generation{},
	}
	f.client, err = client.NewWithWatch(controlplane.Config, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	mgr, err := ctrl.NewManager(controlplane.Config, ctrl.Options{
		Scheme: scheme, Cache: CacheOptions(), Metrics: metricsserver.Options{BindAddress: "0"},
		Controller: config.Controller{SkipNameValidation: new(true)},
		Logger:     funcr.New(f.logged, funcr.Options{Verbosity: 5}),
		NewClient: func(c *rest.Config, o client.Options) (client.Client, error) {
			cached, err := client.NewWithWatch(c, o)
			return interceptor.NewClient(
				cached, interceptor.Funcs{Get: f.get, SubResourceApply: f.apply},
			), err
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	l := limiter.New(memory.New(memory.Options{}))
	elected := func() bool { return true }
	l.MarkLoaded()
	notifier := &statusNotifier{
		limiter: l, elected: elected, reader: mgr.GetClient(), log: logr.Discard(),
	}
	gate := newReadinessGate(mgr.GetCache(), l, logr.Discard())
	f.limits = &limitsReconciler{
		reader: f.client, limiter: l, gate: gate, policyChanged: notifier.policyChanged,
	}
	status := &statusReconciler{
		client: mgr.GetClient(), limiter: l, events: &events.FakeRecorder{}, elected: elected,
	}
	if err := status.setup(mgr, make(chan event.GenericEvent), notifier); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	stopped := make(chan error)
	go func() { stopped <- mgr.Start(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-stopped; err != nil {
			t.Errorf("the manager ended with %v", err)
		}
	})
	return f
}

func (f *follower) get(ctx context.Context, c client.WithWatch, k client.ObjectKey,
	into client.Object, opts ...client.GetOption) error {
	err := c.Get(ctx, k, into, opts...)
	if k == f.name && err == nil {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.seen[into.GetUID()] = generation{into.GetGeneration(), f.ended}
	}
	return err
}

func (f *follower) apply(ctx context.Context, c client.Client, subresource string,
	status runtime.ApplyConfiguration, opts ...client.SubResourceApplyOption) error {
	f.mu.Lock()
	before := f.before
	f.before = nil
	f.mu.Unlock()
	if before != nil {
		before()
	}
	return c.SubResource(subresource).Apply(ctx, status, opts...)
}

func (f *follower) logged(_, line string) {
	if strings.Contains(line, `"Reconcile successful"`) && strings.Contains(line, f.name.Name) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.ended++
	}
}

// waitLooked waits until the status controller has looked at an account as it is now.
func (f *follower) waitLooked(t *testing.T, account *mailAccount) {
	t.Helper()
	controlplane.Eventually(t, "the status controller has looked", func() error {
		f.mu.Lock()
		defer f.mu.Unlock()
		seen := f.seen[account.UID]
		if seen.number != account.Generation || seen.ended == f.ended {
			return errors.New("not yet")
		}
		return nil
	})
}

// wantAfterLimits wants no status that speaks of the account as it is now, and the one with this
// message once the limits controller has looked at it.
func (f *follower) wantAfterLimits(t *testing.T, account *mailAccount, message string) {
	t.Helper()
	f.waitLooked(t, account)
	ready := func() *metav1.Condition {
		if err := f.client.Get(t.Context(), f.name, account); err != nil {
			t.Fatal(err)
		}
		return meta.FindStatusCondition(account.Status.Conditions, v1alpha1.ConditionReady)
	}
	if c := ready(); c != nil && c.ObservedGeneration == account.Generation {
		t.Errorf("before its limits are in force the condition is %+v", c)
	}
	request := ctrl.Request{NamespacedName: f.name}
	if _, err := f.limits.Reconcile(t.Context(), request); err != nil {
		t.Fatal(err)
	}
	controlplane.Eventually(t, "the status says "+message, func() error {
		c := ready()
		if c == nil || c.Message != message || c.ObservedGeneration != account.Generation {
			return fmt.Errorf("the condition is %+v", c)
		}
		return nil
	})
}

// TestStatusFollowsTheLimits has the status controller look at an account before the limits
// controller does: it has nothing to say yet, and must be told when it has.
func TestStatusFollowsTheLimits(t *testing.T) {
	f := newFollower(t, "status-follows")
	limited := func(limit int32) *mailAccount {
		a := accountOf(v1alpha1.MailAccountSpec{Limits: &v1alpha1.Limits{PerMinute: &limit}})
		a.ObjectMeta = metav1.ObjectMeta{Namespace: f.name.Namespace, Name: f.name.Name}
		return a
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	account := limited(2)
	must(f.client.Create(t.Context(), account))
	f.wantAfterLimits(t, account, "Enforcing 2 per minute.")

	*account.Spec.Limits.PerMinute = 3
	must(f.client.Update(t.Context(), account))
	f.wantAfterLimits(t, account, "Enforcing 3 per minute.")

	must(f.client.Delete(t.Context(), account))
	account = limited(3)
	must(f.client.Create(t.Context(), account))
	f.wantAfterLimits(t, account, "Enforcing 3 per minute.")

	// Somebody changes the object just before its status is written, so that this fails.
	*account.Spec.Limits.PerMinute = 4
	must(f.client.Update(t.Context(), account))
	f.waitLooked(t, account)
	var disturbed atomic.Bool
	f.mu.Lock()
	f.before = func() {
		disturbed.Store(true)
		touched := client.RawPatch(
			types.MergePatchType, []byte(`{"metadata":{"labels":{"a":"b"}}}`),
		)
		if err := f.client.Patch(t.Context(), limited(4), touched); err != nil {
			t.Error(err)
		}
	}
	f.mu.Unlock()
	f.wantAfterLimits(t, account, "Enforcing 4 per minute.")
	if !disturbed.Load() {
		t.Error("the write did not fail")
	}
	must(f.client.Delete(t.Context(), account))
}
