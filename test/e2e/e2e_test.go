//go:build e2e

// Package e2e tests the real image and the real chart on a real cluster: the one that KUBECONFIG
// names. `make e2e` runs it; CONTRIBUTING.md says what it needs.
package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mail/sluice/api/httpv1"
)

// TestEndToEnd is one story on one cluster; each part leaves Sluice running for the next.
func TestEndToEnd(t *testing.T) {
	claims := []string{namespace + "/sluice", moved + "/moved-sluice", "sluice-system/sluice"}
	makeVolumes(t, claims...)
	helm(t, "HELM4", release(t, "install", "--create-namespace")...)
	makeDispatcher(t)
	startPod(t, "caller", "idle")
	for _, part := range []struct {
		name string
		test func(*testing.T)
	}{
		{"samples are accepted and ready", testSamples},
		{"a deferred check is allowed exactly at the returned time", testExact},
		{"check, commit, release and usage over the Service", testCalls},
		{"batches over the Service", testBatches},
		{"the load generator finds nothing granted too much", testBench},
		{"who may call, and what", testWhoMayCall},
		{"an edit moves the limit", testEdit},
		{"suspension denies", testSuspend},
		{"a delete purges and a recreated account starts empty", testRecreate},
		{"apply to enforcement", testLatency},
		{"helm test and helm upgrade", testUpgrade},
		{"over TLS", testTLS},
		{"never two pods that admit: eviction, delete, restart", testOneAtATime},
		{"nothing is forgotten: delete, eviction, upgrade, kill, force", testNothingIsForgotten},
		{"without persistence a killed container forgets nothing", testWithoutPersistence},
		{"a second release is refused", testSecondRelease},
		{"uninstall keeps the definition, the accounts and what was sent", testUninstall},
		{"a release moves", testMove},
		{"Helm 3 installs a Deployment, Helm 4 upgrades it, and rolls it back", testDeploymentBefore},
		{"Helm 3 installs the chart without a journal, Helm 4 upgrades it", testMemoryBefore},
		// After an outage every part of Kubernetes comes back in its own time, so these are late.
		{"decisions go on without the API server", testWithoutAPIServer},
		{"a restart answers 503 until loaded, never 404", testRestart},
		{"kubectl apply -k config/default", testKustomize},
	} {
		if !t.Run(part.name, part.test) {
			logs, _ := run(t, "", "kubectl", "logs", "-n", namespace, "-l", "app.kubernetes.io/name=sluice",
				"--tail=100", "--prefix")
			t.Fatalf("the log of Sluice:\n%s", logs)
		}
	}
	removeDispatcher(t)
	removeVolumes(t, claims...) // not after a failure: then they are worth a look
}

func testSamples(t *testing.T) {
	for _, name := range []string{"marketing", "accounts", "platform"} {
		must(t, "apiVersion: v1\nkind: Namespace\nmetadata: {name: "+name+"}\n",
			"kubectl", "apply", "-f", "-")
	}
	kubectl(t, "apply", "-f", "config/samples/valid")
	kubectl(t, "wait", "mailaccounts", "--all", "-A", "--for=condition=Ready", "--timeout=30s")
	_, err := run(t, "", "kubectl", "apply", "-f", "config/samples/invalid/limit-zero.yaml")
	if err == nil || !strings.Contains(err.Error(), "must be 1 or more") {
		t.Errorf("an invalid sample was answered with %v", err)
	}
	if u := usage(t, "marketing/newsletter"); *u.Windows[0].Limit != 30 {
		t.Errorf("the newsletter's usage is %+v", u)
	}
}

func testExact(t *testing.T) {
	applyAccount(t, "exact", "{limits: {perMinute: 2}}")
	got := strings.Fields(inPod(t, "caller", "exact", api, namespace+"/exact"))
	if strings.Join(got, " ") != "Defer Defer Allow" {
		t.Errorf("at first, 500 ms before the time, and at the time: %v, want Defer Defer Allow", got)
	}
}

