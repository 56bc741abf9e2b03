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
)

// headers are those that an answer has only if it says so.
type headers struct{ contentType, retryAfter, allow string }

// pooled are requests whose answers differ in all that an answer can have. Each gets the same answer whenever it is
// asked, while the clock stands still.
var pooled = map[string]struct {
	request request
	status  int
	headers headers
}{
	"an allowed check":      {request{body: `{"id":"a"}`}.to("/v1/accounts/marketing/newsletter/check"), 200, headers{"json", "", ""}},
	"one without a limit":   {request{body: `{"id":"a"}`}.to("/v1/accounts/marketing/free/check"), 200, headers{"json", "", ""}},
	"a denied check":        {request{body: `{"id":"b"}`}.to("/v1/accounts/marketing/full/check"), 200, headers{"json", "60", ""}},
	"one of several limits": {request{body: `{"id":"b"}`}.to("/v1/accounts/marketing/fuller/check"), 200, headers{"json", "86400", ""}},
	"a suspended check":     {request{}.to("/v1/accounts/marketing/suspended/check"), 200, headers{"json", "60", ""}},
	"a commit":              {request{body: `{"reservation":"sent"}`}.to("/v1/accounts/marketing/newsletter/commit"), 200, headers{"json", "", ""}},
	"a release":             {request{body: `{"reservation":"unsent"}`}.to("/v1/accounts/marketing/newsletter/release"), 200, headers{"json", "", ""}},
	"a batch": {request{body: `{"checks":[{"namespace":"marketing","name":"full","id":"b"},{"namespace":"marketing","name":"nobody"},
		{"namespace":"marketing","name":"newsletter","id":"a"}]}`}.to("/v1/check"), 200, headers{"json", "", ""}},
	"a batch whose last is denied": {request{body: `{"checks":[{"namespace":"marketing","name":"newsletter","id":"a"},
		{"namespace":"marketing","name":"full","id":"b"}]}`}.to("/v1/check"), 200, headers{"json", "", ""}},
	"a usage":                 {request{method: http.MethodGet}.to("/v1/accounts/marketing/newsletter"), 200, headers{"json", "", ""}},
	"the list":                {request{method: http.MethodGet}.to("/v1/accounts"), 200, headers{"json", "", ""}},
	"the contract":            {request{method: http.MethodGet}.to("/openapi.yaml"), 200, headers{"yaml", "", ""}},
	"no JSON":                 {request{body: `{"id":`}.to("/v1/accounts/marketing/newsletter/check"), 400, headers{"problem+json", "", ""}},
	"an unknown account":      {request{}.to("/v1/accounts/marketing/nobody/check"), 404, headers{"problem+json", "", ""}},
	"an unknown path":         {request{method: http.MethodGet}.to("/v2"), 404, headers{"problem+json", "", ""}},
	"another method":          {request{method: http.MethodPut}.to("/v1/accounts/marketing/newsletter"), 405, headers{"problem+json", "", "GET, HEAD"}},
	"another method of check": {request{method: http.MethodGet}.to("/v1/check"), 405, headers{"problem+json", "", "POST"}},
	"a conflict":              {request{body: `{"id":"a","cost":2}`}.to("/v1/accounts/marketing/newsletter/check"), 409, headers{"problem+json", "", ""}},
	"a body that is too large": {
		request{body: `{"id":"` + strings.Repeat("a", httpv1.MaxBodyBytes) + `"}`}.to("/v1/accounts/marketing/newsletter/check"), 413,
		headers{"problem+json", "", ""},
	},
	"a cost that never fits": {request{body: `{"cost":11}`}.to("/v1/accounts/marketing/newsletter/check"), 422, headers{"problem+json", "", ""}},
	"an id that is none":     {request{body: `{"id":"a space"}`}.to("/v1/accounts/marketing/free/check"), 422, headers{"problem+json", "", ""}},
	"no room":                {request{body: `{"id":"z"}`}.to("/v1/accounts/marketing/free/check"), 503, headers{"problem+json", "1", ""}},
}

// TestAnswersShareNothing wants each answer to be the same, with all its headers, whichever came before it: answers
// are pooled, and what one has said the next must not repeat.
func TestAnswersShareNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // the clock stands still
		a := newBubble(t, limiter.Policy{Limits: limiter.Limits{limiter.Minute: 10}}, setup{maxReservations: 2})
		for name, p := range map[string]limiter.Policy{
			"free": {}, "suspended": {Suspended: true}, "full": {Limits: limiter.Limits{limiter.Minute: 1}},
			"fuller": {Limits: limiter.Limits{1, 1, 1}, Behavior: limiter.Reject},
		} {
			a.limiter.Apply(limiter.Key{Namespace: "marketing", Name: name}, "uid-"+name, p)
		}
		for _, before := range []struct{ call, body string }{
			{"newsletter/check", `{"id":"unsent"}`}, {"newsletter/release", `{"reservation":"unsent"}`},
			{"newsletter/commit", `{"reservation":"sent"}`}, {"newsletter/check", `{"id":"a"}`}, {"free/check", `{"id":"a"}`},
			{"full/commit", ""}, {"fuller/commit", ""},
		} {
			if got := a.call(request{body: before.body}.to("/v1/accounts/marketing/" + before.call)); got.status != 200 {
				t.Fatalf("%s %s: %d %s", before.call, before.body, got.status, got.body)
			}
		}
		fresh := map[string]reply{}
		for name, c := range pooled {
			runtime.GC() // twice, so that the pools are empty
			runtime.GC()
			got := a.call(c.request)
			kind := strings.TrimPrefix(got.header.Get("Content-Type"), "application/")
			have := headers{kind, got.header.Get("Retry-After"), got.header.Get("Allow")}
			if got.status != c.status || have != c.headers {
				t.Errorf("%s: %d %+v, want %d %+v: %s", name, got.status, have, c.status, c.headers, got.body)
			}
			fresh[name] = got
		}
		for earlier := range pooled {
			for later := range pooled {
				a.answer(pooled[earlier].request)
				got, want := a.answer(pooled[later].request), fresh[later]
				if diff := cmp.Diff([]any{want.status, want.header, want.body}, []any{got.status, got.header, got.body}); diff != "" {
					t.Fatalf("%s after %s:\n%s", later, earlier, diff)
				}
			}
		}
	})
}

// answer is call without the contract, which has seen each of them already.
func (a *api) answer(r request) reply {
	a.t.Helper()
	resp, err := a.send(r)
	if err != nil {
		a.t.Fatal(err)
	}
	return readReply(a.t, resp)
}
