package controllers_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	coordinationv1 "k8s.io/api/coordination/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-mail/sluice/api/v1alpha1"
	"github.com/sluice-mail/sluice/test/controlplane"
)

// wire is what a replica sends to the API server. It can be cut.
type wire struct {
	isCut    atomic.Bool
	mu       sync.Mutex
	statuses []string       // the accounts whose status it sent
	asked    map[string]int // how often it asked for each path
}

// config reaches the control plane over the wire.
func (w *wire) config() *rest.Config {
	config := rest.CopyConfig(controlplane.Config)
	config.Wrap(func(next http.RoundTripper) http.RoundTripper { return &end{w, next} })
	return config
}

// end is where requests come onto the wire.
type end struct {
	wire *wire
	next http.RoundTripper
}

func (e *end) RoundTrip(r *http.Request) (*http.Response, error) {
	if e.wire.isCut.Load() {
		return nil, errors.New("the wire is cut")
	}
	e.wire.mu.Lock()
	if account, ok := strings.CutSuffix(r.URL.Path, "/status"); ok {
		e.wire.statuses = append(e.wire.statuses, account[strings.LastIndex(account, "/")+1:])
	}
	if e.wire.asked == nil {
		e.wire.asked = map[string]int{}
	}
	e.wire.asked[r.URL.Path]++
	e.wire.mu.Unlock()
	return e.next.RoundTrip(r)
}

func (w *wire) sent() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.statuses)
}

// askedAgain reports whether any path was asked for at least so many times.
func (w *wire) askedAgain(times int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, n := range w.asked {
		if n >= times {
			return true
		}
	}
	return false
}

// runOut lets the lease run out in a second, whoever holds it: as if its holder had not renewed it
// for long.
func runOut(t *testing.T, c client.Client) {
	t.Helper()
	lease := &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "sluice-status"},
	}
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(lease), lease); err != nil {
		t.Fatal(err)
	}
	lease.Spec.LeaseDurationSeconds = new(int32(1))
	if err := c.Update(t.Context(), lease); err != nil {
		t.Fatal(err)
	}
}

// waitElected waits until the replica says that it writes.
func (r *replica) waitElected(t *testing.T) {
	t.Helper()
	controlplane.Eventually(t, "the replica is elected", func() error {
		if !r.log.contains("this replica writes the status of MailAccounts") {
			return errors.New("not yet")
		}
		return nil
	})
}

// lookAtStatus has the replica's status controller look at an account, and waits until it has.
func (r *replica) lookAtStatus(t *testing.T, c client.Client, account *v1alpha1.MailAccount) {
	t.Helper()
	looked := func() int {
		return r.log.countLines(
			`"Reconcile successful"`,
			`"controller"="status"`,
			fmt.Sprintf("%q=%q", "name", account.Name),
		)
	}
	for round := range 2 { // the first may have begun before its limits were in force
		before := looked()
		change(t, c, account, func() {
			account.Annotations = map[string]string{"round": fmt.Sprint(round)}
		})
		controlplane.Eventually(t, account.Name+" was looked at", func() error {
			if looked() == before {
				return errors.New("not yet")
			}
			return nil
		})
	}
}

// TestTheElectedReplicaWrites has a first replica that holds the lease and is cut off, and a second
// one. As long as the first may come back, the second keeps limits and writes nothing. Once the
// lease has run out it takes over, and writes whatever has become stale, also if nothing happens
// any more.
func TestTheElectedReplicaWrites(t *testing.T) {
	c := controlplane.Client(t)
	before := newAccount("elected-before", 1)
	create(t, c, before)
	var ofFirst, ofSecond wire
	first := startOn(t, ofFirst.config())
	first.waitElected(t)
	waitCondition(t, c, before, metav1.ConditionTrue, v1alpha1.ReasonLimitsEnforced)
	ofFirst.isCut.Store(true)

	second := startOn(t, ofSecond.config())
	second.waitLoaded(t)
	changed, created := before, newAccount("elected-created", 2)
	change(t, c, changed, func() { *changed.Spec.Limits.PerMinute = 3 })
	create(t, c, created)
	second.waitUsage(t, changed.Name, "its change is in force", perMinute(3))
	second.waitUsage(t, created.Name, "is enforced", perMinute(2))
	second.lookAtStatus(t, c, changed)
	second.lookAtStatus(t, c, created)
	if sent := ofSecond.sent(); len(sent) > 0 || second.log.contains("this replica writes") {
		t.Errorf("it is not elected, and wrote the status of %v", sent)
	}

	runOut(t, c)
	second.waitElected(t)
	waitCondition(t, c, changed, metav1.ConditionTrue, v1alpha1.ReasonLimitsEnforced)
	waitCondition(t, c, created, metav1.ConditionTrue, v1alpha1.ReasonLimitsEnforced)
	if sent := slices.Compact(ofFirst.sent()); !slices.Equal(sent, []string{before.Name}) {
		t.Errorf("the first replica wrote the status of %v", sent)
	}
}

