package controllers

import (
	"context"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
)

// leaseName is the lease that the writer of status and events holds.
const leaseName = "sluice-status"

// leaseTimes are the times of an election. A replica that cannot renew its lease stops writing
// after renewDeadline, and another may take over after duration.
type leaseTimes struct{ duration, renewDeadline, retryPeriod time.Duration }

// defaultLeaseTimes are those of Kubernetes' own components.
var defaultLeaseTimes = leaseTimes{
	duration:      15 * time.Second,
	renewDeadline: 10 * time.Second,
	retryPeriod:   2 * time.Second,
}

// election takes part in the election of the one replica that writes status and events. A manager's
// own election is not used because it ends the process when the API server is away for ten seconds:
// the limits must stay in force then, and their history is in this process.
type election struct {
	config    *rest.Config
	namespace string
	times     leaseTimes
	reader    client.Reader
	// resync gets every account once this replica is elected.
	resync  chan event.GenericEvent
	log     logr.Logger
	leading atomic.Bool
}

// NeedLeaderElection is false: this is the election.
func (e *election) NeedLeaderElection() bool { return false }

// elected reports whether this replica writes.
func (e *election) elected() bool { return e.leading.Load() }

// Start campaigns until the context ends; whenever the lease is lost, it campaigns again.
func (e *election) Start(ctx context.Context) error {
	clientset, err := kubernetes.NewForConfig(e.config)
	if err != nil {
		return err
	}
	hostname, err := os.Hostname()
	if err != nil {
		return err
	}
	lock := &resourcelock.LeaseLock{
		LeaseMeta: metav1.ObjectMeta{Namespace: e.namespace, Name: leaseName},
		Client:    clientset.CoordinationV1(),
		LockConfig: resourcelock.ResourceLockConfig{
			Identity: fmt.Sprintf("%s_%s", hostname, uuid.NewUUID()),
		},
	}
	for ctx.Err() == nil {
		leaderelection.RunOrDie(ctx, leaderelection.LeaderElectionConfig{
			Lock: lock, Name: leaseName, ReleaseOnCancel: true,
			LeaseDuration: e.times.duration,
			RenewDeadline: e.times.renewDeadline,
			RetryPeriod:   e.times.retryPeriod,
			Callbacks: leaderelection.LeaderCallbacks{
				OnStartedLeading: e.start,
				OnStoppedLeading: e.stop,
			},
		})
	}
	return nil
}

func (e *election) start(ctx context.Context) {
	e.leading.Store(true)
	e.log.Info("this replica writes the status of MailAccounts")
	var list mailAccountList
	if err := e.reader.List(ctx, &list, client.UnsafeDisableDeepCopy); err != nil {
		e.log.Error(err, "list MailAccounts after the election")
		return
	}
	for i := range list.Items {
		select {
		case e.resync <- event.GenericEvent{Object: &list.Items[i]}:
		case <-ctx.Done():
			return
		}
	}
}

func (e *election) stop() {
	if e.leading.Swap(false) {
		e.log.Info("this replica no longer writes the status of MailAccounts")
	}
}
