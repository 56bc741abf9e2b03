package controllers

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/sluice-mail/sluice/limiter"
)

// Options are what the controllers need besides a manager.
type Options struct {
	Limiter *limiter.Limiter
	// LeaseNamespace is where the lease of the election is. If it is empty there is no election,
	// and this replica writes the status.
	LeaseNamespace string
}

// NewScheme returns a scheme with all types that the controllers use. It also reads MailAccounts
// that do not fit their type.
func NewScheme() (*runtime.Scheme, error) {
	scheme := runtime.NewScheme()
	addMailAccounts(scheme)
	return scheme, clientgoscheme.AddToScheme(scheme)
}

// CacheOptions leaves out of cached MailAccounts what the controllers do not need.
func CacheOptions() cache.Options {
	return cache.Options{DefaultTransform: cache.TransformStripManagedFields()}
}

// Add makes a manager run the controllers as soon as its cluster serves MailAccounts.
func Add(mgr ctrl.Manager, o Options) error {
	return mgr.Add(&crdWaiter{mgr, o})
}

// crdWaiter waits for the cluster and for the CustomResourceDefinition, and then adds the
// controllers. If they were added sooner they would give up, and end the process.
type crdWaiter struct {
	mgr     manager.Manager
	options Options
}

// NeedLeaderElection is false: every replica needs the limits.
func (w *crdWaiter) NeedLeaderElection() bool { return false }

// probeInterval is the time between two probes of the cluster, and reportInterval that between two
// log lines about their failure.
const (
	probeInterval  = time.Second
	reportInterval = 30 * time.Second
)

// Start adds the controllers as soon as the cluster serves MailAccounts.
func (w *crdWaiter) Start(ctx context.Context) error {
	log := w.mgr.GetLogger()
	var reported time.Time
	for {
		err := w.probe(ctx)
		if err == nil {
			return w.add()
		}
		if time.Since(reported) > reportInterval {
			log.Error(err, "waiting for the cluster; checks are answered with 503 until then")
			reported = time.Now()
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(probeInterval):
		}
	}
}

// probe asks the API server, not the cache, for one MailAccount.
func (w *crdWaiter) probe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	err := w.mgr.GetAPIReader().List(ctx, &mailAccountList{}, client.Limit(1))
	switch {
	case err == nil:
		return nil
	case meta.IsNoMatchError(err), apierrors.IsNotFound(err):
		return fmt.Errorf("the CustomResourceDefinition mailaccounts.sluice.dev is not installed "+
			"(kubectl apply -k config/crd, or the chart with crds.enabled=true): %w", err)
	case apierrors.IsForbidden(err), apierrors.IsUnauthorized(err):
		return fmt.Errorf("the API server at %s does not let Sluice read MailAccounts "+
			"(config/rbac has the role it needs): %w", w.mgr.GetConfig().Host, err)
	}
	return fmt.Errorf("the API server at %s cannot be reached: %w", w.mgr.GetConfig().Host, err)
}

// controllerOptions are those of all controllers. They run on every replica; where the election
// matters, Reconcile looks at it. A panic ends the process: it may have left the limiter
// half-changed.
func controllerOptions(concurrency int) controller.Options {
	return controller.Options{
		NeedLeaderElection:      new(false),
		RecoverPanic:            new(false),
		MaxConcurrentReconciles: concurrency,
	}
}

func (w *crdWaiter) add() error {
	mgr, log, l := w.mgr, w.mgr.GetLogger(), w.options.Limiter
	elected := func() bool { return true }
	resync := make(chan event.GenericEvent)
	gate := newReadinessGate(mgr.GetCache(), l, log)
	runnables := []manager.Runnable{gate}
	if w.options.LeaseNamespace != "" {
		e := &election{
			config: mgr.GetConfig(), namespace: w.options.LeaseNamespace, times: defaultLeaseTimes,
			reader: mgr.GetClient(), resync: resync, log: log,
		}
		elected = e.elected
		runnables = append(runnables, e)
	}
	notifier := &statusNotifier{limiter: l, elected: elected, reader: mgr.GetClient(), log: log}
	limits := &limitsReconciler{
		reader: mgr.GetClient(), limiter: l, gate: gate, policyChanged: notifier.policyChanged,
	}
	status := &statusReconciler{
		client: mgr.GetClient(), limiter: l, events: mgr.GetEventRecorder("sluice"),
		elected: elected,
	}
	errs := []error{limits.setup(mgr), status.setup(mgr, resync, notifier)}
	for _, r := range runnables {
		errs = append(errs, mgr.Add(r))
	}
	return errors.Join(errs...)
}