func testCalls(t *testing.T) {
	const account = namespace + "/calls"
	applyAccount(t, "calls", "{limits: {perMinute: 10, perHour: 100}}")
	first, second := decide(t, account), decide(t, account)
	if first.Decision != httpv1.Allow || *second.Remaining != 8 {
		t.Fatalf("the checks answered %+v, %+v", first, second)
	}
	commit := fmt.Sprintf(`{"reservation":%q}`, first.Reservation.ID)
	end(t, account, "commit", commit, httpv1.Committed)
	end(t, account, "commit", commit, httpv1.Committed)
	release := fmt.Sprintf(`{"reservation":%q}`, second.Reservation.ID)
	end(t, account, "release", release, httpv1.Released)
	end(t, account, "commit", "", httpv1.Unreserved)
	if u := usage(t, account); u.InFlight != 0 || u.Windows[0].Used != 2 ||
		*u.Windows[1].Remaining != 98 {
		t.Errorf("the usage is %+v", u)
	}
}

func testBatches(t *testing.T) {
	applyAccount(t, "batches", "{limits: {perMinute: 1}}")
	item := func(name, more string) string {
		return fmt.Sprintf(`{"namespace":%q,"name":%q%s}`, namespace, name, more)
	}
	status, checks := call[httpv1.CheckBatchResponse](t, "check", "batch",
		`{"checks":[`+item("batches", `,"id":"first"`)+`,`+item("batches", "")+`,`+
			item("nobody", "")+`]}`)
	if status != 200 || len(checks.Results) != 3 {
		t.Fatalf("the batch answered %d %+v", status, checks)
	}
	for i, want := range []string{httpv1.Allow, httpv1.Defer} {
		if d := checks.Results[i].CheckResponse; d == nil || d.Decision != want {
			t.Errorf("check %d answered %+v, want %s", i, checks.Results[i], want)
		}
	}
	if p := checks.Results[2].Problem; p == nil || p.Status != 404 {
		t.Errorf("the check of an account that does not exist answered %+v", checks.Results[2])
	}
	status, results := call[httpv1.CommitBatchResponse](t, "commit", "batch",
		`{"commits":[`+item("batches", `,"reservation":"first"`)+`]}`)
	if status != 200 || len(results.Results) != 1 || results.Results[0].CommitResponse == nil ||
		results.Results[0].Outcome != httpv1.Committed {
		t.Errorf("the batch of commits answered %d %+v", status, results)
	}
}

// testBench runs the load generator as operations.md says.
func testBench(t *testing.T) {
	url, token := forward(t), tokenFile(t)
	manifests := must(t, "", "go", "run", "./cmd/sluice", "bench", "--print-accounts", "5",
		"--namespace", namespace)
	must(t, manifests, "kubectl", "apply", "-f", "-")
	kubectl(t, "wait", "mailaccounts", "--all", "-n", namespace, "--for=condition=Ready",
		"--timeout=30s")
	for _, batch := range []string{"1", "20"} {
		t.Log(must(t, "", "go", "run", "./cmd/sluice", "bench", "--url", url, "--namespace", namespace,
			"--token-file", token, "--prefix", "bench-",
			"--accounts", "5", "--duration", "3s", "--batch", batch))
	}
}

func testEdit(t *testing.T) {
	const account = namespace + "/edit"
	applyAccount(t, "edit", "{limits: {perMinute: 1}}")
	if d := decide(t, account); d.Decision != httpv1.Allow {
		t.Fatalf("the first check answered %+v", d)
	}
	if d := decide(t, account); d.Decision != httpv1.Defer {
		t.Errorf("over the limit: %+v", d)
	}
	applyAccount(t, "edit", "{limits: {perMinute: 2}}")
	if d := decide(t, account); d.Decision != httpv1.Allow {
		t.Errorf("after raising the limit: %+v", d)
	}
	applyAccount(t, "edit", "{limits: {perMinute: 1}, behavior: Reject}")
	if d := decide(t, account); d.Decision != httpv1.Reject || d.Exhausted[0].InFlight != 2 {
		t.Errorf("after lowering it: %+v", d)
	}
}

func testSuspend(t *testing.T) {
	const account = namespace + "/suspend"
	applyAccount(t, "suspend", "{limits: {}, suspend: true}")
	if d := decide(t, account); d.Decision != httpv1.Defer || d.Reason != httpv1.ReasonSuspended {
		t.Errorf("a suspended account answered %+v", d)
	}
	applyAccount(t, "suspend", "{limits: {}}")
	if d := decide(t, account); d.Decision != httpv1.Allow {
		t.Errorf("a resumed account answered %+v", d)
	}
}

