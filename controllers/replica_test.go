package controllers_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/sluice-mail/sluice/api/v1alpha1"
	"github.com/sluice-mail/sluice/controllers"
	"github.com/sluice-mail/sluice/limiter"
	"github.com/sluice-mail/sluice/limiter/memory"
	"github.com/sluice-mail/sluice/test/controlplane"
)

// replica is a running manager with the controllers, and the limiter that it fills.
type replica struct {
	limiter *limiter.Limiter
	log     *lines
	stop    func()
}

// lines is a log that can be read.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) logger() logr.Logger {
	return funcr.New(func(prefix, args string) {
		l.mu.Lock()
		defer l.mu.Unlock()
		fmt.Fprintln(&l.text, prefix, args)
	}, funcr.Options{Verbosity: 5}) // from 5 on, controllers log each object that they look at
}

func (l *lines) contains(s string) bool { return l.count(s) > 0 }

func (l *lines) count(s string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), s)
}

// countLines counts the lines that contain all of these.
func (l *lines) countLines(all ...string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.text.String()) {
		if !slices.ContainsFunc(all, func(s string) bool { return !strings.Contains(line, s) }) {
			n++
		}
	}
	return n
}

// start runs a replica until the test ends, or stop is called.
func start(t *testing.T, with ...func(*ctrl.Options)) *replica {
	t.Helper()
	return startOn(t, controlplane.Config, with...)
}

// startOn is start with another way to the control plane.
func startOn(t *testing.T, kube *rest.Config, with ...func(*ctrl.Options)) *replica {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r := &replica{limiter: limiter.New(memory.New(memory.Options{})), log: &lines{}}
	scheme, err := controllers.NewScheme()
	if err != nil {
		t.Fatal(err)
	}
	// Several managers in one process have controllers of the same name.
	sameName := true
	options := ctrl.Options{
		Scheme: scheme, Cache: controllers.CacheOptions(), Logger: r.log.logger(),
		Metrics:    metricsserver.Options{BindAddress: "0"},
		Controller: config.Controller{SkipNameValidation: &sameName},
	}
	for _, change := range with {
		change(&options)
	}
	mgr, err := ctrl.NewManager(kube, options)
	if err != nil {
		t.Fatal(err)
	}
	err = controllers.Add(mgr, controllers.Options{Limiter: r.limiter, LeaseNamespace: "default"})
	if err != nil {
		t.Fatal(err)
	}
	stopped := make(chan error)
	go func() { stopped <- mgr.Start(ctx) }()
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-stopped; err != nil {
			t.Errorf("the manager ended with %v", err)
		}
	})
	t.Cleanup(r.stop)
	return r
}

func (r *replica) waitLoaded(t *testing.T) {
	t.Helper()
	controlplane.Eventually(t, "the limits are loaded", func() error {
		if !r.limiter.Loaded() {
			return errors.New("not loaded")
		}
		return nil
	})
}

// waitUsage waits until the account's usage is as wanted.
func (r *replica) waitUsage(t *testing.T, name, what string, want func(limiter.Usage, error) bool) {
	t.Helper()
	controlplane.Eventually(t, name+": "+what, func() error {
		u, err := r.limiter.Usage(
			t.Context(),
			limiter.Instant{},
			limiter.Key{Namespace: "default", Name: name},
		)
		if !want(u, err) {
			return fmt.Errorf("usage is %+v, %w", u, err)
		}
		return nil
	})
}

func perMinute(n int64) func(limiter.Usage, error) bool {
	return func(u limiter.Usage, err error) bool {
		return err == nil && u.Policy.Limits[limiter.Cost][limiter.Minute] == n
	}
}

func newAccount(name string, limit int32) *v1alpha1.MailAccount {
	return &v1alpha1.MailAccount{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default"},
		Spec:       v1alpha1.MailAccountSpec{Limits: &v1alpha1.Limits{PerMinute: &limit}},
	}
}

// create makes an object that is gone after the test.
func create(t *testing.T, c client.Client, object client.Object) {
	t.Helper()
	if err := c.Create(t.Context(), object); err != nil {
		t.Fatal(err)
	}
	created, ok := object.DeepCopyObject().(client.Object)
	if !ok {
		t.Fatalf("%T is no object", object)
	}
	t.Cleanup(func() { _ = client.IgnoreNotFound(c.Delete(context.Background(), created)) })
}

// change patches an account, as whoever edits it while Sluice writes its status.
func change(t *testing.T, c client.Client, account *v1alpha1.MailAccount, edit func()) {
	t.Helper()
	before := account.DeepCopy()
	edit()
	if err := c.Patch(t.Context(), account, client.MergeFrom(before)); err != nil {
		t.Fatal(err)
	}
}

// waitCondition waits until the account's Ready condition speaks of its generation with this status
// and reason.
func waitCondition(
	t *testing.T, c client.Client, account *v1alpha1.MailAccount, status metav1.ConditionStatus,
	reason string,
) metav1.Condition {
	t.Helper()
	var ready *metav1.Condition
	controlplane.Eventually(t, account.Name+" is "+reason, func() error {
		if err := c.Get(t.Context(), client.ObjectKeyFromObject(account), account); err != nil {
			return err
		}
		ready = meta.FindStatusCondition(account.Status.Conditions, v1alpha1.ConditionReady)
		if ready == nil || ready.Status != status || ready.Reason != reason ||
			ready.ObservedGeneration != account.Generation {
			return fmt.Errorf("the status is %+v", account.Status)
		}
		return nil
	})
	return *ready
}

// reconciled is how many times an account was looked at, in all controllers.
func reconciled(t *testing.T) (times float64) {
	t.Helper()
	families, err := metrics.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "controller_runtime_reconcile_total" {
			for _, m := range f.GetMetric() {
				times += m.GetCounter().GetValue()
			}
		}
	}
	return times
}
