//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mail/sluice/api/httpv1"
)

// sharedValues are those of a Sluice of three replicas on the Redis of startRedis.
var sharedValues = []string{
	"--set", "store.type=redis", "--set", "replicaCount=3",
	"--set", "redis.host=redis." + namespace + ".svc", "--set", "redis.username=sluice",
	"--set", "redis.existingSecret=redis-users", "--set", "redis.existingSecretPasswordKey=sluice",
	"--set", "log.level=debug", // it says how much each replica purges
}

// shared are two accounts on the shared store. One is always full, so that whatever is forgotten of
// it lets mails through that must not leave. Of the other, mails leave all the time.
type shared struct{ full, steady *senders }

// TestSharedStore is one story of many replicas that share a Redis, while dispatchers send.
func TestSharedStore(t *testing.T) {
	makeVolumes(t, redisClaim)
	kubectl(t, "create", "namespace", namespace)
	startRedis(t)
	helm(t, "HELM4", release(t, "install", "--set", "persistence.enabled=false")...)
	makeDispatcher(t)
	startPod(t, "caller", "idle")
	if !t.Run("from one pod with a journal to three with Redis", testFromJournal) {
		sharedLogs(t)
		t.FailNow()
	}
	s := shared{
		full:   startSenders(t, "shared-full", 30),
		steady: startSlowSenders(t, "shared-steady", 600, 700*time.Millisecond),
	}
	for _, part := range []struct {
		name string
		test func(*testing.T)
	}{
		{"a rolling restart", s.testRollingRestart},
		{"three replicas become five, and two", s.testScaling},
		{"a replica is killed", s.testReplicaKilled},
		{"Redis is killed", s.testRedisKilled},
		{"Redis is away", s.testRedisAway},
		{"each mail is counted once", s.testCounts},
		{"a delete purges once, and a recreated account starts empty", testPurgeOnce},
		{"Redis is emptied", testRedisEmptied},
	} {
		if !t.Run(part.name, part.test) {
			sharedLogs(t)
			t.FailNow()
		}
	}
	helm(t, "HELM4", "uninstall", "sluice", "--namespace", namespace, "--wait")
	kubectl(t, "delete", "crd", "mailaccounts.sluice.dev", "--timeout=60s")
	kubectl(t, "delete", "namespace", namespace, "--timeout=180s")
	removeDispatcher(t)
	removeVolumes(t, redisClaim)
}

func sharedLogs(t *testing.T) {
	t.Helper()
	for _, of := range []string{"app.kubernetes.io/name=sluice", "app=redis"} {
		logs, _ := run(t, "", "kubectl", "logs", "-n", namespace, "-l", of, "--tail=60", "--prefix")
		t.Logf("the log of %s:\n%s", of, logs)
	}
}

// check wants each dispatcher to get through, and no mail too much.
func (s shared) check(t *testing.T) {
	t.Helper()
	for _, senders := range []*senders{s.full, s.steady} {
		senders.getThrough()
		senders.check()
	}
	s.failNow(t)
}

// failNow ends a part of the test if the senders, which belong to the whole, have failed.
func (s shared) failNow(t *testing.T) {
	t.Helper()
	if s.full.t.Failed() {
		t.FailNow()
	}
}

// sluicePods are the pods of the release that are not about to end.
func sluicePods(t *testing.T) (names, addresses []string) {
	t.Helper()
	out := kubectl(t, "get", "pods", "-n", namespace,
		"-l", "app.kubernetes.io/instance=sluice,app.kubernetes.io/name=sluice",
		"-o", `go-template={{range .items}}{{if and .status.podIP (not .metadata.deletionTimestamp)}}`+
			`{{.metadata.name}} {{.status.podIP}} {{end}}{{end}}`)
	fields := strings.Fields(out)
	for i := 0; i+1 < len(fields); i += 2 {
		names = append(names, fields[i])
		addresses = append(addresses, "http://"+fields[i+1]+":8080")
	}
	return names, addresses
}

// rolledOut waits until all replicas are there and ready.
func rolledOut(t *testing.T) {
	t.Helper()
	kubectl(t, "rollout", "status", "-n", namespace, "deployment/sluice", "--timeout=60s")
}

// testFromJournal upgrades a release of one pod. That has to be gone before another one allows
// anything, as they share nothing. Then all three do.
func testFromJournal(t *testing.T) {
	l := startLoad(t, "shared-load")
	helm(t, "HELM4", release(t, "upgrade", sharedValues...)...)
	l.waitFor(4)
	list := l.replicas()
	if between := list[1].FirstSent.Sub(list[0].LastAnswered); between < 0 {
		t.Errorf("for %s both allowed sends: %+v and %+v", -between, list[0], list[1])
	}
}

