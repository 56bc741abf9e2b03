package server_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-mail/sluice/limiter"
	"github.com/sluice-mail/sluice/limiter/limitertest"
	"github.com/sluice-mail/sluice/server"
)

// logged returns the fields of the lines that were logged, without those that no test can know.
// Without a network, a request is logged before its call returns.
func (a *api) logged() (lines []map[string]any) {
	a.t.Helper()
	for len(a.log) > 0 {
		line := map[string]any{}
		if err := json.Unmarshal([]byte(<-a.log), &line); err != nil {
			a.t.Fatal(err)
		}
		for _, name := range []string{"logger", "duration"} {
			if _, ok := line[name]; !ok {
				a.t.Errorf("a line without %s: %v", name, line)
			}
			delete(line, name)
		}
		lines = append(lines, line)
	}
	return lines
}

func TestLog(t *testing.T) {
	line := func(
		operation, method, account string, status float64, problem, detail string,
	) []map[string]any {
		fields := map[string]any{
			"level": 0., "msg": "request failed", "operation": operation, "method": method,
			"status": status,
			"client": "192.0.2.1:1234", "problem": "https://sluice.dev/problems/" + problem,
			"detail": detail,
		}
		if account != "" {
			fields["account"] = account
		}
		return []map[string]any{fields}
	}
	const check = "/v1/accounts/marketing/newsletter/check"
	for name, c := range map[string]struct {
		request request
		want    []map[string]any
	}{
		"a success is not logged": {request{}.to(check), nil},
		"nor is a denial":         {request{}.to("/v1/accounts/marketing/suspended/check"), nil},
		"a failure is": {request{body: `{"cost":0}`}.to(check),
			line("check", "POST", "marketing/newsletter", 422, "invalid-field",
				"cost must be an integer from 1 to 2147483647.")},
		"an unknown path, which is left out": {request{method: "GET"}.to("/v1/%0d%0aforged"),
			line("unknown", "GET", "", 404, "path-not-found", pathHint)},
		"a wrong method": {request{method: "PUT"}.to(check),
			line("unknown", "PUT", "marketing/newsletter", 405, "method-not-allowed",
				"Use POST here.")},
		"a made-up method": {request{method: "STEAL"}.to(check),
			line("unknown", "other", "marketing/newsletter", 405, "method-not-allowed",
				"Use POST here.")},
		"an account that no MailAccount can be": {
			request{}.to("/v1/accounts/marketing/joe@example.com/check"),
			line("check", "POST", "", 404, "account-not-found",
				"Check the namespace and the name, or create the MailAccount.")},
		"a field that is not known": {request{body: `{"costs":1}`}.to(check),
			line("check", "POST", "marketing/newsletter", 400, "malformed-request",
				`there is no field "…"; the fields are id, cost and ttlSeconds (at byte 8).`)},
	} {
		t.Run(name, func(t *testing.T) {
			a := newBubble(t, limiter.Policy{}, setup{})
			limitertest.Apply(t, a.limiter, limiter.Key{Namespace: "marketing", Name: "suspended"}, "uid-2",
				limiter.Policy{Suspended: true})
			a.call(c.request)
			if diff := cmp.Diff(c.want, a.logged()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestSlowRequestsAreLogged(t *testing.T) {
	for took, logged := range map[time.Duration]int{
		250 * time.Millisecond: 0, 250*time.Millisecond + 1: 1,
	} {
		synctest.Test(t, func(t *testing.T) {
			// The request takes its time on the bubble's clock.
			a := newBubble(t, limiter.Policy{}, setup{operation: "check", first: func() error {
				time.Sleep(took)
				return nil
			}})
			a.post("check", "")
			lines := a.logged()
			if len(lines) != logged {
				t.Fatalf("after %v: %v", took, lines)
			}
			for _, line := range lines {
				if line["msg"] != "request was slow" || line["status"] != 200. ||
					line["operation"] != "check" {
					t.Errorf("got %v", line)
				}
			}
		})
	}
}

func TestMetrics(t *testing.T) {
	a := newBubble(t, limiter.Policy{Limits: limitertest.Limits(1, 0, 0)}, setup{})
	limitertest.Apply(t, a.limiter, limiter.Key{Namespace: "marketing", Name: "suspended"}, "uid-2",
		limiter.Policy{Suspended: true, Behavior: limiter.Reject})
	a.post("check", `{"id":"a"}`)
	a.post("check", "")
	a.post("check", `{"cost":0}`)
	a.call(request{}.to("/v1/accounts/marketing/suspended/check"))
	a.call(request{}.to("/v1/accounts/marketing/nobody/check"))
	a.post("commit", `{"reservation":"a"}`)
	a.post("commit", "")
	a.post("release", "")
	a.call(request{
		body: `{"releases":[{},{"namespace":"marketing","name":"newsletter"},{}]}`,
	}.to("/v1/release"))
	a.get("/v1/accounts/marketing/newsletter")
	a.get("/nowhere")
	want := map[string]float64{
		`sluice_accounts`:                                         2,
		`sluice_reservations`:                                     0,
		`sluice_decisions_total decision=Allow reason=`:           1,
		`sluice_decisions_total decision=Defer reason=Limit`:      1,
		`sluice_decisions_total decision=Defer reason=Suspended`:  0,
		`sluice_decisions_total decision=Reject reason=Limit`:     0,
		`sluice_decisions_total decision=Reject reason=Suspended`: 1,
		`sluice_outcomes_total outcome=Committed`:                 1,
		`sluice_outcomes_total outcome=Late`:                      0,
		`sluice_outcomes_total outcome=Released`:                  0,
		`sluice_outcomes_total outcome=Unreserved`:                1,

		`sluice_batch_problems_total operation=releaseBatch problem=invalid-field`:         2,
		`sluice_batch_problems_total operation=releaseBatch problem=reservation-not-found`: 1,

		`sluice_http_in_flight pool=check`:  0,
		`sluice_http_in_flight pool=end`:    0,
		`sluice_http_in_flight pool=read`:   0,
		`sluice_http_shed_total pool=check`: 0,
		`sluice_http_shed_total pool=end`:   0,
		`sluice_http_shed_total pool=read`:  0,

		`sluice_http_requests_total code=200 operation=check`:        3,
		`sluice_http_requests_total code=404 operation=check`:        1,
		`sluice_http_requests_total code=422 operation=check`:        1,
		`sluice_http_requests_total code=200 operation=commit`:       2,
		`sluice_http_requests_total code=200 operation=getAccount`:   1,
		`sluice_http_requests_total code=200 operation=getOpenAPI`:   0,
		`sluice_http_requests_total code=200 operation=listAccounts`: 0,
		`sluice_http_requests_total code=200 operation=release`:      0,
		`sluice_http_requests_total code=200 operation=checkBatch`:   0,
		`sluice_http_requests_total code=200 operation=commitBatch`:  0,
		`sluice_http_requests_total code=200 operation=releaseBatch`: 1,
		`sluice_http_requests_total code=404 operation=release`:      1,
		`sluice_http_requests_total code=200 operation=unknown`:      0,
		`sluice_http_requests_total code=404 operation=unknown`:      1,

		`sluice_http_request_duration_seconds operation=check`:        5,
		`sluice_http_request_duration_seconds operation=commit`:       2,
		`sluice_http_request_duration_seconds operation=getAccount`:   1,
		`sluice_http_request_duration_seconds operation=getOpenAPI`:   0,
		`sluice_http_request_duration_seconds operation=listAccounts`: 0,
		`sluice_http_request_duration_seconds operation=release`:      1,
		`sluice_http_request_duration_seconds operation=checkBatch`:   0,
		`sluice_http_request_duration_seconds operation=commitBatch`:  0,
		`sluice_http_request_duration_seconds operation=releaseBatch`: 1,
		`sluice_http_request_duration_seconds operation=unknown`:      1,
	}
	if diff := cmp.Diff(want, a.series()); diff != "" {
		t.Error(diff)
	}
}

// series returns all metrics: the values of counters and gauges, the counts of histograms.
func (a *api) series() map[string]float64 {
	a.t.Helper()
	families, err := a.registry.Gather()
	if err != nil {
		a.t.Fatal(err)
	}
	series := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := f.GetName()
			for _, l := range m.GetLabel() {
				name += " " + l.GetName() + "=" + l.GetValue()
			}
			series[name] = m.GetCounter().GetValue() + m.GetGauge().GetValue() +
				float64(m.GetHistogram().GetSampleCount())
		}
	}
	return series
}

// TestMetricsAreBounded wants no label to hold a text of a caller, or the name of an account.
func TestMetricsAreBounded(t *testing.T) {
	a := newBubble(t, limiter.Policy{}, setup{})
	a.post("check", `{"id":"made-up-id"}`)
	a.get("/v1/accounts?namespace=marketing")
	a.get("/made-up")
	a.call(request{method: "MADE-UP"}.to("/v1/accounts"))
	a.get("/v1/accounts/marketing/made-up")
	before := slices.Sorted(maps.Keys(a.series()))
	for i := range 10 {
		a.get(fmt.Sprint("/made-up/", i))
		a.call(request{method: fmt.Sprint("MADE-UP-", i)}.to("/v1/accounts"))
		a.get(fmt.Sprint("/v1/accounts/marketing/made-up-", i))
	}
	if diff := cmp.Diff(before, slices.Sorted(maps.Keys(a.series()))); diff != "" {
		t.Errorf("the metrics grow: %s", diff)
	}
	for _, name := range before {
		for _, made := range []string{"marketing", "newsletter", "made-up", "MADE-UP"} {
			if strings.Contains(name, made) {
				t.Errorf("a metric says %q: %s", made, name)
			}
		}
	}
}

func TestHealth(t *testing.T) {
	var dead, unready error
	h := server.Health(func() error { return dead }, func() error { return unready })
	ask := func(method, path string) string {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(method, path, http.NoBody))
		return fmt.Sprintf("%d %s", w.Code, strings.TrimSpace(w.Body.String()))
	}
	wants := func(name string, want map[string]string) {
		t.Helper()
		got := map[string]string{}
		for path := range want {
			got[path] = ask(http.MethodGet, path)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	wants("ready",
		map[string]string{"/healthz": "200 ok", "/readyz": "200 ok", "/": "404 404 page not found"})
	unready = fmt.Errorf("3 accounts are not loaded")
	wants("unready",
		map[string]string{"/healthz": "200 ok", "/readyz": "503 3 accounts are not loaded"})
	dead = fmt.Errorf("the sweep has not come round")
	wants("dead", map[string]string{
		"/healthz": "503 the sweep has not come round",
		"/readyz":  "503 3 accounts are not loaded",
	})
	if got := ask(http.MethodPost, "/readyz"); !strings.HasPrefix(got, "405") {
		t.Errorf("POST: %s", got)
	}
}
