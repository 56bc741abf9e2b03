//go:build e2e

package e2e

import (
	"strings"
	"testing"
)

// The chart as it was before: when Sluice was a Deployment (commit 4b42f6a), and when it remembered
// in memory alone (commit bb3c3f8).
const (
	deploymentChart = "test/e2e/testdata/sluice-deployment.tgz"
	memoryChart     = "test/e2e/testdata/sluice-memory.tgz"
)

// asBefore has the program of today be as it was then, when it asked nobody who calls.
var asBefore = []string{"--set", "extraEnv.SLUICE_AUTH=none"}

// testDeploymentBefore upgrades the one to this chart, and back. The claim of the release that was
// uninstalled is still there, and is taken up.
func testDeploymentBefore(t *testing.T) {
	helm(t, "HELM3", releaseOf(t, deploymentChart, "install", "sluice", namespace, asBefore...)...)
	kubectl(t, "get", "deployment", "-n", namespace, "sluice")
	l := startLoad(t, "before")
	upgradeToAuth(t)
	l.waitFor(2)
	if out := kubectl(t, "get", "deployments", "-n", namespace, "-o", "name"); out != "" {
		t.Errorf("the upgrade left %s", out)
	}
	kubectl(t, "get", "statefulset", "-n", namespace, "sluice")
	rollback(t)
	l.waitFor(3)
	kubectl(t, "get", "deployment", "-n", namespace, "sluice")
	upgradeToAuth(t)
	l.waitFor(4)
	l.neverTwo()
}

// testMemoryBefore upgrades the other with its default values, in a namespace without a claim, and
// back.
func testMemoryBefore(t *testing.T) {
	helm(t, "HELM4", "uninstall", "sluice", "--namespace", namespace, "--wait")
	kubectl(t, "delete", "pvc", "-n", namespace, "sluice", "--timeout=60s")
	makeVolumes(t, namespace+"/sluice")

	helm(t, "HELM3", releaseOf(t, memoryChart, "install", "sluice", namespace, asBefore...)...)
	if out := kubectl(t, "get", "pvc", "-n", namespace, "-o", "name"); out != "" {
		t.Fatalf("the chart before made %s", out)
	}
	l := startLoad(t, "memory-before")
	upgradeToAuth(t)
	l.waitFor(2)
	kept := spend(t, "kept-memory-before")
	kill(t)
	l.waitFor(3)
	kept.check(t)

	rollback(t)
	l.waitFor(4)
	upgradeToAuth(t)
	l.waitFor(5)
	kept.check(t)
	l.neverTwo()
}

// rollback takes the release back to its first revision.
func rollback(t *testing.T) {
	t.Helper()
	helm(t, "HELM4", "rollback", "sluice", "1", "--namespace", namespace,
		"--wait", "--timeout", "2m")
}

// upgradeToAuth upgrades a release that asked nobody who calls. That is refused until somebody has
// said that the callers have tokens.
func upgradeToAuth(t *testing.T) {
	t.Helper()
	upgrade := append(strings.Fields(setting(t, "HELM4")), release(t, "upgrade")...)
	if _, err := run(t, "", upgrade...); err == nil ||
		!strings.Contains(err.Error(), "--set auth.type=kubernetes") ||
		!strings.Contains(err.Error(), "--set auth.type=none") {
		t.Fatalf("an upgrade from a release without auth was answered with %v, want the choice", err)
	}
	helm(t, "HELM4", release(t, "upgrade", "--set", "auth.type=kubernetes")...)
}
