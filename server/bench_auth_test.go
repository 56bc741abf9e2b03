package server_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/sluice-mail/sluice/server"
	"github.com/sluice-mail/sluice/server/kubeauth"
	"github.com/sluice-mail/sluice/test/controlplane"
)

// BenchmarkAuth compares callers with tokens, whom a real API server knows, with callers that
// nobody asks who they are. The tokens are known when it begins. With header=both the reference
// gets tokens, too, and does not look at them: what is left is what is looked up.
func BenchmarkAuth(b *testing.B) {
	const accounts, tokens = 10_000, 1000
	auth := newBenchCluster(b, tokens)
	for _, header := range []string{"subject", "both"} {
		b.Run(fmt.Sprintf("accounts=%d/tokens=%d/header=%s", accounts, tokens, header),
			func(b *testing.B) {
				none := benchSetup{kind: "memory", decision: "allow", accounts: accounts}
				if header == "both" {
					none.env = auth
				}
				compare(b, none, benchSetup{
					kind: "auth", decision: "allow", accounts: accounts, env: auth, warmUp: 4,
				})
			})
	}
}

// newBenchCluster starts an API server that has given out so many tokens, and returns the
// environment that says where it is and what they are.
func newBenchCluster(b *testing.B, tokens int) (env []string) {
	b.Helper()
	cluster := controlplane.Start(b)
	cluster.QPS = -1
	clients, err := kubernetes.NewForConfig(cluster)
	if err != nil {
		b.Fatal(err)
	}
	const accounts = 20
	ctx := context.Background()
	role := &rbacv1.ClusterRole{
		ObjectMeta: metav1.ObjectMeta{Name: "bench-sender"},
		Rules: []rbacv1.PolicyRule{{
			APIGroups: []string{"sluice.dev"}, Resources: []string{"mailaccounts"},
			Verbs: []string{"use"},
		}},
	}
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: role.Name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role.Name},
		Subjects: []rbacv1.Subject{{
			APIGroup: rbacv1.GroupName, Kind: "Group", Name: "system:serviceaccounts:default",
		}},
	}
	_, err = clients.RbacV1().ClusterRoles().Create(ctx, role, metav1.CreateOptions{})
	if err != nil {
		b.Fatal(err)
	}
	_, err = clients.RbacV1().ClusterRoleBindings().Create(ctx, binding, metav1.CreateOptions{})
	if err != nil {
		b.Fatal(err)
	}
	var all []string
	for i := range accounts {
		account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("sender-", i)}}
		of := clients.CoreV1().ServiceAccounts("default")
		if _, err := of.Create(ctx, account, metav1.CreateOptions{}); err != nil {
			b.Fatal(err)
		}
		for range tokens / accounts {
			token, err := of.CreateToken(ctx, account.Name, &authenticationv1.TokenRequest{
				Spec: authenticationv1.TokenRequestSpec{Audiences: []string{"sluice"}},
			}, metav1.CreateOptions{})
			if err != nil {
				b.Fatal(err)
			}
			all = append(all, token.Status.Token)
		}
	}
	dir := b.TempDir()
	file := filepath.Join(dir, "tokens")
	if err := os.WriteFile(file, []byte(strings.Join(all, "\n")), 0o600); err != nil {
		b.Fatal(err)
	}
	kubeconfig := filepath.Join(dir, "kubeconfig")
	if err := writeKubeconfig(cluster, kubeconfig); err != nil {
		b.Fatal(err)
	}
	return []string{"SLUICE_BENCH_TOKENS=" + file, "KUBECONFIG=" + kubeconfig}
}

// writeKubeconfig writes the file that leads to a cluster.
func writeKubeconfig(cluster *rest.Config, path string) error {
	c := clientcmdapi.NewConfig()
	c.Clusters["bench"] = &clientcmdapi.Cluster{
		Server: cluster.Host, CertificateAuthorityData: cluster.CAData,
	}
	c.AuthInfos["bench"] = &clientcmdapi.AuthInfo{
		ClientCertificateData: cluster.CertData, ClientKeyData: cluster.KeyData,
	}
	c.Contexts["bench"] = &clientcmdapi.Context{Cluster: "bench", AuthInfo: "bench"}
	c.CurrentContext = "bench"
	return clientcmd.WriteToFile(*c, path)
}

// benchAuth is what a server of the kind auth asks who calls; nil for the others.
func benchAuth() server.Auth {
	if os.Getenv("SLUICE_BENCH_SERVER") != "auth" {
		return nil
	}
	cluster, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	if err != nil {
		panic(err)
	}
	auth, err := kubeauth.New(kubeauth.Options{
		Config: cluster, Audience: "sluice", Registry: prometheus.NewRegistry(),
	})
	if err != nil {
		panic(err)
	}
	go func() { _ = auth.Start(context.Background()) }()
	return auth
}

// benchTokenHeaders are the headers with tokens, or none.
func benchTokenHeaders() (headers []string) {
	file := os.Getenv("SLUICE_BENCH_TOKENS")
	if file == "" {
		return []string{""}
	}
	text, err := os.ReadFile(file)
	if err != nil {
		panic(err)
	}
	for token := range strings.Lines(string(text)) {
		headers = append(headers, "Authorization: Bearer "+strings.TrimSpace(token)+"\r\n")
	}
	return headers
}
