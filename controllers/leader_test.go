package controllers

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/sluice-mail/sluice/test/controlplane"
)

// shortTimes leave an API server on a busy machine time to answer.
var shortTimes = leaseTimes{
	duration:      3 * time.Second,
	renewDeadline: 2 * time.Second,
	retryPeriod:   50 * time.Millisecond,
}

// someAccounts is a reader that has accounts of these names.
type someAccounts struct {
	client.Reader
	mu    sync.Mutex
	names []string
	err   error
}

func (s *someAccounts) set(names ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.names = names
}

func (s *someAccounts) List(
	ctx context.Context,
	into client.ObjectList,
	opts ...client.ListOption,
) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return (&firstList{names: s.names, err: s.err}).List(ctx, into, opts...)
}

// candidate takes part in an election on the real API server.
type candidate struct {
	*election
	accounts *someAccounts
	log      chan string
	requests atomic.Int64
	stop     func()
}

// newCandidate campaigns until the test ends, or stop is called.
func newCandidate(t *testing.T, accounts *someAccounts) *candidate {
	t.Helper()
	c := &candidate{accounts: accounts, log: make(chan string, 100)}
	config := rest.CopyConfig(controlplane.Config)
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			c.requests.Add(1)
			return next.RoundTrip(r)
		})
	})
	c.election = &election{
		config: config, namespace: "kube-public", times: shortTimes, reader: c.accounts,
		resync: make(chan event.GenericEvent),
		log:    funcr.New(func(_, line string) { c.log <- line }, funcr.Options{}),
	}
	ctx, cancel := context.WithCancel(context.Background())
	stopped := make(chan error)
	go func() { stopped <- c.Start(ctx) }()
	c.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-stopped; err != nil {
			t.Errorf("the election ended with %v", err)
		}
	})
	t.Cleanup(c.stop)
	return c
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func (c *candidate) waitElected(t *testing.T, want bool) {
	t.Helper()
	controlplane.Eventually(t, fmt.Sprint("elected: ", want), func() error {
		if c.elected() != want {
			return errors.New("not yet")
		}
		return nil
	})
}

// wantResync wants these accounts to come again, in this order.
func (c *candidate) wantResync(t *testing.T, want ...string) {
	t.Helper()
	for i, name := range want {
		select {
		case e := <-c.resync:
			if got := e.Object.GetNamespace() + "/" + e.Object.GetName(); got != name {
				t.Errorf("account %d that came again is %s, want %s", i, got, name)
			}
		case <-time.After(30 * time.Second): // not a wait, but the end of one that is in vain
			t.Fatalf("%s did not come again", name)
		}
	}
}

// wantLogged waits for the next line of the log.
func (c *candidate) wantLogged(t *testing.T, want string) {
	t.Helper()
	select {
	case line := <-c.log:
		if !strings.Contains(line, want) {
			t.Errorf("logged %s, want %s", line, want)
		}
	case <-time.After(30 * time.Second): // not a wait, but the end of one that is in vain
		t.Fatalf("%q was not logged", want)
	}
}

func leaseOf(t *testing.T) (client.Client, *coordinationv1.Lease) {
	t.Helper()
	c := controlplane.Client(t)
	lease := &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Namespace: "kube-public", Name: leaseName},
	}
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(lease), lease); err != nil {
		t.Fatal(err)
	}
	return c, lease
}

// takeLease writes another holder into the lease, whoever holds it now. An empty one frees it.
func takeLease(t *testing.T, holder string) {
	t.Helper()
	// The holder of now may renew it meanwhile.
	controlplane.Eventually(t, "another takes the lease", func() error {
		c, lease := leaseOf(t)
		now := metav1.NowMicro()
		lease.Spec.HolderIdentity, lease.Spec.RenewTime = &holder, &now
		lease.Spec.LeaseDurationSeconds = new(int32(3600))
		return c.Update(t.Context(), lease)
	})
}

// TestElection has two replicas campaign: one leads, and is followed by the other when it stops.
// Whoever is elected gets every account there is at that time. One that loses the lease stops
// leading, forgets those that it had still to hand on, and is elected again once the lease is free.
func TestElection(t *testing.T) {
	const begins, ends = "this replica writes", "this replica no longer writes"
	first := newCandidate(t, &someAccounts{names: []string{"n/a", "n/b"}})
	first.waitElected(t, true)
	first.wantLogged(t, begins)
	first.wantResync(t, "n/a", "n/b")
	seconds := int32(shortTimes.duration / time.Second)
	if _, lease := leaseOf(t); *lease.Spec.LeaseDurationSeconds != seconds {
		t.Errorf("the lease is %+v", lease.Spec)
	}

	second := newCandidate(t, &someAccounts{names: []string{"n/a", "n/c"}})
	controlplane.Eventually(t, "the second has tried, many times", func() error {
		if n := second.requests.Load(); n < 10 {
			return fmt.Errorf("it sent %d requests", n)
		}
		return nil
	})
	if !first.elected() || second.elected() {
		t.Errorf("the first leads: %v, the second leads: %v", first.elected(), second.elected())
	}

	first.stop()
	second.waitElected(t, true)
	second.wantLogged(t, begins)
	second.wantResync(t, "n/a") // and n/c, in vain
	first.wantLogged(t, ends)
	if first.elected() {
		t.Error("the first has stopped, and leads")
	}

	takeLease(t, "another")
	second.waitElected(t, false)
	second.wantLogged(t, ends)
	second.accounts.set("n/d", "n/e")
	takeLease(t, "")
	second.waitElected(t, true)
	second.wantResync(t, "n/d", "n/e")

	second.stop()
	_, lease := leaseOf(t)
	if holder := lease.Spec.HolderIdentity; holder != nil && *holder != "" {
		t.Errorf("whoever stops leaves the lease behind: %+v", lease.Spec)
	}
}

// TestElectionWithoutAList wants a replica that cannot list the accounts to lead all the same: it
// writes what changes.
func TestElectionWithoutAList(t *testing.T) {
	away := errors.New("the cache is away")
	c := newCandidate(t, &someAccounts{names: []string{"n/a"}, err: away})
	c.wantLogged(t, "this replica writes the status")
	c.wantLogged(t, "the cache is away")
	if !c.elected() {
		t.Error("it does not lead")
	}
}

// TestElectionThatCannotBegin wants the process to hear of a configuration that makes no client.
func TestElectionThatCannotBegin(t *testing.T) {
	e := &election{
		config: &rest.Config{Host: "::", TLSClientConfig: rest.TLSClientConfig{CAFile: "/nowhere"}},
		log:    logr.Discard(),
	}
	if err := e.Start(t.Context()); err == nil || e.elected() {
		t.Errorf("it returned %v, elected %v", err, e.elected())
	}
}

// TestLeaseTimes wants a replica that is cut off to stop writing before another may begin.
func TestLeaseTimes(t *testing.T) {
	if l := defaultLeaseTimes; l.renewDeadline >= l.duration || 2*l.retryPeriod >= l.renewDeadline {
		t.Errorf("the times are %+v", l)
	}
}
