package server_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/go-logr/logr/funcr"
	"github.com/google/go-cmp/cmp"

	"github.com/sluice-mail/sluice/api/httpv1"
	"github.com/sluice-mail/sluice/limiter"
	"github.com/sluice-mail/sluice/limiter/memory"
	"github.com/sluice-mail/sluice/server"
)

// lines returns what was logged since the last call of it.
func (a *api) lines() (lines []map[string]any) {
	a.t.Helper()
	for len(a.log) > 0 {
		line := map[string]any{}
		if err := json.Unmarshal([]byte(<-a.log), &line); err != nil {
			a.t.Fatal(err)
		}
		lines = append(lines, line)
	}
	return lines
}

// TestLinesOfOneKindAreLimited lets many requests fail in two ways. Of each kind, the first ten
// lines are logged, and one line counts the others.
func TestLinesOfOneKindAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newBubble(t, limiter.Policy{}, setup{})
		fail := func(n int) {
			for range n {
				a.post("check", `{"cost":0}`)
			}
		}
		fail(25)
		a.call(request{}.to("/v1/accounts/marketing/nobody/check"))
		if got := len(a.lines()); got != 11 {
			t.Errorf("%d lines were logged", got)
		}
		time.Sleep(9 * time.Second) // of the bubble's clock
		fail(5)
		if got := a.lines(); len(got) != 0 {
			t.Errorf("logged %v", got)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		want := []map[string]any{{
			"logger": "", "level": 0., "msg": "lines were left out of the log",
			"operation": "check",
			"kind":      "https://sluice.dev/problems/invalid-field", "lines": 20., "seconds": 10.,
		}}
		if diff := cmp.Diff(want, a.lines()); diff != "" {
			t.Error(diff)
		}
		fail(1)
		if got := len(a.lines()); got != 1 {
			t.Errorf("then %d lines were logged", got)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := a.lines(); len(got) != 0 {
			t.Errorf("nothing was left out, and logged is %v", got)
		}
	})
}

// TestInternalErrors wants the caller to be told an id that is in the log, and nothing else, also
// where the error's own line is left out.
func TestInternalErrors(t *testing.T) {
	secret := errors.New("the password is swordfish")
	synctest.Test(t, func(t *testing.T) {
		a := newBubble(t, limiter.Policy{}, setup{operation: "check", first: func() error {
			return secret
		}})
		logged := map[string]int{} // by errorId
		for i := range 15 {
			got := a.post("check", "")
			got.wantProblem(500, "internal-error", "in the log of Sluice.")
			if strings.Contains(got.body+fmt.Sprint(got.header), "swordfish") {
				t.Errorf("the caller is told: %s", got.body)
			}
			for _, line := range a.lines() {
				id, _ := line["errorId"].(string)
				logged[id]++
				if line["error"] != secret.Error() || line["operation"] != "check" ||
					line["path"] == "" {
					t.Errorf("logged %v", line)
				}
			}
			id := errorID(got.problem())
			if logged[id] != 1 {
				t.Errorf("call %d is told the id %q, which is in %d lines", i, id, logged[id])
			}
		}
		if len(logged) != 10 {
			t.Errorf("%d errors were logged", len(logged))
		}
	})
}

// errorID returns the id in the detail of an internal error.
func errorID(p httpv1.Problem) string {
	_, id, _ := strings.Cut(p.Detail, "look for ")
	id, _, _ = strings.Cut(id, " ")
	return id
}

// TestInternalErrorsOfItems wants the same for the items of a batch.
func TestInternalErrorsOfItems(t *testing.T) {
	l := limiter.New(memory.New(memory.Options{}))
	l.MarkLoaded()
	var lines []string
	log := funcr.NewJSON(func(line string) { lines = append(lines, line) }, funcr.Options{})
	s := server.NewWithFailingItems(server.Options{Limiter: l, Log: log},
		errors.New("the password is swordfish"))
	item := `{"namespace":"marketing","name":"newsletter"}`
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodPost, "/v1/check",
		strings.NewReader(`{"checks":[`+item+`,`+item+`]}`))
	r.Header.Set("Content-Type", "application/json")
	s.ServeHTTP(w, r)
	got := into[httpv1.CheckBatchResponse](readResponse(t, w.Result()))
	if len(lines) != 2 || len(got.Results) != 2 {
		t.Fatalf("the results are %v, and logged is %q", got, lines)
	}
	for i, result := range got.Results {
		id := errorID(*result.Problem)
		if id == "" || !strings.Contains(lines[i], id) ||
			!strings.Contains(lines[i], "swordfish") ||
			strings.Contains(w.Body.String(), "swordfish") {
			t.Errorf("the caller is told %+v; logged is %s", result.Problem, lines[i])
		}
	}
}

