//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mail/sluice/api/httpv1"
)

const (
	namespace = "sluice-e2e"
	moved     = "sluice-e2e-moved" // where the release moves to, and back from
	// The dot at the end makes the name complete, so that the resolver looks it up only once.
	api = "http://sluice." + namespace + ".svc.cluster.local.:8080"

	sluiceProcess = "^/sluice serve" // its command line, for killProcess
)

// setting is an environment variable of `make e2e`, or of the user who runs the tests.
func setting(t *testing.T, name string) string {
	t.Helper()
	value := os.Getenv(name)
	if value == "" {
		t.Fatalf("%s is not set; see CONTRIBUTING.md for what the end-to-end tests need", name)
	}
	return value
}

// run runs a command at the root of the repository and returns what it printed.
func run(t *testing.T, stdin string, command ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), command[0], command[1:]...)
	cmd.Dir = filepath.Join("..", "..")
	cmd.Stdin = strings.NewReader(stdin)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		text := strings.Join(command, " ")
		return out.String(), fmt.Errorf("%s: %w\n%s%s", text, err, out.String(), errs.String())
	}
	return out.String(), nil
}

func must(t *testing.T, stdin string, command ...string) string {
	t.Helper()
	out, err := run(t, stdin, command...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func kubectl(t *testing.T, args ...string) string {
	t.Helper()
	return must(t, "", append([]string{"kubectl"}, args...)...)
}

// helm runs the Helm that a setting names: HELM4 or HELM3.
func helm(t *testing.T, version string, args ...string) {
	t.Helper()
	must(t, "", append(strings.Fields(setting(t, version)), args...)...)
}

// release are the arguments that install or upgrade the chart with the image under test.
func release(t *testing.T, verb string, more ...string) []string {
	t.Helper()
	return releaseOf(t, "charts/sluice", verb, "sluice", namespace, more...)
}

// releaseOf are the arguments for another chart, name and namespace.
func releaseOf(t *testing.T, chart, verb, name, namespace string, more ...string) []string {
	t.Helper()
	repository, tag, _ := strings.Cut(setting(t, "IMAGE"), ":")
	return append([]string{verb, name, chart, "--namespace", namespace, "--wait", "--timeout", "2m",
		"--set", "image.repository=" + repository, "--set", "image.tag=" + tag,
		"--set", "image.pullPolicy=IfNotPresent"}, more...)
}

// fault runs the command of a setting such as APISERVER_DOWN.
func fault(t *testing.T, name string) {
	t.Helper()
	must(t, "", "sh", "-c", setting(t, name))
}

// killProcess kills processes of the node at once, by their command lines. More are options of
// pkill.
func killProcess(t *testing.T, pattern string, more ...string) {
	t.Helper()
	must(t, "", "sh", "-c", fmt.Sprintf("%s -9 %s -f '%s'",
		setting(t, "PKILL"), strings.Join(more, " "), pattern))
}

// eventually asks until there is no error, for up to two minutes: client-go's back-off may take
// that long after an outage.
func eventually(t *testing.T, what string, ask func() error) {
	t.Helper()
	within(t, 2*time.Minute, what, ask)
}

// within asks until there is no error, for so long.
func within(t *testing.T, patience time.Duration, what string, ask func() error) {
	t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	deadline := time.Now().Add(patience)
	for {
		err := ask()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %s: %v", what, patience, err)
		}
		<-tick.C
	}
}

// lastLine reads the last line that a pod printed, as JSON. Without one it returns the zero value.
func lastLine[T any](t *testing.T, pod string) (line T) {
	t.Helper()
	out := strings.TrimSpace(kubectl(t, "logs", "-n", namespace, pod, "--tail=1"))
	if out == "" {
		return line
	}
	if err := json.Unmarshal([]byte(out), &line); err != nil {
		t.Fatalf("%v in %q", err, out)
	}
	return line
}

// call makes one call from the pod, for an account such as marketing/newsletter or for a batch, and
// reads its answer.
func call[T any](t *testing.T, verb, account, request string) (status int, answer T) {
	t.Helper()
	return callAt[T](t, api, verb, account, request)
}

// callAt is call for another URL, such as that of one pod.
func callAt[T any](t *testing.T, url, verb, account, request string) (status int, answer T) {
	t.Helper()
	args := []string{verb, url, account}
	if request != "" {
		args = append(args, request)
	}
	return answerOf[T](t, "caller", args...)
}

// answerOf reads the answer to one call of a pod.
func answerOf[T any](t *testing.T, pod string, args ...string) (status int, answer T) {
	t.Helper()
	code, text, _ := strings.Cut(inPod(t, pod, args...), " ")
	if _, err := fmt.Sscan(code, &status); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(text), &answer); err != nil {
		t.Fatalf("%v answered %s %s", args, code, text)
	}
	return status, answer
}

// decide checks an account from the pod; it must be answered with a decision.
func decide(t *testing.T, account string) httpv1.CheckResponse {
	t.Helper()
	status, d := call[httpv1.CheckResponse](t, "check", account, "")
	if status != 200 {
		t.Fatalf("the check of %s answered %d", account, status)
	}
	return d
}

// end commits or releases; it must have this outcome.
func end(t *testing.T, account, verb, request, outcome string) {
	t.Helper()
	status, r := call[httpv1.CommitResponse](t, verb, account, request)
	if status != 200 || r.Outcome != outcome {
		t.Errorf("%s %s %s answered %d %+v, want %s", verb, account, request, status, r, outcome)
	}
}

func usage(t *testing.T, account string) httpv1.Usage {
	t.Helper()
	status, u := call[httpv1.Usage](t, "usage", account, "")
	if status != 200 {
		t.Fatalf("the usage of %s answered %d", account, status)
	}
	return u
}

// applyAccount creates or changes an account and waits until its status says that it is in force.
func applyAccount(t *testing.T, name, spec string) {
	t.Helper()
	must(t, fmt.Sprintf("apiVersion: sluice.dev/v1alpha1\nkind: MailAccount\n"+
		"metadata: {name: %s, namespace: %s}\nspec: %s\n", name, namespace, spec),
		"kubectl", "apply", "-f", "-")
	eventually(t, name+" is in force", func() error {
		out, err := run(t, "", "kubectl", "get", "mailaccount", "-n", namespace, name, "-o",
			`jsonpath={.metadata.generation} {.status.observedGeneration} `+
				`{.status.conditions[?(@.type=="Ready")].status}`)
		if f := strings.Fields(out); err != nil || len(f) != 3 || f[0] != f[1] || f[2] != "True" {
			return fmt.Errorf("status is %q, %w", out, err)
		}
		return nil
	})
}

// forward makes the Service reachable from here until the test ends, and returns where.
func forward(t *testing.T) (url string) {
	t.Helper()
	const local = "18080"
	command := exec.Command("kubectl", "port-forward", "-n", namespace, "service/sluice",
		local+":8080")
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = command.Process.Kill(); _ = command.Wait() })
	url = "http://localhost:" + local
	eventually(t, "the port is forwarded", func() error { return get(url + "/openapi.yaml") })
	return url
}

// get wants a 200.
func get(url string) error {
	resp, err := http.Get(url)
	if err != nil {
		return err
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("answered %s", resp.Status)
	}
	return nil
}
