package server_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-mail/sluice/api/httpv1"
	"github.com/sluice-mail/sluice/limiter"
	"github.com/sluice-mail/sluice/limiter/limitertest"
)

// batchLists are the batch calls, and the field that holds their items.
var batchLists = map[string]string{
	"/v1/check": "checks", "/v1/commit": "commits", "/v1/release": "releases",
}

func (a *api) batch(path, body string) response {
	a.t.Helper()
	return a.call(request{body: body}.to(path))
}

// TestBatchesAreAnsweredInOrder plays a story of batches. Each item sees what those before it did.
func TestBatchesAreAnsweredInOrder(t *testing.T) {
	a := newAPI(t, limiter.Policy{Limits: limitertest.Limits(2, 0, 0)}, setup{})
	limitertest.Apply(
		t,
		a.limiter,
		limiter.Key{Namespace: "marketing", Name: "other"},
		"uid-2",
		limiter.Policy{},
	)
	limitertest.Apply(t, a.limiter, limiter.Key{Namespace: "marketing", Name: "suspended"}, "uid-3",
		limiter.Policy{Suspended: true, Behavior: limiter.Reject})
	for i, c := range []struct{ path, body, want string }{
		{"/v1/check", `{"checks":[
			{"namespace":"marketing","name":"newsletter","id":"a"},
			{"namespace":"marketing","name":"other","id":"a","cost":3,"ttlSeconds":120},
			{"namespace":"marketing","name":"nobody"},
			{"name":"newsletter","namespace":"marketing","id":"b"},
			{"namespace":"marketing","name":"newsletter","id":"a"},
			{"namespace":"marketing","name":"newsletter","id":"c d"},
			{"namespace":"marketing","name":"newsletter","cost":3},
			{"namespace":"marketing"},
			{}]}`,
			`Allow 1 a, Allow, account-not-found, Allow 0 b, Allow 0 a, ` +
				`invalid-field, cost-exceeds-limit, invalid-field, invalid-field`},
		{"/v1/check", `{"checks":[
			{"namespace":"marketing","name":"newsletter"},
			{"namespace":"marketing","name":"suspended"}]}`,
			`Defer minute, Reject Suspended`},
		{"/v1/commit", `{"commits":[
			{"namespace":"marketing","name":"newsletter","reservation":"a"},
			{"namespace":"marketing","name":"newsletter","reservation":"a","cost":2},
			{"namespace":"marketing","name":"newsletter","reservation":"z"},
			{"namespace":"marketing","name":"nobody","reservation":"a"},
			{"namespace":"marketing","name":"newsletter","cost":0}]}`,
			`Committed, Committed, Unreserved, account-not-found, invalid-field`},
		{"/v1/release", `{"releases":[
			{"namespace":"marketing","name":"newsletter","reservation":"b"},
			{"namespace":"marketing","name":"newsletter","reservation":"a"},
			{"namespace":"marketing","name":"newsletter"},
			{"namespace":"marketing","name":"other"}]}`,
			`Released, reservation-conflict, reservation-not-found, Released`},
		{"/v1/check", `{"checks":[]}`, ``},
	} {
		got := a.batch(c.path, c.body)
		if diff := cmp.Diff(c.want, results(got)); diff != "" {
			t.Errorf("batch %d:\n%s", i, diff)
		}
		if after := got.header.Get("Retry-After"); after != "" {
			t.Errorf("batch %d: Retry-After is %s for all of it", i, after)
		}
	}
}

