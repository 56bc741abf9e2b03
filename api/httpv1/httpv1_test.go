package httpv1_test

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-mail/sluice/api/httpv1"
)

func TestDecodeCheckRequest(t *testing.T) {
	for name, c := range map[string]struct {
		body string
		want httpv1.CheckRequest
	}{
		"nothing means the defaults":           {"", httpv1.CheckRequest{}},
		"white space means the defaults":       {" \r\n\t", httpv1.CheckRequest{}},
		"an empty object means the defaults":   {"{}", httpv1.CheckRequest{}},
		"all fields, in any order, with space": {" { \"cost\" : 3 ,\n\"ttlSeconds\":900, \"id\":\"a-1\" } ", httpv1.CheckRequest{ID: new("a-1"), Cost: new(int64(3)), TTLSeconds: new(int64(900))}},
		"escapes in strings and names":         {`{"\u0069d":"a\u002d1"}`, httpv1.CheckRequest{ID: new("a-1")}},
		"an escaped quote does not end":        {`{"id":"a\"b"}`, httpv1.CheckRequest{ID: new(`a"b`)}},
		"negative and zero are for validation": {`{"cost":-0,"ttlSeconds":-7}`, httpv1.CheckRequest{Cost: new(int64(0)), TTLSeconds: new(int64(-7))}},
		"beyond 64 bits is out of any bound":   {`{"cost":99999999999999999999,"ttlSeconds":-99999999999999999999}`, httpv1.CheckRequest{Cost: new(int64(math.MaxInt64)), TTLSeconds: new(int64(math.MinInt64))}},
	} {
		t.Run(name, func(t *testing.T) {
			var got httpv1.CheckRequest
			if err := got.Decode([]byte(c.body)); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestDecodeRefuses(t *testing.T) {
	for name, c := range map[string]struct{ body, want string }{
		"no JSON":                    {"cost=1", "must be a JSON object"},
		"half an object":             {`{"cost":1`, "expected , or }"},
		"a name only":                {`{"cost"`, "expected :"},
		"an array":                   {"[]", "must be a JSON object"},
		"null":                       {"null", "must be a JSON object"},
		"trailing garbage":           {"{} x", "nothing may follow"},
		"a second object":            {"{}{}", "nothing may follow"},
		"a trailing comma":           {`{"cost":1,}`, "double quotes"},
		"no comma":                   {`{"cost":1 "id":"a"}`, "expected , or }"},
		"a field that is not known":  {`{"costs":1}`, `no field "costs"; the fields are id, cost and ttlSeconds`},
		"a field in another case":    {`{"Cost":1}`, `no field "Cost"`},
		"a field that comes twice":   {`{"cost":1,"cost":2}`, `"cost" comes twice`},
		"a string for a number":      {`{"cost":"1"}`, "cost must be an integer, not a string"},
		"a fraction":                 {`{"cost":1.5}`, "without a fraction"},
		"an exponent":                {`{"cost":1E3}`, "without a fraction"},
		"a leading zero":             {`{"cost":01}`, "not a number"},
		"a sign alone":               {`{"cost":-}`, "not a number"},
		"a plus sign":                {`{"cost":+1}`, "must be an integer"},
		"null for a number":          {`{"cost":null}`, "cost must be an integer, not null"},
		"a boolean for a number":     {`{"ttlSeconds":true}`, "ttlSeconds must be an integer, not a boolean"},
		"a number for a string":      {`{"id":1}`, "id must be a string, not a number"},
		"null for a string":          {`{"id":null}`, "id must be a string, not null"},
		"an object for a string":     {`{"id":{}}`, "id must be a string, not an object"},
		"deep nesting":               {`{"id":` + strings.Repeat("[", 5000), "id must be a string, not an array"},
		"a string without an end":    {`{"id":"a`, "not closed"},
		"a string that ends escaped": {`{"id":"a\`, "not closed"},
		"an escape that is none":     {`{"id":"\q"}`, "escape"},
		"a raw control character":    {"{\"id\":\"a\x00\"}", `write it as \u0000`},
		"a string that is not UTF-8": {"{\"id\":\"\xff\"}", "not UTF-8"},
	} {
		t.Run(name, func(t *testing.T) {
			var r httpv1.CheckRequest
			if err := r.Decode([]byte(c.body)); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestDecodeOthers(t *testing.T) {
	var commit httpv1.CommitRequest
	if err := commit.Decode([]byte(`{"reservation":"r","cost":2}`)); err != nil || *commit.Reservation != "r" || *commit.Cost != 2 {
		t.Errorf("got %+v, %v", commit, err)
	}
	var release httpv1.ReleaseRequest
	if err := release.Decode([]byte(`{"reservation":"r"}`)); err != nil || *release.Reservation != "r" {
		t.Errorf("got %+v, %v", release, err)
	}
	if err := release.Decode([]byte(`{"cost":1}`)); err == nil {
		t.Error("a release took a cost")
	}
	if err := commit.Decode([]byte(`{"id":"r"}`)); err == nil {
		t.Error("a commit took an id")
	}
}

// TestAppendJSON wants the quick encoder to write what the standard one does.
func TestAppendJSON(t *testing.T) {
	at := httpv1.Time{Time: time.Date(2026, 11, 23, 9, 1, 12, 345_678_901, time.FixedZone("CET", 3600))}
	decisions := map[string]httpv1.Decision{
		"allow":                {Decision: "Allow", Remaining: new(int64(0)), Reservation: &httpv1.Reservation{ID: "a:b", Cost: 7, ExpiresAt: at}},
		"allow without limits": {Decision: "Allow", Reservation: &httpv1.Reservation{ID: "a", Cost: 1, ExpiresAt: at}},
		"suspended":            {Decision: "Reject", Reason: "Suspended"},
		"defer": {Decision: "Defer", DeferredUntil: &at, RetryAfterMillis: new(int64(12345)), Exhausted: []httpv1.ExhaustedWindow{
			{Window: "minute", Limit: 30, Used: 28, InFlight: 2, FreeAt: at}, {Window: "day", Limit: 1, Used: 1, FreeAt: at}}},
	}
	for name, d := range decisions {
		t.Run(name, func(t *testing.T) {
			want, err := json.Marshal(d)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(d.AppendJSON(nil))); diff != "" {
				t.Error(diff)
			}
		})
	}
	if got := string((&httpv1.Result{Outcome: "Late"}).AppendJSON(nil)); got != `{"outcome":"Late"}` {
		t.Error(got)
	}
	if text, _ := at.MarshalText(); string(text) != "2026-11-23T08:01:12.345Z" {
		t.Errorf("the time is written as %s", text)
	}
}

// FuzzDecode wants whatever is accepted to be JSON that the standard decoder reads the same way.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{"", "{}", `{"id":"a","cost":1,"ttlSeconds":2}`, `{"cost":01}`, `{"id":"\u0000"}`, "{}{}", `{"id":"a\`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var got, want httpv1.CheckRequest
		if err := got.Decode(body); err != nil || len(strings.Trim(string(body), " \t\r\n")) == 0 {
			return
		}
		if got.Cost != nil && (*got.Cost == math.MaxInt64 || *got.Cost == math.MinInt64) ||
			got.TTLSeconds != nil && (*got.TTLSeconds == math.MaxInt64 || *got.TTLSeconds == math.MinInt64) {
			return // beyond what the standard decoder takes
		}
		if err := json.Unmarshal(body, &want); err != nil {
			t.Fatalf("%q was accepted: %v", body, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("%q: %s", body, diff)
		}
	})
}

func ExampleDecision_AppendJSON() {
	left := int64(27)
	d := httpv1.Decision{Decision: httpv1.Allow, Remaining: &left}
	fmt.Printf("%s\n", d.AppendJSON(nil))
	// Output: {"decision":"Allow","remaining":27}
}

// TestBatchesGoRound wants what a caller in Go writes and reads with encoding/json to be what the service reads and
// writes.
func TestBatchesGoRound(t *testing.T) {
	sent := httpv1.CheckBatch{Checks: []httpv1.CheckItem{
		{Account: httpv1.Account{Namespace: "marketing", Name: "newsletter"}},
		{httpv1.Account{Namespace: "a", Name: "b"}, httpv1.CheckRequest{ID: new("x"), Cost: new(int64(2)), TTLSeconds: new(int64(9))}},
	}}
	body, err := json.Marshal(sent)
	if err != nil {
		t.Fatal(err)
	}
	var got httpv1.CheckBatch
	if err := got.Decode(body); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	if diff := cmp.Diff(sent, got); diff != "" {
		t.Error(diff)
	}
	for i, want := range sent.Checks {
		if account, req := got.Item(i); account != want.Account || cmp.Diff(&want.CheckRequest, req) != "" {
			t.Errorf("item %d is %v %v", i, account, req)
		}
	}
	var answer httpv1.CheckResults
	if err := json.Unmarshal([]byte(`{"results":[{"decision":"Allow","remaining":1},{"problem":{"status":404}}]}`), &answer); err != nil {
		t.Fatal(err)
	}
	if a, b := answer.Results[0], answer.Results[1]; a.Problem != nil || *a.Remaining != 1 || b.Decision != nil || b.Problem.Status != 404 {
		t.Errorf("got %+v", answer)
	}
}
