//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// replica is a process of Sluice as the caller tells of it.
type replica struct {
	Process      string
	Allowed      int
	FirstSent    time.Time
	LastAnswered time.Time
}

// load keeps an account busy, and knows which processes allowed its sends.
type load struct {
	t   *testing.T
	pod string
}

// startLoad checks an account of its own, over connections that stay with a pod that the Service
// has forgotten, too.
func startLoad(t *testing.T, account string) *load {
	t.Helper()
	applyAccount(t, account, "{limits: {}}")
	l := &load{t: t, pod: "load-" + account}
	startPod(t, l.pod, "replicas", api, namespace+"/"+account)
	t.Cleanup(func() {
		_, _ = run(t, "", "kubectl", "delete", "pod", "-n", namespace, l.pod, "--wait=false")
	})
	l.waitFor(1)
	return l
}

// replicas are those that allowed sends so far, in the order in which they began to.
func (l *load) replicas() []replica {
	l.t.Helper()
	return lastLine[[]replica](l.t, l.pod)
}

// waitFor waits until so many processes have allowed sends.
func (l *load) waitFor(n int) {
	l.t.Helper()
	eventually(l.t, fmt.Sprintf("replica %d allows sends", n), func() error {
		if list := l.replicas(); len(list) < n {
			return fmt.Errorf("only these did: %+v", list)
		}
		return nil
	})
}

// neverTwo wants each process to have allowed its last send before the next one allowed its first.
func (l *load) neverTwo() {
	l.t.Helper()
	list := l.replicas()
	for i, this := range list {
		if i == 0 {
			continue
		}
		before := list[i-1]
		between := this.FirstSent.Sub(before.LastAnswered)
		l.t.Logf("%s allowed %d sends; the next replica allowed its first %s after the last of these",
			before.Process, before.Allowed, between.Round(time.Millisecond))
		if between < 0 {
			l.t.Errorf("two replicas allowed sends for %s: %+v and %+v", -between, before, this)
		}
	}
}

// pod is the only pod of the release.
func pod(t *testing.T) string {
	t.Helper()
	pods := strings.Fields(kubectl(t, "get", "pods", "-n", namespace,
		"-l", "app.kubernetes.io/instance=sluice,app.kubernetes.io/name=sluice",
		"-o", "jsonpath={.items[*].metadata.name}"))
	if len(pods) != 1 {
		t.Fatalf("there are the pods %v, want one", pods)
	}
	return pods[0]
}

// evict asks for an eviction, as kubectl drain does.
func evict(t *testing.T, pod string) {
	t.Helper()
	eviction := fmt.Sprintf(
		`{"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": %q}}`, pod)
	path := fmt.Sprintf("/api/v1/namespaces/%s/pods/%s/eviction", namespace, pod)
	must(t, eviction, "kubectl", "create", "--raw", path, "-f", "-")
}

// testOneAtATime takes the pod away in all the ways that a cluster does.
func testOneAtATime(t *testing.T) {
	l := startLoad(t, "one")
	evict(t, pod(t))
	l.waitFor(2)
	kubectl(t, "delete", "pod", "-n", namespace, pod(t), "--wait=false")
	l.waitFor(3)
	kubectl(t, "rollout", "restart", "-n", namespace, "statefulset/sluice")
	l.waitFor(4)
	kubectl(t, "rollout", "status", "-n", namespace, "statefulset/sluice", "--timeout=60s")
	l.neverTwo()
}
