//go:build e2e

package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mail/sluice/api/httpv1"
	"github.com/sluice-mail/sluice/client/sluice"
)

// testLatency measures from the start of kubectl apply to the first answer about the account. It
// asserts nothing but that there is one: docs/performance.md keeps the numbers.
func testLatency(t *testing.T) {
	client, err := sluice.New(forward(t), sluice.Options{
		Retry: sluice.Retry{MaxAttempts: 1}, TokenFile: tokenFile(t),
	})
	if err != nil {
		t.Fatal(err)
	}
	served := func(name string) error {
		_, err := client.Usage(t.Context(), httpv1.Account{Namespace: namespace, Name: name})
		return err
	}
	const n = 100
	var whole, after []time.Duration
	for i := range n {
		name := fmt.Sprintf("latency-%d", i)
		manifest := fmt.Sprintf("apiVersion: sluice.dev/v1alpha1\nkind: MailAccount\n"+
			"metadata: {name: %s, namespace: %s}\nspec: {limits: {perMinute: 1}}\n", name, namespace)
		start := time.Now()
		must(t, manifest, "kubectl", "apply", "-f", "-")
		applied := time.Now()
		for served(name) != nil {
			if time.Since(applied) > time.Minute {
				t.Fatalf("%s is not served", name)
			}
		}
		whole, after = append(whole, time.Since(start)), append(after, time.Since(applied))
	}
	for what, times := range map[string][]time.Duration{
		"from the start of kubectl apply": whole, "from its return": after,
	} {
		slices.Sort(times)
		t.Logf("%d accounts, apply to enforcement %s: p50 %s, p99 %s, max %s", n, what,
			times[n/2].Round(time.Millisecond), times[n*99/100-1].Round(time.Millisecond),
			times[n-1].Round(time.Millisecond))
	}
}

func testUpgrade(t *testing.T) {
	helm(t, "HELM4", "test", "sluice", "--namespace", namespace, "--timeout", "2m")
	helm(t, "HELM4", release(t, "upgrade", "--set", "log.level=debug")...)
	out := kubectl(t, "get", "statefulset", "-n", namespace, "sluice", "-o", "yaml")
	if !strings.Contains(out, "debug") {
		t.Error("the upgrade changed nothing")
	}
	helm(t, "HELM4", "test", "sluice", "--namespace", namespace, "--timeout", "2m")
}

// testTLS has the chart make a certificate, which the smoke test trusts and the next upgrade keeps.
func testTLS(t *testing.T) {
	encrypted := release(t, "upgrade", "--set", "tls.type=helm")
	certificate := func() string {
		return kubectl(t, "get", "secret", "-n", namespace, "sluice-tls",
			"-o", `jsonpath={.data.tls\.crt}`)
	}
	helm(t, "HELM4", encrypted...)
	helm(t, "HELM4", "test", "sluice", "--namespace", namespace, "--timeout", "2m")
	before := certificate()
	helm(t, "HELM4", append(encrypted, "--set", "log.level=debug")...)
	if after := certificate(); before == "" || after != before {
		t.Errorf("an upgrade changed the certificate from %.100q to %.100q", before, after)
	}
	helm(t, "HELM4", "test", "sluice", "--namespace", namespace, "--timeout", "2m")
	helm(t, "HELM4", release(t, "upgrade")...)
}

// testUninstall wants the accounts and what was sent to be there for a release of the same name.
func testUninstall(t *testing.T) {
	k := spend(t, "kept-uninstalled")
	helm(t, "HELM4", "uninstall", "sluice", "--namespace", namespace, "--wait")
	kubectl(t, "get", "crd", "mailaccounts.sluice.dev")
	kubectl(t, "get", "mailaccount", "-n", "marketing", "newsletter")
	kubectl(t, "get", "pvc", "-n", namespace, "sluice")
	helm(t, "HELM4", release(t, "install")...)
	k.check(t)
	helm(t, "HELM4", "uninstall", "sluice", "--namespace", namespace, "--wait")
}

// testSecondRelease wants a second Sluice to be refused before anything is there of it.
func testSecondRelease(t *testing.T) {
	command := append(strings.Fields(setting(t, "HELM4")),
		releaseOf(t, "charts/sluice", "install", "second", namespace)...)
	_, err := run(t, "", command...)
	want := "there is a Sluice in this cluster already: " +
		"the release sluice in the namespace " + namespace
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Fatalf("a second release was answered with %v, want %q", err, want)
	}
	if out := kubectl(t, "get", "all,pvc", "-n", namespace,
		"-l", "app.kubernetes.io/instance=second", "-o", "name"); out != "" {
		t.Errorf("the release that was refused left %s", out)
	}
}

// testMove gives the release another name and namespace as operations.md says, and takes it back.
func testMove(t *testing.T) {
	install := append(strings.Fields(setting(t, "HELM4")),
		releaseOf(t, "charts/sluice", "install", "moved", moved, "--create-namespace")...)
	_, err := run(t, "", install...)
	want := "belongs to the release sluice in the namespace " + namespace
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Fatalf("with the definition of another release the install was answered with %v, want %q",
			err, want)
	}
	handOver(t, "moved", moved)
	must(t, "", install...)
	helm(t, "HELM4", "test", "moved", "--namespace", moved, "--timeout", "2m")
	kubectl(t, "wait", "mailaccount", "-n", "marketing", "newsletter", "--for=condition=Ready",
		"--timeout=30s")
	helm(t, "HELM4", "uninstall", "moved", "--namespace", moved, "--wait")
	kubectl(t, "delete", "namespace", moved, "--timeout=60s")
	handOver(t, "sluice", namespace)
}

// handOver makes a release the owner of the CustomResourceDefinition.
func handOver(t *testing.T, release, namespace string) {
	t.Helper()
	kubectl(t, "annotate", "crd", "mailaccounts.sluice.dev", "--overwrite",
		"meta.helm.sh/release-name="+release, "meta.helm.sh/release-namespace="+namespace)
}

// testKustomize installs the manifests without Helm, and takes everything away at the end.
func testKustomize(t *testing.T) {
	helm(t, "HELM4", "uninstall", "sluice", "--namespace", namespace, "--wait")
	kubectl(t, "delete", "crd", "mailaccounts.sluice.dev") // it belongs to the release that is gone
	kubectl(t, "apply", "-k", "config/default")
	kubectl(t, "set", "image", "-n", "sluice-system", "statefulset/sluice",
		"sluice="+setting(t, "IMAGE"))
	kubectl(t, "rollout", "status", "-n", "sluice-system", "statefulset/sluice", "--timeout=120s")
	applyAccount(t, "kustomize", "{limits: {perMinute: 1}}")
	const url = "http://sluice.sluice-system.svc.cluster.local.:8080"
	// kube-proxy hears of the new Service in its own time, and refuses connections to it until then.
	eventually(t, "the check through the new Service", func() error {
		out, err := run(t, "", "kubectl", "exec", "-n", namespace, "caller", "--",
			"/caller", "check", url, namespace+"/kustomize")
		if err == nil && !strings.HasPrefix(out, `200 {"decision":"Allow"`) {
			err = fmt.Errorf("answered %s", out)
		}
		return err
	})
	kubectl(t, "delete", "-k", "config/default", "--timeout=180s")
	kubectl(t, "delete", "namespace", namespace, "marketing", "accounts", "platform", "--timeout=180s")
}
