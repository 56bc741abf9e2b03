package controlplane

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// senders is how many ServiceAccounts have the tokens that Senders returns.
const senders = 20

// Senders starts a control plane, until the test or benchmark ends, whose ServiceAccounts may use
// all MailAccounts. It returns so many tokens of them for the audience sluice, and a kubeconfig.
func Senders(t testing.TB, tokens int) (all []string, kubeconfig string) {
	t.Helper()
	cluster := Start(t)
	cluster.QPS = -1
	clients, err := kubernetes.NewForConfig(cluster)
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	if err := letAllSend(ctx, clients); err != nil {
		t.Fatal(err)
	}
	accounts := clients.CoreV1().ServiceAccounts("default")
	for i := range senders {
		account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{
			Name: fmt.Sprint("sender-", i),
		}}
		if _, err := accounts.Create(ctx, account, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		for range tokens / senders {
			token, err := accounts.CreateToken(ctx, account.Name, &authenticationv1.TokenRequest{
				Spec: authenticationv1.TokenRequestSpec{Audiences: []string{"sluice"}},
			}, metav1.CreateOptions{})
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, token.Status.Token)
		}
	}
	kubeconfig = filepath.Join(t.TempDir(), "kubeconfig")
	if err := writeKubeconfig(cluster, kubeconfig); err != nil {
		t.Fatal(err)
	}
	return all, kubeconfig
}

// letAllSend gives all ServiceAccounts of the namespace default the right to use all MailAccounts.
func letAllSend(ctx context.Context, clients kubernetes.Interface) error {
	meta := metav1.ObjectMeta{Name: "sender"}
	role := &rbacv1.ClusterRole{ObjectMeta: meta, Rules: []rbacv1.PolicyRule{{
		APIGroups: []string{"sluice.dev"}, Resources: []string{"mailaccounts"},
		Verbs: []string{"use"},
	}}}
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: meta,
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role.Name},
		Subjects: []rbacv1.Subject{{
			APIGroup: rbacv1.GroupName, Kind: "Group", Name: "system:serviceaccounts:default",
		}},
	}
	of := clients.RbacV1()
	if _, err := of.ClusterRoles().Create(ctx, role, metav1.CreateOptions{}); err != nil {
		return err
	}
	_, err := of.ClusterRoleBindings().Create(ctx, binding, metav1.CreateOptions{})
	return err
}

// writeKubeconfig writes the file that leads to a control plane, as its administrator.
func writeKubeconfig(cluster *rest.Config, path string) error {
	const name = "test"
	c := clientcmdapi.NewConfig()
	c.Clusters[name] = &clientcmdapi.Cluster{
		Server: cluster.Host, CertificateAuthorityData: cluster.CAData,
	}
	c.AuthInfos[name] = &clientcmdapi.AuthInfo{
		ClientCertificateData: cluster.CertData, ClientKeyData: cluster.KeyData,
	}
	c.Contexts[name] = &clientcmdapi.Context{Cluster: name, AuthInfo: name}
	c.CurrentContext = name
	return clientcmd.WriteToFile(*c, path)
}

// FromFile returns how to reach the control plane that a kubeconfig leads to.
func FromFile(kubeconfig string) (*rest.Config, error) {
	return clientcmd.BuildConfigFromFlags("", kubeconfig)
}
