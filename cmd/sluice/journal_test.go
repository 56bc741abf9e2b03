package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-mail/sluice/api/v1alpha1"
	"github.com/sluice-mail/sluice/test/controlplane"
	"github.com/sluice-mail/sluice/test/testprocess"
)

// mustPost makes a call, and wants a 200.
func (p *program) mustPost(path, body string) string {
	p.t.Helper()
	resp, err := http.Post("http://"+p.api+path, "application/json", strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		p.t.Fatalf("%s answered %d %s, %v", path, resp.StatusCode, answer, err)
	}
	return string(answer)
}

// kill ends the program as a lack of memory would.
func (p *program) kill() {
	p.t.Helper()
	if err := p.cmd.Process.Kill(); err != nil {
		p.t.Fatal(err)
	}
	_ = p.cmd.Wait() // it was killed
}

// TestARestartForgetsNothing kills the program after what its callers were told.
func TestARestartForgetsNothing(t *testing.T) {
	folder, dir := accounts(t), filepath.Join(t.TempDir(), "made", "when", "missing")
	p := start(t, "serve", "--accounts", folder, "--data-dir", dir)
	p.untilReady()
	p.mustPost("/v1/accounts/n/a/check", `{"id": "held"}`)
	p.mustPost("/v1/commit", `{"commits": [{"namespace": "n", "name": "a", "reservation": "sent"}]}`)
	p.kill()

	p = start(t, "serve", "--accounts", folder, "--data-dir", dir)
	p.untilReady()
	_, usage := get("http://" + p.api + "/v1/accounts/n/a")
	if !strings.Contains(usage, `"inFlight":1,`) || !strings.Contains(usage, `"used":1,`) {
		t.Errorf("after a kill the usage is %s", usage)
	}
	if answer := p.mustPost("/v1/accounts/n/a/check", `{"id": "more"}`); !strings.Contains(answer,
		`"decision":"Defer"`) {
		t.Errorf("after a kill a third send of two a minute got %s", answer)
	}
	if answer := p.mustPost("/v1/accounts/n/a/check", `{"id": "held"}`); !strings.Contains(answer,
		`"decision":"Allow"`) {
		t.Errorf("after a kill a check that is repeated got %s", answer)
	}
	if answer := p.mustPost("/v1/accounts/n/a/commit", `{"reservation": "held"}`); !strings.Contains(
		answer, `"outcome":"Committed"`) {
		t.Errorf("after a kill the commit got %s", answer)
	}
	if log := p.log.String(); !strings.Contains(log, `"msg":"the journal was read"`) ||
		!strings.Contains(log, `"accounts":1,"sends":1,"reservations":1`) {
		t.Errorf("the log does not tell what was found: %s", log)
	}
	p.stop()
}

// TestOneProcessForAJournal wants a second process to refuse, and to name the first.
func TestOneProcessForAJournal(t *testing.T) {
	folder, dir := accounts(t), t.TempDir()
	p := start(t, "serve", "--accounts", folder, "--data-dir", dir)
	p.untilReady()
	for _, args := range [][]string{
		{"serve", "--accounts", folder, "--data-dir", dir, "--http-address", "127.0.0.1:0",
			"--health-address", "127.0.0.1:0", "--metrics-address", "127.0.0.1:0"},
		{"journal", "verify", dir},
	} {
		out, err := command(t, nil, args...).CombinedOutput()
		owner := "process " + strconv.Itoa(p.cmd.Process.Pid)
		if err == nil || !strings.Contains(string(out), "in use by") ||
			!strings.Contains(string(out), owner) {
			t.Errorf("a second %s ended with %v and printed %s", args[0], err, out)
		}
	}
	p.stop()
}

