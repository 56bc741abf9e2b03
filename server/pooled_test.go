package server_test

import (
	"net/http"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-mail/sluice/api/httpv1"
	"github.com/sluice-mail/sluice/limiter"
	"github.com/sluice-mail/sluice/limiter/limitertest"
)

// pooledRequest is a request with its response.
type pooledRequest struct {
	request
	status                         int
	contentType, retryAfter, allow string // headers
}

// pooledRequests are requests whose responses differ in everything that a response has. Each gets
// the same response whenever it is sent, while the clock stands still.
func pooledRequests() map[string]pooledRequest {
	get := func(path string) request { return request{method: http.MethodGet}.to(path) }
	usage, list := get("/v1/accounts/marketing/newsletter"), get("/v1/accounts")
	contract, nowhere, getCheck := get("/openapi.yaml"), get("/v2"), get("/v1/check")
	put := request{method: http.MethodPut}.to("/v1/accounts/marketing/newsletter")
	const costs2 = `{"id":"a","cost":2}`
	large := `{"id":"` + strings.Repeat("a", httpv1.MaxBodyBytes) + `"}`
	return map[string]pooledRequest{
		"an allowed check":      {askAbout("newsletter/check", `{"id":"a"}`), 200, "json", "", ""},
		"one without a limit":   {askAbout("free/check", `{"id":"a"}`), 200, "json", "", ""},
		"a denied check":        {askAbout("full/check", `{"id":"b"}`), 200, "json", "60", ""},
		"one of several limits": {askAbout("fuller/check", `{"id":"b"}`), 200, "json", "86400", ""},
		"a suspended check":     {askAbout("suspended/check", ""), 200, "json", "60", ""},
		"a commit":              {askAbout("newsletter/commit", ofSent), 200, "json", "", ""},
		"a release":             {askAbout("newsletter/release", ofUnsent), 200, "json", "", ""},
		"a batch":               {batchOf("full", "nobody", "newsletter"), 200, "json", "", ""},
		"a batch, last denied":  {batchOf("newsletter", "full"), 200, "json", "", ""},
		"a usage":               {usage, 200, "json", "", ""},
		"the list":              {list, 200, "json", "", ""},
		"the contract":          {contract, 200, "yaml", "", ""},
		"no JSON": {
			askAbout("newsletter/check", `{"id":`), 400, "problem+json", "", "",
		},
		"an unknown account": {askAbout("nobody/check", ""), 404, "problem+json", "", ""},
		"an unknown path":    {nowhere, 404, "problem+json", "", ""},
		"another method":     {put, 405, "problem+json", "", "GET, HEAD"},
		"a check with GET":   {getCheck, 405, "problem+json", "", "POST"},
		"a conflict": {
			askAbout("newsletter/check", costs2), 409, "problem+json", "", "",
		},
		"a large body": {askAbout("newsletter/check", large), 413, "problem+json", "", ""},
		"a large cost": {
			askAbout("newsletter/check", `{"cost":11}`), 422, "problem+json", "", "",
		},
		"an id that is none": {
			askAbout("newsletter/check", `{"id":"a b"}`), 422, "problem+json", "", "",
		},
		"no room": {askAbout("free/check", `{"id":"z"}`), 503, "problem+json", "1", ""},
	}
}

const ofSent, ofUnsent = `{"reservation":"sent"}`, `{"reservation":"unsent"}`

// askAbout returns a call about an account in marketing.
func askAbout(call, body string) request {
	return request{body: body}.to("/v1/accounts/marketing/" + call)
}

// batchOf returns a batch with a check of each of these accounts.
func batchOf(accounts ...string) request {
	var checks []string
	for _, name := range accounts {
		checks = append(checks, `{"namespace":"marketing","name":"`+name+`","id":"a"}`)
	}
	return request{body: `{"checks":[` + strings.Join(checks, ",") + `]}`}.to("/v1/check")
}

// TestResponsesShareNothing wants each response to be the same, with all its headers, whichever
// request came before it: requests and responses are pooled, and none may keep what another left.
func TestResponsesShareNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // the clock stands still
		const minute = limiter.Minute
		ten := limiter.Policy{Limits: limiter.Limits{limiter.Cost: {minute: 10}}}
		a := newBubble(t, ten, setup{maxReservations: 2})
		for name, p := range map[string]limiter.Policy{
			"free":      {},
			"suspended": {Suspended: true},
			"full":      {Limits: limiter.Limits{limiter.Cost: {minute: 1}}},
			"fuller":    {Limits: limitertest.Limits(1, 1, 1), Behavior: limiter.Reject},
		} {
			limitertest.Apply(t, a.limiter, limiter.Key{Namespace: "marketing", Name: name}, "uid-"+name, p)
		}
		for _, before := range []request{
			askAbout("newsletter/check", `{"id":"unsent"}`),
			askAbout("newsletter/release", ofUnsent),
			askAbout("newsletter/commit", ofSent), askAbout("newsletter/check", `{"id":"a"}`),
			askAbout("free/check", `{"id":"a"}`), askAbout("full/commit", ""),
			askAbout("fuller/commit", ""),
		} {
			if got := a.call(before); got.status != 200 {
				t.Fatalf("%s %s: %d %s", before.path, before.body, got.status, got.body)
			}
		}
		pooled, fresh := pooledRequests(), map[string]response{}
		for name, c := range pooled {
			runtime.GC() // twice, so that the pools are empty
			runtime.GC()
			got := a.call(c.request)
			header := got.header.Get
			if got.status != c.status || header("Content-Type") != "application/"+c.contentType ||
				header("Retry-After") != c.retryAfter || header("Allow") != c.allow {
				t.Errorf("%s: got %d %v, want %d %+v", name, got.status, got.header, c.status, c)
			}
			fresh[name] = got
		}
		for earlier := range pooled {
			for later := range pooled {
				a.callAgain(pooled[earlier].request)
				got, want := a.callAgain(pooled[later].request), fresh[later]
				got.t, want.t = nil, nil
				if diff := cmp.Diff(want, got, cmp.AllowUnexported(response{})); diff != "" {
					t.Fatalf("%s after %s:\n%s", later, earlier, diff)
				}
			}
		}
	})
}

// callAgain is call without the contract, which has seen the request and its response already.
func (a *api) callAgain(r request) response {
	a.t.Helper()
	resp, err := a.send(r)
	if err != nil {
		a.t.Fatal(err)
	}
	return readResponse(a.t, resp)
}