func testRecreate(t *testing.T) {
	const account = namespace + "/recreate"
	applyAccount(t, "recreate", "{limits: {perDay: 1}}")
	decide(t, account)
	end(t, account, "commit", "", httpv1.Committed)
	kubectl(t, "delete", "mailaccount", "-n", namespace, "recreate")
	eventually(t, "the account is gone", func() error {
		status, p := call[httpv1.Problem](t, "check", account, "")
		if status != 404 || p.Type != httpv1.ProblemBase+httpv1.AccountNotFound.Name {
			return fmt.Errorf("answered %d %+v", status, p)
		}
		return nil
	})
	applyAccount(t, "recreate", "{limits: {perDay: 1}}")
	if d := decide(t, account); d.Decision != httpv1.Allow {
		t.Errorf("the recreated account remembers: %+v", d)
	}
}

// watched starts a pod that calls an account ten times a second, and waits until it is answered.
// The function it returns reads how
// often each status was answered.
func watched(t *testing.T, name, verb, url, account string) (statuses func() map[string]int) {
	t.Helper()
	startPod(t, name, "watch", verb, url, account)
	t.Cleanup(func() {
		_, _ = run(t, "", "kubectl", "delete", "pod", "-n", namespace, name, "--wait=false")
	})
	statuses = func() map[string]int {
		seen := map[string]int{}
		for line := range strings.Lines(kubectl(t, "logs", "-n", namespace, name)) {
			if f := strings.Fields(line); len(f) > 1 {
				seen[f[1]]++
			}
		}
		return seen
	}
	eventually(t, name+" is a caller that Sluice knows", func() error {
		if seen := statuses(); seen["200"] == 0 {
			return fmt.Errorf("it was answered %v", seen)
		}
		return nil
	})
	return statuses
}

func testWithoutAPIServer(t *testing.T) {
	applyAccount(t, "outage", "{limits: {perDay: 2000000}}")
	statuses := watched(t, "watch-outage", "check", api, namespace+"/outage")
	fault(t, "APISERVER_DOWN")
	time.Sleep(20 * time.Second) // longer than any lease or deadline of the election
	fault(t, "APISERVER_UP")
	eventually(t, "the API server is back",
		func() error { _, err := run(t, "", "kubectl", "get", "--raw", "/readyz"); return err })
	if seen := statuses(); seen["200"] < 150 || len(seen) != 1 {
		t.Errorf("without the API server the checks answered %v, want 200 alone, ten times a second "+
			"for 20 s", seen)
	}
	n := kubectl(t, "get", "pods", "-n", namespace, "-l", "app.kubernetes.io/name=sluice",
		"-o", "jsonpath={.items[*].status.containerStatuses[*].restartCount}")
	if n != "0" {
		t.Errorf("Sluice restarted %s times", n)
	}
	// The watch of MailAccounts comes back, too.
	applyAccount(t, "outage", "{limits: {perDay: 1}}")
}

func testRestart(t *testing.T) {
	applyAccount(t, "restart", "{limits: {perDay: 2000000}}")
	end(t, namespace+"/restart", "commit", "", httpv1.Unreserved)
	statuses := watched(t, "watch-restart", "usage", api, namespace+"/restart")
	// Without the API server the limits cannot be loaded, and nobody takes the pod out of its Service.
	fault(t, "APISERVER_DOWN")
	killProcess(t, sluiceProcess)
	time.Sleep(5 * time.Second)
	fault(t, "APISERVER_UP")
	eventually(t, "it loads and answers", func() error {
		_, err := run(t, "", "kubectl", "rollout", "status", "-n", namespace, "statefulset/sluice",
			"--timeout=30s")
		if err != nil {
			return err
		}
		status, u := call[httpv1.Usage](t, "usage", namespace+"/restart", "")
		if status != 200 {
			return fmt.Errorf("answered %d %+v", status, u)
		}
		if u.Windows[2].Used != 1 {
			t.Errorf("after the restart one send of the day is not counted: %+v", u)
		}
		return nil
	})
	// Nor is anybody a stranger because the API server is away.
	seen := statuses()
	if seen["404"]+seen["401"]+seen["403"] != 0 || seen["503"] == 0 || seen["200"] == 0 {
		t.Errorf("around the restart the account answered %v, want 200, 503 and no 4xx", seen)
	}
}