// TestJournalCommands wants verify and dump to tell what a journal holds, and of damage.
func TestJournalCommands(t *testing.T) {
	dir := t.TempDir()
	p := start(t, "serve", "--accounts", accounts(t), "--data-dir", dir)
	p.untilReady()
	p.mustPost("/v1/accounts/n/a/check", `{"id": "held"}`)
	p.mustPost("/v1/accounts/n/a/commit", `{"reservation": "sent"}`)
	p.stop()
	verify, err := command(t, nil, "journal", "verify", dir).CombinedOutput()
	for _, want := range []string{
		"is whole\n", "accounts      1\n", "sends         1 ", "reservations  1 ",
	} {
		if err != nil || !strings.Contains(string(verify), want) {
			t.Errorf("verify ended with %v, and does not print %q:\n%s", err, want, verify)
		}
	}
	dump, err := command(t, nil, "journal", "dump", "--records", dir).Output()
	if err != nil {
		t.Fatal(err)
	}
	var kinds []string
	for line := range bytes.Lines(dump) {
		var record struct{ Kind, Name string }
		if err := json.Unmarshal(line, &record); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		kinds = append(kinds, record.Kind+record.Name)
	}
	const want = "Start, Accounta, Granteda, CommittedUnreserveda, Stop, a"
	if got := strings.Join(kinds, ", "); got != want {
		t.Errorf("dump printed %s, want %s", got, want)
	}
	again, err := command(t, nil, "journal", "verify", dir).CombinedOutput()
	if err != nil || !bytes.Equal(again, verify) {
		t.Errorf("verify is not the same after a dump: %v\n%s", err, again)
	}
	if err := os.RemoveAll(filepath.Join(dir, "db")); err != nil {
		t.Fatal(err)
	}
	out, err := command(t, nil, "journal", "verify", dir).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "holds no journal") {
		t.Errorf("verify of a folder without a journal ended with %v and printed %s", err, out)
	}
}

// TestAJournalInACluster kills a replica, and deletes and creates an account while it is away.
func TestAJournalInACluster(t *testing.T) {
	c := controlplane.Client(t)
	create := func(name string) *v1alpha1.MailAccount {
		t.Helper()
		account := &v1alpha1.MailAccount{
			ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name},
			Spec:       v1alpha1.MailAccountSpec{Limits: &v1alpha1.Limits{}},
		}
		if err := c.Create(t.Context(), account); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Delete(context.Background(), account) })
		return account
	}
	replaced := create("replaced")
	create("kept")
	t.Setenv("KUBECONFIG", startFreezer(t).kubeconfig)
	t.Setenv("POD_NAME", "sluice-0")
	t.Setenv("POD_UID", "uid-7")
	t.Setenv("GOMAXPROCS", "1")
	metrics := freeAddress(t)
	t.Setenv("SLUICE_METRICS_ADDRESS", metrics)
	args := []string{"serve", "--auth", "none", "--data-dir", t.TempDir(),
		"--lease-namespace", "default"}

	p := startAs(t, args...)
	p.untilReady()
	for _, name := range []string{"replaced", "kept"} {
		p.mustPost("/v1/accounts/default/"+name+"/commit", `{"reservation": "sent"}`)
	}
	if _, text := get("http://" + metrics + "/metrics"); !strings.Contains(text,
		"\ngo_sched_gomaxprocs_threads 2\n") || !strings.Contains(text,
		"\nsluice_journal_available 1\n") {
		t.Errorf("the metrics are %s", text)
	}
	p.kill()
	if err := c.Delete(t.Context(), replaced); err != nil {
		t.Fatal(err)
	}
	create("replaced")

	p = startAs(t, args...)
	p.untilReady()
	for name, want := range map[string]string{"replaced": `"used":0}`, "kept": `"used":1}`} {
		_, usage := get("http://" + p.api + "/v1/accounts/default/" + name)
		if !strings.Contains(usage, want) {
			t.Errorf("the usage of %s is %s", name, usage)
		}
	}
	controlplane.Eventually(t, "the event", func() error {
		var list eventsv1.EventList
		if err := c.List(t.Context(), &list, client.InNamespace("default")); err != nil {
			return err
		}
		var notes []string
		for _, e := range list.Items {
			if e.Regarding.UID == "uid-7" && e.Reason == "JournalRead" {
				notes = append(notes, e.Note)
			}
		}
		if len(notes) != 1 || !strings.HasPrefix(notes[0], "Read 2 accounts with 2 sends") {
			return fmt.Errorf("the events are %q", notes)
		}
		return nil
	})
	p.stop()
}

// startAs is start, with the address of the metrics from the environment.
func startAs(t *testing.T, args ...string) *program {
	t.Helper()
	p := &program{t: t, log: &testprocess.Log{}, api: freeAddress(t), health: freeAddress(t)}
	p.run(command(t, nil, append(args, "--http-address", p.api, "--health-address", p.health)...))
	return p
}