func (s shared) testRollingRestart(t *testing.T) {
	before, _ := sluicePods(t)
	kubectl(t, "rollout", "restart", "-n", namespace, "deployment/sluice")
	rolledOut(t)
	s.check(t)
	after, _ := sluicePods(t)
	if len(after) != 3 || after[0] == before[0] {
		t.Errorf("the rolling restart made %v of %v", after, before)
	}
}

func (s shared) testScaling(t *testing.T) {
	for _, n := range []string{"5", "2", "3"} {
		kubectl(t, "scale", "-n", namespace, "deployment/sluice", "--replicas", n)
		rolledOut(t)
		s.check(t)
	}
}

func (s shared) testReplicaKilled(t *testing.T) {
	killProcess(t, sluiceProcess, "--oldest")
	within(t, 30*time.Second, "a container has restarted", func() error {
		if n := sharedRestarts(t); n != 1 {
			return fmt.Errorf("%d have", n)
		}
		return nil
	})
	rolledOut(t)
	s.check(t)
}

// sharedRestarts is how often the kubelet has started containers of Sluice anew.
func sharedRestarts(t *testing.T) (sum int) {
	t.Helper()
	out := kubectl(t, "get", "pods", "-n", namespace, "-l", "app.kubernetes.io/name=sluice",
		"-o", "jsonpath={.items[*].status.containerStatuses[*].restartCount}")
	for field := range strings.FieldsSeq(out) {
		var n int
		if _, err := fmt.Sscan(field, &n); err != nil {
			t.Fatal(err)
		}
		sum += n
	}
	return sum
}

func (s shared) testRedisKilled(t *testing.T) {
	before := sharedRestarts(t)
	killProcess(t, redisProcess)
	within(t, 60*time.Second, "Redis is back", func() error {
		out, err := run(t, "", "kubectl", "get", "pod", "-n", namespace, "redis-0", "-o",
			"jsonpath={.status.containerStatuses[0].restartCount} {.status.containerStatuses[0].ready}")
		if err != nil || out != "1 true" {
			return fmt.Errorf("its restarts and readiness are %q, %w", out, err)
		}
		return nil
	})
	rolledOut(t)
	s.check(t)
	if n := sharedRestarts(t); n != before {
		t.Errorf("%d containers of Sluice restarted, too", n-before)
	}
}

func (s shared) testRedisAway(t *testing.T) {
	const account = namespace + "/shared-away"
	applyAccount(t, "shared-away", "{limits: {perDay: 1000000}}")
	_, pods := sluicePods(t)
	statuses := watched(t, "watch-away", "check", pods[0], account) // its Service has no pod meanwhile
	before := sharedRestarts(t)

	kubectl(t, "scale", "-n", namespace, "statefulset/redis", "--replicas", "0")
	kubectl(t, "wait", "-n", namespace, "pod/redis-0", "--for=delete", "--timeout=60s")
	kubectl(t, "wait", "pods", "-n", namespace, "-l", "app.kubernetes.io/name=sluice",
		"--for=condition=Ready=false", "--timeout=30s")
	for _, pod := range pods {
		wantUnavailable(t, pod, account)
	}
	kubectl(t, "scale", "-n", namespace, "statefulset/redis", "--replicas", "1")
	waitForRedis(t)
	rolledOut(t)
	s.check(t)

	if n := sharedRestarts(t); n != before {
		t.Errorf("%d containers of Sluice restarted", n-before)
	}
	seen := statuses()
	if seen["200"] == 0 || seen["503"] == 0 || len(seen) != 2 {
		t.Errorf("while Redis was away a pod answered %v, want 200 and 503 alone", seen)
	}
	t.Logf("around the time without Redis a pod answered, ten times a second, %v", seen)
}

// wantUnavailable wants a pod to answer that it cannot know.
func wantUnavailable(t *testing.T, pod, account string) {
	t.Helper()
	status, p := callAt[httpv1.Problem](t, pod, "check", account, "")
	if status != 503 || p.Type != httpv1.ProblemBase+httpv1.StoreUnavailable.Name {
		t.Fatalf("without what was sent, the check of %s at %s was answered with %d %+v",
			account, pod, status, p)
	}
}

func (s shared) testCounts(t *testing.T) {
	s.full.stop()
	s.steady.stop()
	s.failNow(t)
}

