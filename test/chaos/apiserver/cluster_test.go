//go:build chaos

package apiserver

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

const namespace = "sluice-chaos"

var (
	admin      *rest.Config // reaches the cluster, whatever the network of a process does
	prometheus string       // a token that may read metrics
)

// outage is how long the API server is away: longer than answers of it are fresh, or with -short
// longer than any lease or deadline.
func outage() time.Duration {
	if testing.Short() {
		return 25 * time.Second
	}
	return 10 * time.Minute
}

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	if err != nil || os.Getenv("KUBECONFIG") == "" {
		fmt.Fprintln(os.Stderr, "KUBECONFIG must name a cluster that may be broken:", err)
		return 1
	}
	admin = config
	const files = "config/crd/sluice.dev_mailaccounts.yaml,config/rbac/sender_role.yaml," +
		"config/rbac/metrics_reader_role.yaml"
	defer func() {
		_, _ = commandWith(manifests, "kubectl", "delete", "-f", "-", "--timeout=60s")
		_, _ = command("kubectl", "delete", "-f", files, "--timeout=60s")
	}()
	if _, err := command("kubectl", "apply", "-f", files); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if _, err := commandWith(manifests, "kubectl", "apply", "-f", "-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if prometheus, err = newToken(context.Background(), "prometheus", ""); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// manifests are who calls: sender may use all accounts of the namespace, named only the account
// "known", prometheus reads metrics.
const manifests = `
apiVersion: v1
kind: Namespace
metadata: {name: sluice-chaos}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: sender, namespace: sluice-chaos}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: revoked, namespace: sluice-chaos}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: prometheus, namespace: sluice-chaos}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: sender, namespace: sluice-chaos}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: sluice-sender}
subjects:
- {kind: ServiceAccount, name: sender, namespace: sluice-chaos}
- {kind: ServiceAccount, name: revoked, namespace: sluice-chaos}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: sluice-chaos-metrics}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: sluice-metrics-reader}
subjects: [{kind: ServiceAccount, name: prometheus, namespace: sluice-chaos}]
`

// command runs a command at the root of the repository, and returns what it printed.
func command(args ...string) (string, error) { return commandWith("", args...) }

func commandWith(stdin string, args ...string) (string, error) {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir = filepath.Join("..", "..", "..")
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("%s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return string(out), nil
}

func kubectl(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	out, err := commandWith(stdin, append([]string{"kubectl"}, args...)...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// newToken is a token of a ServiceAccount of the namespace.
func newToken(ctx context.Context, account, audience string) (string, error) {
	clients, err := kubernetes.NewForConfig(admin)
	if err != nil {
		return "", err
	}
	request := &authenticationv1.TokenRequest{}
	if audience != "" {
		request.Spec.Audiences = []string{audience}
	}
	got, err := clients.CoreV1().ServiceAccounts(namespace).
		CreateToken(ctx, account, request, metav1.CreateOptions{})
	if err != nil {
		return "", err
	}
	return got.Status.Token, nil
}

// token is a token for Sluice.
func token(t *testing.T, account string) string {
	t.Helper()
	token, err := newToken(t.Context(), account, "sluice")
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// applyAccount creates or changes an account. It does not wait for anybody to notice.
func applyAccount(t *testing.T, name, spec string) {
	t.Helper()
	kubectl(t, fmt.Sprintf("apiVersion: sluice.dev/v1alpha1\nkind: MailAccount\n"+
		"metadata: {name: %s, namespace: %s}\nspec: %s\n", name, namespace, spec), "apply", "-f", "-")
}

// fault runs the command of a setting such as APISERVER_DOWN.
func fault(t *testing.T, name string) {
	t.Helper()
	script := os.Getenv(name)
	if script == "" {
		t.Fatalf("%s is not set; see CONTRIBUTING.md for what the chaos tests need", name)
	}
	if _, err := command("sh", "-c", script); err != nil {
		t.Fatal(err)
	}
}

// mend ends a fault, and waits until the API server answers.
func mend(t *testing.T, name string) {
	t.Helper()
	fault(t, name)
	deadline := time.Now().Add(2 * time.Minute)
	for {
		out, err := command("kubectl", "get", "--raw", "/readyz", "--request-timeout=5s")
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the API server is not back: %v %s", err, out)
		}
		time.Sleep(time.Second)
	}
}
