//go:build e2e

package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/sluice-mail/sluice/api/httpv1"
)

// testWhoMayCall has pods call that may use no account, one account, and all.
func testWhoMayCall(t *testing.T) {
	applyAccount(t, "mine", "{limits: {}}")
	applyAccount(t, "theirs", "{limits: {}}")
	for _, name := range []string{"stranger", "sender", "wrong-audience"} {
		account := name
		if name == "wrong-audience" {
			account = dispatcher
		} else {
			kubectl(t, "create", "serviceaccount", "-n", namespace, name)
		}
		audience := map[bool]string{true: "somebody-else", false: "sluice"}[account != name]
		startPodAs(t, name, account, audience, "idle")
		t.Cleanup(func() {
			_, _ = run(t, "", "kubectl", "delete", "pod", "-n", namespace, name, "--wait=false")
		})
	}
	wantStatus(t, "caller", "mine", http.StatusOK, "")
	wantStatus(t, "wrong-audience", "mine", http.StatusUnauthorized, "sluice")
	status, p := answerOf[httpv1.Problem](t, "stranger", "check", api, namespace+"/mine")
	// The binding that the problem tells of is the one that grants it.
	_, binding, told := strings.Cut(p.Detail, "kubectl create rolebinding ")
	if status != http.StatusForbidden || !told ||
		!strings.Contains(p.Detail, "use mailaccounts.sluice.dev/mine") {
		t.Fatalf("a stranger was answered %d %+v", status, p)
	}
	wantStatus(t, "stranger", "absent", http.StatusForbidden, "mailaccounts.sluice.dev/absent")

	must(t, fmt.Sprintf(`
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: mine, namespace: %[1]s}
rules: [{apiGroups: [sluice.dev], resources: [mailaccounts], resourceNames: [mine], verbs: [use]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: mine, namespace: %[1]s}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: mine}
subjects: [{kind: ServiceAccount, name: sender, namespace: %[1]s}]
`, namespace), "kubectl", "apply", "-f", "-")
	wantStatus(t, "sender", "mine", http.StatusOK, "")
	wantStatus(t, "sender", "theirs", http.StatusForbidden, "mailaccounts.sluice.dev/theirs")
	canI := kubectl(t, "auth", "can-i", "use", "mailaccounts.sluice.dev/mine", "-n", namespace,
		"--as", "system:serviceaccount:"+namespace+":sender")
	if strings.TrimSpace(canI) != "yes" {
		t.Errorf("kubectl auth can-i says %q", canI)
	}

	kubectl(t, append([]string{"create", "rolebinding"}, strings.Fields(
		strings.Trim(binding, ".`\n"))...)...)
	eventually(t, "the stranger may send as it was told", func() error {
		status, _ := answerOf[httpv1.CheckResponse](t, "stranger", "check", api, namespace+"/mine")
		if status != http.StatusOK { // a denial is remembered for half a minute
			return fmt.Errorf("answered %d", status)
		}
		return nil
	})

	url := forward(t)
	resp, err := http.Post(url+"/v1/accounts/"+namespace+"/mine/check", "application/json", nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusUnauthorized || resp.Header.Get("WWW-Authenticate") == "" {
		t.Errorf("without a token the answer is %s %v", resp.Status, resp.Header)
	}
}

// wantStatus has a pod check an account.
func wantStatus(t *testing.T, pod, account string, want int, hint string) {
	t.Helper()
	status, p := answerOf[httpv1.Problem](t, pod, "check", api, namespace+"/"+account)
	if status != want || !strings.Contains(p.Detail, hint) {
		t.Errorf("%s was answered %d %q about %s, want %d %q",
			pod, status, p.Detail, account, want, hint)
	}
}
