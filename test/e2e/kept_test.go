//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/sluice-mail/sluice/api/httpv1"
)

// kept is a full account with something of each kind that Sluice has to keep: a reservation that
// was released, one that was committed, a commit without one, and one that is outstanding.
type kept struct {
	account string
	before  counts
}

// counts is what is counted of an account. What was sent within the last minute is left out, as it
// gets less by itself.
type counts struct {
	InFlight, Hour, Day, Remaining int64
	FreeAt                         time.Time
	ExpiresAt                      time.Time // the outstanding reservation
}

// endings are calls that end a reservation, and their outcomes, however often they are repeated.
var endings = []struct{ verb, id, outcome string }{
	{"release", "released", httpv1.Released},
	{"commit", "sent", httpv1.Committed},
	{"commit", "unknown", httpv1.Unreserved},
}

// spend makes such an account.
func spend(t *testing.T, name string) *kept {
	t.Helper()
	k := &kept{account: namespace + "/" + name}
	applyAccount(t, name, "{limits: {perDay: 3}}")
	for _, e := range endings {
		if e.outcome != httpv1.Unreserved {
			k.decide(t, e.id, httpv1.Allow)
		}
		end(t, k.account, e.verb, fmt.Sprintf(`{"reservation":%q}`, e.id), e.outcome)
	}
	k.before = k.counts(t)
	if k.before.Day != 2 || k.before.InFlight != 1 || k.before.Remaining != 0 {
		t.Fatalf("%s has counted %+v, want two sends and one in flight", name, k.before)
	}
	return k
}

// check wants everything to be what it was, also if each call is repeated.
func (k *kept) check(t *testing.T) {
	t.Helper()
	k.same(t, "at first")
	for _, e := range endings {
		end(t, k.account, e.verb, fmt.Sprintf(`{"reservation":%q}`, e.id), e.outcome)
	}
	k.same(t, "after all calls were repeated")
	k.decide(t, "one-too-many", httpv1.Defer)
}

func (k *kept) same(t *testing.T, when string) {
	t.Helper()
	// Instants are told by the wall clock, which may be set a little meanwhile.
	near := cmp.Comparer(func(a, b time.Time) bool { return a.Sub(b).Abs() < time.Second })
	if diff := cmp.Diff(k.before, k.counts(t), near); diff != "" {
		t.Errorf("%s, %s does not count what it did before:\n%s", when, k.account, diff)
	}
}

// counts reads them. The check of the outstanding reservation is the first, or repeats that.
func (k *kept) counts(t *testing.T) counts {
	t.Helper()
	d := k.decide(t, "outstanding", httpv1.Allow)
	u := usage(t, k.account)
	hour, day := u.Windows[1], u.Windows[2]
	c := counts{
		InFlight: u.InFlight, Hour: hour.Used, Day: day.Used, Remaining: *day.Remaining,
		ExpiresAt: d.Reservation.ExpiresAt.Time,
	}
	if day.FreeAt != nil {
		c.FreeAt = day.FreeAt.Time
	}
	return c
}

// decide checks with an id; it must be answered with this decision.
func (k *kept) decide(t *testing.T, id, want string) httpv1.CheckResponse {
	t.Helper()
	status, d := call[httpv1.CheckResponse](t, "check", k.account,
		fmt.Sprintf(`{"id":%q,"ttlSeconds":900}`, id))
	if status != 200 || d.Decision != want {
		t.Fatalf("the check %s of %s answered %d %+v, want %s", id, k.account, status, d, want)
	}
	return d
}

// testNothingIsForgotten takes the pod away in all the ways that a cluster does, and some more,
// while dispatchers send.
func testNothingIsForgotten(t *testing.T) {
	l := startLoad(t, "kept-load")
	s := startSenders(t, "kept-senders", 30)
	for i, way := range []struct {
		name string
		take func(t *testing.T)
	}{
		{"a pod is deleted", func(t *testing.T) {
			kubectl(t, "delete", "pod", "-n", namespace, pod(t), "--wait=false")
		}},
		{"a pod is evicted", func(t *testing.T) { evict(t, pod(t)) }},
		{"helm upgrade", func(t *testing.T) {
			helm(t, "HELM4", release(t, "upgrade", "--set", "log.format=text")...)
		}},
		{"the process is killed", func(t *testing.T) { killProcess(t, sluiceProcess) }},
		// Nothing but the lock on the volume makes the new pod wait for the old one.
		{"a pod is deleted by force", func(t *testing.T) {
			kubectl(t, "delete", "pod", "-n", namespace, pod(t), "--force", "--grace-period=0")
		}},
	} {
		k := spend(t, fmt.Sprintf("kept-%d", i))
		way.take(t)
		l.waitFor(i + 2)
		kubectl(t, "rollout", "status", "-n", namespace, "statefulset/sluice", "--timeout=120s")
		s.getThrough()
		s.check()
		k.check(t)
		t.Logf("%s: then the container has restarted %s times", way.name, restarts(t))
		if t.Failed() {
			t.FailNow()
		}
	}
	l.neverTwo()
}

// testWithoutPersistence wants a crash of the container alone to forget nothing, and the claim to
// stay for when it is wanted again.
func testWithoutPersistence(t *testing.T) {
	first := spend(t, "kept-on-the-claim")
	helm(t, "HELM4", release(t, "upgrade", "--set", "persistence.enabled=false")...)
	k := spend(t, "kept-in-the-pod")
	kill(t)
	k.check(t)
	helm(t, "HELM4", release(t, "upgrade")...)
	first.check(t)
}

// restarts is how often the kubelet has started the container anew.
func restarts(t *testing.T) string {
	t.Helper()
	return kubectl(t, "get", "pod", "-n", namespace, pod(t),
		"-o", "jsonpath={.status.containerStatuses[0].restartCount}")
}

// kill kills Sluice, and waits until it is ready again.
func kill(t *testing.T) {
	t.Helper()
	before, name := restarts(t), pod(t)
	killProcess(t, sluiceProcess)
	eventually(t, "the container is ready again", func() error {
		out, err := run(t, "", "kubectl", "get", "pod", "-n", namespace, name, "-o",
			"jsonpath={.status.containerStatuses[0].restartCount} "+
				"{.status.containerStatuses[0].ready}")
		if f := strings.Fields(out); err != nil || len(f) != 2 || f[0] == before || f[1] != "true" {
			return fmt.Errorf("its restarts and readiness are %q, %w", out, err)
		}
		return nil
	})
}