// TestWhatIsEchoedIsCut sends a megabyte of everything that a response or a log line repeats.
func TestWhatIsEchoedIsCut(t *testing.T) {
	long := strings.Repeat("é", 1<<19)
	escaped := strings.Repeat("%C3%A9", 2000)
	const account = "/v1/accounts/marketing/newsletter"
	for name, r := range map[string]request{
		"a field": request{body: `{"` + long[:15<<10] + `":1}`}.to(account + "/check"),
		"a field of an item": request{
			body: `{"checks":[{"` + long[:1<<19] + `":1}]}`,
		}.to("/v1/check"),
		"a value": request{body: `{"id":"` + long[:15<<10] + `"}`}.to(account + "/check"),
		"a path":  request{}.to("/v1/" + escaped),
		"a name":  request{}.to("/v1/accounts/marketing/" + escaped + "/check"),
		"a parameter": request{
			method: "GET", beyondSchema: true,
		}.to("/v1/accounts?" + escaped + "=1"),
		"a parameter's value": request{
			method: "GET", beyondSchema: true,
		}.to("/v1/accounts?continue=" + escaped),
		"a parameter twice": request{
			method: "GET", beyondSchema: true,
		}.to("/v1/accounts?" + escaped + "&" + escaped),
		"a parameter of a check": request{beyondSchema: true}.to(account + "/check?" + escaped),
		"an escape that is none": request{
			beyondSchema: true, method: "GET",
		}.to("/v1/accounts?%" + escaped),
		"a method": request{method: strings.Repeat("A", 10000)}.to(account + "/check"),
		"a content type": request{
			body: "{}", header: http.Header{"Content-Type": {"text/" + escaped}},
		}.to(account + "/check"),
		"a user agent": request{
			body:   "!",
			header: http.Header{"Content-Type": {"application/json"}, "User-Agent": {long}},
		}.to(account + "/check"),
		"a user agent of no text": request{
			body: "!",
			header: http.Header{
				"Content-Type": {"application/json"}, "User-Agent": {strings.Repeat("\xff", 999)},
			},
		}.to(account + "/check"),
	} {
		t.Run(name, func(t *testing.T) {
			a := newBubble(t, limiter.Policy{}, setup{})
			got := a.call(r)
			if got.status < 400 || len(got.body) > 1000 || !utf8.ValidString(got.body) {
				t.Errorf("the response %d has %d bytes: %.2000s",
					got.status, len(got.body), got.body)
			}
			for len(a.log) > 0 {
				if line := <-a.log; len(line) > 2000 || !utf8.ValidString(line) {
					t.Errorf("a line has %d bytes: %.3000s", len(line), line)
				}
			}
		})
	}
}

// TestNetHTTPLogsToTheLog wants the messages of net/http in the log, and a limited number of them.
func TestNetHTTPLogsToTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		logged := make(chan string, 100)
		logger := funcr.NewJSON(func(line string) { logged <- line }, funcr.Options{})
		s := server.HTTPServer(http.NotFoundHandler(), logger)
		for i := range 100 {
			s.ErrorLog.Printf("http: Accept error: %d %s\n", i, strings.Repeat("é", 1000))
		}
		if n := len(logged); n != 10 {
			t.Errorf("%d lines were logged, want 10", n)
		}
		time.Sleep(11 * time.Second) // of the bubble's clock
		synctest.Wait()
		close(logged)
		var lines []string
		for line := range logged {
			lines = append(lines, line)
		}
		if len(lines) != 11 || !strings.Contains(lines[0], "http: Accept error: 0 ") ||
			!strings.Contains(lines[10], `"lines":90`) {
			t.Errorf("logged are %.1000q", lines)
		}
		for _, line := range lines {
			if len(line) > 1000 || !utf8.ValidString(line) {
				t.Errorf("a line has %d bytes", len(line))
			}
		}
	})
}
