package main

import (
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-mail/sluice/api/v1alpha1"
	"github.com/sluice-mail/sluice/test/controlplane"
)

// newCaller makes a ServiceAccount that may use one account of the namespace default, and returns a
// token of it for an audience.
func newCaller(t *testing.T, name, account, audience string) string {
	t.Helper()
	c := controlplane.Client(t)
	meta := metav1.ObjectMeta{Namespace: "default", Name: name}
	for _, object := range []client.Object{
		&corev1.ServiceAccount{ObjectMeta: meta},
		&rbacv1.Role{ObjectMeta: meta, Rules: []rbacv1.PolicyRule{{
			APIGroups: []string{v1alpha1.SchemeGroupVersion.Group}, Resources: []string{"mailaccounts"},
			ResourceNames: []string{account}, Verbs: []string{"use", "get"},
		}}},
		&rbacv1.RoleBinding{
			ObjectMeta: meta,
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: name},
			Subjects:   []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: "default", Name: name}},
		},
	} {
		if err := c.Create(t.Context(), object); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Delete(context.Background(), object) })
	}
	clients, err := kubernetes.NewForConfig(controlplane.Config)
	if err != nil {
		t.Fatal(err)
	}
	token, err := clients.CoreV1().ServiceAccounts("default").CreateToken(t.Context(), name,
		&authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{
			Audiences: []string{audience},
		}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return token.Status.Token
}

// callAs makes a call with a token, and returns the status and the body.
func (p *program) callAs(token, method, path string) (status int, body string) {
	p.t.Helper()
	r, err := http.NewRequest(method, "http://"+p.api+path, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// TestCallersInACluster asks a Sluice as it runs by default, and with callers as RBAC knows them.
func TestCallersInACluster(t *testing.T) {
	account := &v1alpha1.MailAccount{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "called"},
		Spec:       v1alpha1.MailAccountSpec{Limits: &v1alpha1.Limits{PerMinute: new(int32(2))}},
	}
	if err := controlplane.Client(t).Create(t.Context(), account); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = controlplane.Client(t).Delete(context.Background(), account) })
	sender := newCaller(t, "sender", "called", "sluice")
	stranger := newCaller(t, "stranger", "another", "sluice")
	elsewhere := newCaller(t, "elsewhere", "called", "https://vault.example")
	t.Setenv("KUBECONFIG", startFreezer(t).kubeconfig)
	p := start(t, "serve", "--lease-namespace", "default", "--log-level", "debug")
	p.untilReady()

	const path = "/v1/accounts/default/called"
	for name, c := range map[string]struct {
		token, method, path string
		status              int
		hint                string
	}{
		"nobody":                  {"", "POST", path + "/check", 401, "Authorization: Bearer"},
		"a token that is none":    {"secret-text", "POST", path + "/check", 401, "unauthenticated"},
		"a token for another":     {elsewhere, "POST", path + "/check", 401, "sluice"},
		"a stranger":              {stranger, "POST", path + "/check", 403, "sluice-sender"},
		"a stranger who looks":    {stranger, "GET", path, 403, "sluice-viewer"},
		"who may not list":        {sender, "GET", "/v1/accounts?namespace=default", 403, "may not list"},
		"who may use it":          {sender, "POST", path + "/check", 200, `"decision":"Allow"`},
		"who may see it":          {sender, "GET", path, 200, `"inFlight"`},
		"the contract, to nobody": {"", "GET", "/openapi.yaml", 200, "openapi: 3.1.0"},
	} {
		status, body := p.callAs(c.token, c.method, c.path)
		if status != c.status || !strings.Contains(body, c.hint) {
			t.Errorf("%s is answered with %d %.300s, want %d %s", name, status, body, c.status, c.hint)
		}
	}
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(sender), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := command(t, nil, "smoke-test", "--url", "http://"+p.api, "--account", "default/called",
		"--token-file", file).CombinedOutput()
	if err != nil || !strings.Contains(string(out), `"outcome":"Committed"`) {
		t.Errorf("the smoke test ended with %v and printed %s", err, out)
	}
	p.stop()
	for _, token := range []string{sender, stranger, elsewhere, "secret-text"} {
		if strings.Contains(p.log.String()+string(out), token[len(token)/2:]) {
			t.Errorf("a token is in the log: %s", p.log)
		}
	}
}

// TestNobodyIsAStrangerBeforeTheStart wants a caller of a Sluice that has not reached the API
// server to be told that, and not that it is unknown.
func TestNobodyIsAStrangerBeforeTheStart(t *testing.T) {
	token := newCaller(t, "early", "called", "sluice")
	apiServer := startFreezer(t)
	t.Setenv("KUBECONFIG", apiServer.kubeconfig)
	apiServer.freeze()
	p := start(t, "serve", "--lease-namespace", "default")
	p.until("it listens", func() bool {
		status, _ := get("http://" + p.health + "/healthz")
		return status == http.StatusOK
	})
	status, body := p.callAs(token, "POST", "/v1/accounts/default/called/check")
	if status != http.StatusServiceUnavailable || !strings.Contains(body, "not-ready") {
		t.Errorf("a check is answered with %d %s", status, body)
	}
	p.stop()
}