// TestEveryReplicaLoads has another hold the lease of the manager's own election: no controller may
// wait for that.
func TestEveryReplicaLoads(t *testing.T) {
	c := controlplane.Client(t)
	now := metav1.NowMicro()
	lease := &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "managers"},
		Spec: coordinationv1.LeaseSpec{
			HolderIdentity: new("another"), LeaseDurationSeconds: new(int32(3600)),
			AcquireTime: &now, RenewTime: &now,
		},
	}
	create(t, c, lease)
	account := newAccount("every-replica", 2)
	create(t, c, account)
	r := start(t, func(o *ctrl.Options) {
		o.LeaderElection = true
		o.LeaderElectionID, o.LeaderElectionNamespace = lease.Name, lease.Namespace
	})
	r.waitLoaded(t)
	r.waitUsage(t, account.Name, "is enforced", perMinute(2))
	// The status has an election of its own.
	waitCondition(t, c, account, metav1.ConditionTrue, v1alpha1.ReasonLimitsEnforced)
	err := c.Get(t.Context(), client.ObjectKeyFromObject(lease), lease)
	if err != nil || *lease.Spec.HolderIdentity != "another" {
		t.Errorf("the manager's lease is %+v, %v", lease.Spec, err)
	}
}

// TestWaitsForTheCluster starts replicas that are not let in, or find nobody there: they say what
// is wrong, once, and begin as soon as it is right.
func TestWaitsForTheCluster(t *testing.T) {
	const notLetIn = "does not let Sluice read MailAccounts (config/rbac"
	for name, c := range map[string]struct {
		config func(*rest.Config)
		says   string
	}{
		"an unknown user": {func(r *rest.Config) {
			r.CertData, r.KeyData, r.BearerToken = nil, nil, "unknown"
		}, notLetIn},
		"a user without rights": {func(r *rest.Config) {
			r.Impersonate.UserName = "nobody"
		}, notLetIn},
		"an API server that is away": {func(r *rest.Config) {
			r.Host = "https://127.0.0.1:1"
		}, "https://127.0.0.1:1 cannot be reached"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var w wire
			config := w.config()
			c.config(config)
			r := startOn(t, config)
			controlplane.Eventually(t, "it has asked again", func() error {
				if !w.askedAgain(3) { // what came of the second is in the log by now
					return errors.New("not yet")
				}
				return nil
			})
			if n := r.log.count(c.says); n != 1 {
				t.Errorf("%d times in the log: %q\n%s", n, c.says, r.log.text.String())
			}
			if r.limiter.Loaded() {
				t.Error("the limiter is open")
			}
			r.stop() // it ends without an error while it waits
		})
	}
}

// TestBeginsOnceItIsLetIn gives a user its rights while a replica of that user waits for them.
func TestBeginsOnceItIsLetIn(t *testing.T) {
	c := controlplane.Client(t)
	account := newAccount("let-in", 2)
	create(t, c, account)
	var w wire
	config := w.config()
	config.Impersonate.UserName = "newcomer"
	r := startOn(t, config)
	controlplane.Eventually(t, "it is not let in", func() error {
		if !r.log.contains("does not let Sluice read MailAccounts") {
			return errors.New("not yet")
		}
		return nil
	})
	role := &rbacv1.ClusterRole{
		ObjectMeta: metav1.ObjectMeta{Name: "newcomer"},
		Rules: []rbacv1.PolicyRule{
			{
				APIGroups: []string{"sluice.dev"},
				Resources: []string{"mailaccounts"},
				Verbs:     []string{"get", "list", "watch"},
			},
		},
	}
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "newcomer"},
		RoleRef: rbacv1.RoleRef{
			APIGroup: rbacv1.GroupName,
			Kind:     "ClusterRole",
			Name:     "newcomer",
		},
		Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "User", Name: "newcomer"}},
	}
	create(t, c, role)
	create(t, c, binding)
	r.waitLoaded(t)
	r.waitUsage(t, account.Name, "is enforced", perMinute(2))
}
