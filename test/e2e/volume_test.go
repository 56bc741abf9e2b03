//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// volumes is where the volumes are on the node.
const volumes = "/var/lib/sluice-e2e"

// makeVolumes makes an empty PersistentVolume for each claim, which is called NAMESPACE/NAME and
// need not be there yet: the cluster may have no provisioner.
func makeVolumes(t *testing.T, claims ...string) {
	t.Helper()
	deleteVolumes(t, claims)
	asRoot(t, "give", claims)
	for _, claim := range claims {
		namespace, name, _ := strings.Cut(claim, "/")
		must(t, fmt.Sprintf(`
apiVersion: v1
kind: PersistentVolume
metadata: {name: %[1]s}
spec:
  capacity: {storage: 2Gi}
  accessModes: [ReadWriteOnce]
  persistentVolumeReclaimPolicy: Retain
  hostPath: {path: %[2]s/%[1]s, type: DirectoryOrCreate}
  claimRef: {namespace: %[3]s, name: %[4]s}
`, volume(claim), volumes, namespace, name), "kubectl", "apply", "-f", "-")
	}
}

// removeVolumes takes them away, with what is on them. They must not be in use.
func removeVolumes(t *testing.T, claims ...string) {
	t.Helper()
	deleteVolumes(t, claims)
	asRoot(t, "remove", claims)
}

func deleteVolumes(t *testing.T, claims []string) {
	t.Helper()
	for _, claim := range claims {
		kubectl(t, "delete", "pv", volume(claim), "--ignore-not-found", "--timeout=60s")
	}
}

// volume is the name of a claim's volume, and of its folder.
func volume(claim string) string { return strings.ReplaceAll(claim, "/", "-") }

// asRoot has the caller give or remove the folders of volumes. Kubernetes does not change who owns
// a hostPath, whatever fsGroup says. The pod is in a namespace that is there before the first
// install, which is to make its own.
func asRoot(t *testing.T, verb string, claims []string) {
	t.Helper()
	args := []string{verb}
	for _, claim := range claims {
		args = append(args, "/volumes/"+volume(claim))
	}
	quoted, err := json.Marshal(args)
	if err != nil {
		t.Fatal(err)
	}
	const pod = "sluice-e2e-volumes"
	kubectl(t, "delete", "pod", "-n", "default", pod, "--ignore-not-found", "--timeout=60s")
	must(t, fmt.Sprintf(`
apiVersion: v1
kind: Pod
metadata: {name: %s, namespace: default}
spec:
  restartPolicy: Never
  automountServiceAccountToken: false
  containers:
  - name: caller
    image: %s
    imagePullPolicy: IfNotPresent
    args: %s
    securityContext: {runAsUser: 0, runAsGroup: 0}
    volumeMounts:
    - {name: volumes, mountPath: /volumes}
  volumes:
  - name: volumes
    hostPath: {path: %s, type: DirectoryOrCreate}
`, pod, setting(t, "CALLER_IMAGE"), quoted, volumes), "kubectl", "apply", "-f", "-")
	_, err = run(t, "", "kubectl", "wait", "-n", "default", "pod/"+pod,
		"--for=jsonpath={.status.phase}=Succeeded", "--timeout=60s")
	logs, _ := run(t, "", "kubectl", "logs", "-n", "default", pod)
	kubectl(t, "delete", "pod", "-n", "default", pod, "--timeout=60s")
	if err != nil {
		t.Fatalf("%s of volumes: %v\n%s", verb, err, logs)
	}
}