// testPurgeOnce wants one replica to have purged what there was, and the others nothing.
func testPurgeOnce(t *testing.T) {
	const name, account = "shared-purge", namespace + "/shared-purge"
	applyAccount(t, name, "{limits: {perDay: 2}}")
	for range 2 {
		end(t, account, "commit", "", httpv1.Unreserved)
	}
	if d := decide(t, account); d.Decision != httpv1.Defer {
		t.Fatalf("over the limit: %+v", d)
	}
	names, pods := sluicePods(t)
	kubectl(t, "delete", "mailaccount", "-n", namespace, name)
	for _, pod := range pods {
		within(t, 20*time.Second, "each replica has purged the account", func() error {
			if status, p := callAt[httpv1.Problem](t, pod, "check", account, ""); status != 404 {
				return fmt.Errorf("the check at %s was answered with %d %+v", pod, status, p)
			}
			return nil
		})
	}
	wantOnePurge(t, names, name)
	applyAccount(t, name, "{limits: {perDay: 2}}")
	for i, want := range []string{httpv1.Allow, httpv1.Allow, httpv1.Defer} {
		within(t, 20*time.Second, "each replica knows the account", func() error {
			status, d := callAt[httpv1.CheckResponse](t, pods[i], "check", account,
				fmt.Sprintf(`{"id":"purged-%d"}`, i))
			if status != 200 {
				return fmt.Errorf("the check at %s was answered with %d", pods[i], status)
			}
			if d.Decision != want {
				t.Fatalf("check %d of the recreated account, at %s, was answered with %+v, want %s",
					i, pods[i], d, want)
			}
			return nil
		})
	}
}

// wantOnePurge wants each replica to log a purge of the account, and one of them to have found
// something.
func wantOnePurge(t *testing.T, pods []string, account string) {
	t.Helper()
	var purges, found int
	for _, pod := range pods {
		for line := range strings.Lines(kubectl(t, "logs", "-n", namespace, pod)) {
			if !strings.Contains(line, `"account purged"`) || !strings.Contains(line, account) {
				continue
			}
			purges++
			if !strings.Contains(line, `"entries":0}`) {
				found++
			}
		}
	}
	if purges != len(pods) || found != 1 {
		t.Errorf("%d replicas purged %s, and %d found something, want %d and 1",
			purges, account, found, len(pods))
	}
}

func testRedisEmptied(t *testing.T) {
	const account = namespace + "/shared-emptied"
	applyAccount(t, "shared-emptied", "{limits: {perDay: 1}}")
	end(t, account, "commit", "", httpv1.Unreserved)
	epoch := keptEpoch(t)
	names, pods := sluicePods(t)
	redisCLI(t, "FLUSHALL")
	for _, pod := range pods {
		within(t, 20*time.Second, "the loss is noticed", func() error {
			status, d := callAt[httpv1.CheckResponse](t, pod, "check", account, "")
			if d.Decision == httpv1.Allow {
				t.Fatalf("what was sent is gone, and %s answered %+v", pod, d)
			}
			if status != 503 {
				return fmt.Errorf("answered %d %+v", status, d)
			}
			return nil
		})
	}
	kubectl(t, "wait", "pods", "-n", namespace, "-l", "app.kubernetes.io/name=sluice",
		"--for=condition=Ready=false", "--timeout=30s")
	within(t, 30*time.Second, "an event tells of the loss", func() error {
		notes := kubectl(t, "get", "events", "-n", namespace, "--field-selector", "reason=StoreLost",
			"-o", "jsonpath={.items[*].message}")
		if !strings.Contains(notes, "accept-loss "+epoch) {
			return fmt.Errorf("the events say %q, want the epoch %s", notes, epoch)
		}
		return nil
	})

	// A new pod knows by the ConfigMap alone.
	kubectl(t, "delete", "pod", "-n", namespace, names[0], "--wait=false")
	within(t, 60*time.Second, "a new pod notices", func() error {
		now, pods := sluicePods(t)
		for i, name := range now {
			if strings.Contains(strings.Join(names, " "), name) {
				continue
			}
			logs, err := run(t, "", "kubectl", "logs", "-n", namespace, name)
			if err != nil || !strings.Contains(logs, "accept-loss "+epoch) {
				return fmt.Errorf("%s logs %q, %w", name, logs, err)
			}
			wantUnavailable(t, pods[i], account)
			return nil
		}
		return fmt.Errorf("there are only %v", now)
	})
	_, pods = sluicePods(t)
	for _, pod := range pods {
		wantUnavailable(t, pod, account)
	}

	t.Log(kubectl(t, "exec", "-n", namespace, "deployment/sluice", "--",
		"/sluice", "redis", "status"))
	t.Log(kubectl(t, "exec", "-n", namespace, "deployment/sluice", "--",
		"/sluice", "redis", "accept-loss", epoch))
	rolledOut(t)
	// A replica may tell the store anew what it did last, and answers 503 meanwhile.
	within(t, 30*time.Second, "it goes on", func() error {
		status, d := call[httpv1.CheckResponse](t, "check", namespace+"/shared-away", "")
		if status != 200 || d.Decision != httpv1.Allow {
			return fmt.Errorf("answered %d %+v", status, d)
		}
		return nil
	})
	if now := keptEpoch(t); now == epoch || now == "" {
		t.Errorf("the ConfigMap has the epoch %q, and before the loss %q", now, epoch)
	}
}

// keptEpoch is the epoch that new pods want to find.
func keptEpoch(t *testing.T) string {
	t.Helper()
	return kubectl(t, "get", "configmap", "-n", namespace, "sluice-redis-epoch",
		"-o", "jsonpath={.data.epoch}")
}
