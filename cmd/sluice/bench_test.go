package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluice-mail/sluice/bench"
	"github.com/sluice-mail/sluice/test/testprocess"
)

// serveBenchAccounts serves what --print-accounts prints.
func serveBenchAccounts(t *testing.T, n string) *program {
	t.Helper()
	manifests, err := command(t, nil, "bench", "--print-accounts", n, "--namespace", "load").Output()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "bench.yaml"), manifests, 0o600); err != nil {
		t.Fatal(err)
	}
	p := start(t, "serve", "--accounts", dir)
	p.untilReady()
	return p
}

func TestBench(t *testing.T) {
	p := serveBenchAccounts(t, "3")
	for name, args := range map[string][]string{
		"single":  {"--accounts", "2"},
		"batches": {"--batch", "7", "--commit", "0.5"},
		"a rate":  {"--rate", "500", "--namespace", "load", "--prefix", "bench-"},
	} {
		t.Run(name, func(t *testing.T) {
			args = append([]string{"bench", "--url", "http://" + p.api, "--duration", "200ms",
				"--output", "json"}, args...)
			var errs bytes.Buffer
			cmd := command(t, nil, args...)
			cmd.Stderr = &errs
			out, err := cmd.Output()
			if err != nil {
				t.Fatalf("%v: %s%s", err, out, &errs)
			}
			var r bench.Report
			if err := json.Unmarshal(out, &r); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			if d := r.Decisions; r.Checks == 0 || d["Allow"]+d["Defer"] != r.Checks || len(r.Problems) > 0 {
				t.Errorf("%d checks, decisions %v, problems %v", r.Checks, d, r.Problems)
			}
			if r.Outcomes["Committed"]+r.Outcomes["Released"] != r.Decisions["Allow"] ||
				r.Limits.Windows != 3*r.Accounts {
				t.Errorf("decisions %v, outcomes %v, limits %+v", r.Decisions, r.Outcomes, r.Limits)
			}
		})
	}
	p.stop()
}

// TestBenchIsInterrupted wants a report of what there was, and no error.
func TestBenchIsInterrupted(t *testing.T) {
	p := serveBenchAccounts(t, "1")
	var out bytes.Buffer
	load := &program{t: t, log: &testprocess.Log{}}
	cmd := command(t, nil, "bench", "--url", "http://"+p.api, "--duration", "1h")
	cmd.Stdout = &out
	load.run(cmd)
	load.until("it sends", func() bool {
		_, usage := get("http://" + p.api + "/v1/accounts/load/bench-0001")
		return strings.Contains(usage, `"remaining":0`)
	})
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	load.wait()
	if !strings.Contains(out.String(), "Interrupted after") ||
		!strings.Contains(out.String(), "Limits kept") {
		t.Errorf("the report is\n%s", &out)
	}
	p.stop()
}

func TestBenchErrorsSayWhatToDo(t *testing.T) {
	empty := start(t, "serve", "--accounts", t.TempDir())
	empty.untilReady()
	// It allows everything.
	generous := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := `{"decision":"Allow","reservation":{"id":"a","cost":1},"outcome":"Committed"}`
		if r.Method == http.MethodGet {
			answer = `{"accounts":[{"namespace":"n","name":"a","windows":[{"window":"hour","limit":5}]}]}`
		}
		_, _ = w.Write([]byte(answer))
	}))
	defer generous.Close()
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"no accounts": {[]string{"--url", "http://" + empty.api},
			"there is no account to use. Make some"},
		"none with such a name": {
			[]string{"--url", "http://" + empty.api, "--prefix", "x", "--namespace", "n"},
			"no account to use in the namespace n with a name that begins with x"},
		"nobody there": {[]string{"--url", "http://" + freeAddress(t)},
			"the accounts cannot be listed"},
		"no URL": {[]string{"--url", "localhost:8080"},
			`--url must be such as http://localhost:8080, not "localhost:8080"`},
		"a batch that is too big": {[]string{"--batch", "1001"}, "--batch must be 1 to 1000, not 1001"},
		"a negative rate": {[]string{"--rate", "-1"},
			"--rate must be 0 to 10000000 requests/s, not -1"},
		"an output": {[]string{"--output", "xml"},
			`--output must be text or json, not "xml"`},
		"limits are exceeded": {[]string{"--url", generous.URL, "--duration", "1s"},
			"were allowed within one hour; the limit is 5"},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := command(t, nil, append([]string{"bench"}, c.args...)...).CombinedOutput()
			if err == nil || !strings.Contains(string(out), c.want) {
				t.Errorf("got  %v, %s\nwant %s", err, out, c.want)
			}
		})
	}
	empty.stop()
}
