//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// dispatcher is the ServiceAccount of most callers. It may use and see every account.
const dispatcher = "dispatcher"

// makeDispatcher makes it, once its namespace is there.
func makeDispatcher(t *testing.T) {
	t.Helper()
	must(t, fmt.Sprintf(`
apiVersion: v1
kind: ServiceAccount
metadata: {name: %[1]s, namespace: %[2]s}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: %[2]s-sender}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: sluice-sender}
subjects: [{kind: ServiceAccount, name: %[1]s, namespace: %[2]s}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: %[2]s-viewer}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: sluice-viewer}
subjects: [{kind: ServiceAccount, name: %[1]s, namespace: %[2]s}]
`, dispatcher, namespace), "kubectl", "apply", "-f", "-")
}

// removeDispatcher takes away what is not in its namespace.
func removeDispatcher(t *testing.T) {
	t.Helper()
	kubectl(t, "delete", "clusterrolebinding", namespace+"-sender", namespace+"-viewer")
}

// tokenFile is a file with a token of the dispatcher, for callers outside of the cluster.
func tokenFile(t *testing.T) string {
	t.Helper()
	token := kubectl(t, "create", "token", dispatcher, "-n", namespace, "--audience", "sluice")
	path := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(path, []byte(token), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// startPod runs the caller in a pod of the restricted kind, as the dispatcher.
func startPod(t *testing.T, name string, args ...string) {
	t.Helper()
	startPodAs(t, name, dispatcher, "sluice", args...)
}

// startPodAs runs the caller as a ServiceAccount, with a token for an audience.
func startPodAs(t *testing.T, name, serviceAccount, audience string, args ...string) {
	t.Helper()
	quoted, err := json.Marshal(args)
	if err != nil {
		t.Fatal(err)
	}
	must(t, fmt.Sprintf(`
apiVersion: v1
kind: Pod
metadata: {name: %s, namespace: %s}
spec:
  restartPolicy: Never
  serviceAccountName: %s
  automountServiceAccountToken: false
  terminationGracePeriodSeconds: 1
  securityContext: {runAsNonRoot: true, runAsUser: 65532, seccompProfile: {type: RuntimeDefault}}
  containers:
  - name: caller
    image: %s
    imagePullPolicy: IfNotPresent
    args: %s
    securityContext:
      allowPrivilegeEscalation: false
      readOnlyRootFilesystem: true
      capabilities: {drop: [ALL]}
    volumeMounts: [{name: token, mountPath: /var/run/secrets/sluice}]
  volumes:
  - name: token
    projected:
      sources:
      - serviceAccountToken: {audience: %s, path: token, expirationSeconds: 3600}
`, name, namespace, serviceAccount, setting(t, "CALLER_IMAGE"), quoted, audience),
		"kubectl", "apply", "-f", "-")
	kubectl(t, "wait", "-n", namespace, "pod/"+name, "--for=condition=Ready", "--timeout=60s")
}

// inPod runs the caller in its pod.
func inPod(t *testing.T, pod string, args ...string) string {
	t.Helper()
	return kubectl(t, append([]string{"exec", "-n", namespace, pod, "--", "/caller"}, args...)...)
}