// TestBatchesAreReadStrictly is about batches that are refused as a whole: no item is made.
func TestBatchesAreReadStrictly(t *testing.T) {
	const good = `{"namespace":"marketing","name":"newsletter"}`
	for name, c := range map[string]struct {
		body   string // LIST stands for the name of the list
		status int
		kind   string
		hint   string
	}{
		"no list": {`{}`, 422, "invalid-field", "LIST is missing"},
		"another list": {
			`{"items":[]}`, 400, "malformed-request", `no field "items"; the fields are LIST`,
		},
		"a list that is an object": {
			`{"LIST":{}}`, 400, "malformed-request", "LIST must be an array, not an object",
		},
		"a list that is null": {
			`{"LIST":null}`, 400, "malformed-request", "LIST must be an array, not null",
		},
		"a list that comes twice": {
			`{"LIST":[],"LIST":[]}`, 400, "malformed-request", `"LIST" comes twice`,
		},
		"a list that does not end": {
			`{"LIST":[` + good, 400, "malformed-request", "expected , or ]",
		},
		"a trailing comma": {
			`{"LIST":[` + good + `,]}`, 400, "malformed-request", "LIST[1] must be an object",
		},
		"an item that is a number": {
			`{"LIST":[` + good + `,7]}`, 400, "malformed-request",
			"LIST[1] must be an object, not a number",
		},
		"an item that is a list": {
			`{"LIST":[[` + good + `]]}`, 400, "malformed-request",
			"LIST[0] must be an object, not an array",
		},
		"an unknown field of one": {
			`{"LIST":[` + good + `,{"priority":1}]}`, 400, "malformed-request",
			`no field "priority"; the fields are namespace, name`,
		},
		"a name that is a number": {
			`{"LIST":[` + good + `,{"name":1}]}`, 400, "malformed-request",
			"LIST[1].name must be a string, not a number",
		},
		"a name that is null": {
			`{"LIST":[{"namespace":null}]}`, 400, "malformed-request",
			"LIST[0].namespace must be a string, not null",
		},
		"a name that comes twice": {
			`{"LIST":[{"name":"a","name":"b"}]}`, 400, "malformed-request", `"name" comes twice`,
		},
		"garbage after it": {
			`{"LIST":[` + good + `]} x`, 400, "malformed-request", "nothing may follow",
		},
		"more items than may be": {
			`{"LIST":[` + strings.Repeat(good+",", 1000) + good + `]}`, 422, "invalid-field",
			"LIST can have at most 1000 elements",
		},
		"more bytes than may be": {
			`{"LIST":[` + strings.Repeat(" ", 1<<20) + `]}`, 413, "body-too-large",
			"at most 1048576 bytes",
		},
		"nothing": {``, 422, "invalid-field", "LIST is missing"},
		"a list that is deep": {
			`{"LIST":` + strings.Repeat("[", 10000), 400, "malformed-request",
			"LIST[0] must be an object, not an array",
		},
		"a single call's body": {
			`{"cost":1}`, 400, "malformed-request", `no field "cost"; the fields are LIST`,
		},
		"what is no object": {`[` + good + `]`, 400, "malformed-request", "must be a JSON object"},
		"another field after a list": {
			`{"LIST":[` + good + `],"cost":1}`, 400, "malformed-request", `no field "cost"`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAPI(t, limiter.Policy{}, setup{})
			for path, list := range batchLists {
				r := request{body: strings.ReplaceAll(c.body, "LIST", list)}
				r.beyondSchema = strings.Contains(name, "twice") ||
					strings.Contains(name, "garbage")
				a.call(r.to(path)).wantProblem(c.status, c.kind,
					strings.ReplaceAll(c.hint, "LIST", list))
			}
			a.unused()
		})
	}
}

func TestBatchesOfAnotherMediaType(t *testing.T) {
	a := newAPI(t, limiter.Policy{}, setup{})
	for path := range batchLists {
		r := request{body: "{}", header: http.Header{"Content-Type": {"text/plain"}}}.to(path)
		a.call(r).wantProblem(415, "unsupported-media-type", "application/json")
	}
}

func TestBatchesAtTheirBounds(t *testing.T) {
	a := newAPI(t, limiter.Policy{}, setup{})
	item := `{"namespace":"marketing","name":"newsletter"}`
	body := `{"checks":[` + strings.Repeat(item+",", 999) + item + `]}`
	body += strings.Repeat(" ", 1<<20-len(body))
	got := into[httpv1.CheckBatchResponse](a.batch("/v1/check", body))
	n := len(got.Results)
	if n != 1000 || got.Results[999].CheckResponse == nil || a.counted()[0] != 1000 {
		t.Errorf("got %d results, and %v", n, a.counted())
	}
}

// TestBatchesBeforeTheLimitsAreLoaded wants them refused as a whole, with a 503.
func TestBatchesBeforeTheLimitsAreLoaded(t *testing.T) {
	a := newAPI(t, limiter.Policy{}, setup{unloaded: true})
	for path, list := range batchLists {
		got := a.batch(path, fmt.Sprintf(`{%q:[]}`, list))
		got.wantProblem(503, "not-ready", "ask again")
		if diff := cmp.Diff("1", got.header.Get("Retry-After")); diff != "" {
			t.Error(diff)
		}
	}
}

// TestABatchOverTheBound wants the result of each check to tell whether there was room for it.
func TestABatchOverTheBound(t *testing.T) {
	a := newAPI(t, limiter.Policy{}, setup{maxReservations: 2})
	item := `{"namespace":"marketing","name":"newsletter"}`
	got := results(a.batch("/v1/check", `{"checks":[`+item+`,`+item+`,`+item+`]}`))
	if diff := cmp.Diff("Allow, Allow, overloaded", got); diff != "" {
		t.Error(diff)
	}
}

// results prints the results of a batch in short. The contract has seen them whole.
func results(r response) string {
	r.t.Helper()
	var said []string
	for _, one := range into[struct{ Results []result }](r).Results {
		said = append(said, one.String())
	}
	return strings.Join(said, ", ")
}

// result is any result of any batch.
type result struct {
	httpv1.CheckItemResponse
	Outcome string
}

func (r result) String() string {
	d := r.CheckResponse
	switch {
	case r.Problem != nil:
		return strings.TrimPrefix(r.Problem.Type, httpv1.ProblemBase)
	case d == nil:
		return r.Outcome
	case d.Remaining != nil:
		return fmt.Sprint(d.Decision, " ", *d.Remaining, " ", d.Reservation.ID)
	case d.Reservation != nil:
		return "Allow"
	case d.Reason != "":
		return d.Decision + " " + d.Reason
	default:
		return d.Decision + " " + d.Exhausted[0].Window
	}
}
