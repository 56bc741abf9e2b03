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
		"nothing means the defaults":         {"", httpv1.CheckRequest{}},
		"white space means the defaults":     {" \r\n\t", httpv1.CheckRequest{}},
		"an empty object means the defaults": {"{}", httpv1.CheckRequest{}},
		"all fields, in any order, with space": {
			" { \"cost\" : 3 ,\n\"ttlSeconds\":900, \"id\":\"a-1\" } ",
			httpv1.CheckRequest{ID: new("a-1"), Cost: new(int64(3)), TTLSeconds: new(int64(900))},
		},
		"escapes in strings and names": {
			`{"\u0069d":"a\u002d1"}`, httpv1.CheckRequest{ID: new("a-1")},
		},
		"an escaped quote does not end": {`{"id":"a\"b"}`, httpv1.CheckRequest{ID: new(`a"b`)}},
		"negative and zero are for validation": {
			`{"cost":-0,"ttlSeconds":-7}`,
			httpv1.CheckRequest{Cost: new(int64(0)), TTLSeconds: new(int64(-7))},
		},
		"beyond 64 bits is out of any bound": {
			`{"cost":99999999999999999999,"ttlSeconds":-99999999999999999999}`,
			httpv1.CheckRequest{
				Cost: new(int64(math.MaxInt64)), TTLSeconds: new(int64(math.MinInt64)),
			},
		},
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
		"no JSON":          {"cost=1", "must be a JSON object"},
		"half an object":   {`{"cost":1`, "expected , or }"},
		"a name only":      {`{"cost"`, "expected :"},
		"an array":         {"[]", "must be a JSON object"},
		"null":             {"null", "must be a JSON object"},
		"trailing garbage": {"{} x", "nothing may follow"},
		"a second object":  {"{}{}", "nothing may follow"},
		"a trailing comma": {`{"cost":1,}`, "double quotes"},
		"no comma":         {`{"cost":1 "id":"a"}`, "expected , or }"},
		"a field that is not known": {
			`{"costs":1}`, `no field "costs"; the fields are id, cost and ttlSeconds`,
		},
		"a field in another case":  {`{"Cost":1}`, `no field "Cost"`},
		"a field that comes twice": {`{"cost":1,"cost":2}`, `"cost" comes twice`},
		"a string for a number":    {`{"cost":"1"}`, "cost must be an integer, not a string"},
		"a fraction":               {`{"cost":1.5}`, "without a fraction"},
		"a small fraction": {
			`{"cost":1.0000000000000000000000000000001}`, "without a fraction",
		},
		"a fraction by an exponent":  {`{"cost":15e-1}`, "without a fraction"},
		"nearly nothing":             {`{"cost":1e-999999999999999999999}`, "without a fraction"},
		"a point without a fraction": {`{"cost":1.}`, "not a number"},
		"an exponent without digits": {`{"cost":1e+}`, "not a number"},
		"a leading zero, 1.0":        {`{"cost":01.0}`, "not a number"},
		"two points":                 {`{"cost":1.0.0}`, "expected , or }"},
		"a byte order mark": {
			"\ufeff{}", "begins with a byte order mark (EF BB BF); send it without",
		},
		"a byte order mark alone": {"\ufeff", "begins with a byte order mark"},
		"UTF-16":                  {"{\x00}\x00", "the body is UTF-16 or UTF-32; send UTF-8"},
		"UTF-16, the other way":   {"\x00{\x00}", "the body is UTF-16 or UTF-32; send UTF-8"},
		"UTF-16 with a mark": {
			"\xff\xfe{\x00}\x00", "the body is UTF-16 or UTF-32; send UTF-8",
		},
		"the other way with a mark": {
			"\xfe\xff\x00{\x00}", "the body is UTF-16 or UTF-32; send UTF-8",
		},
		"UTF-32": {"\x00\x00\x00{\x00\x00\x00}", "the body is UTF-16 or UTF-32; send UTF-8"},
		"a very long name": {
			`{"` + strings.Repeat("é", 5000) + `":1}`,
			`there is no field of that name; the fields are`,
		},
		"a mail address for a name": {
			`{"joe@example.com":1}`, `there is no field of that name; the fields are`,
		},
		"a token for a name": {
			`{"eyJhbGciOiJSUzI1NiJ9.e30.c2ln":1}`, `there is no field of that name; the fields are`,
		},
		"a leading zero":    {`{"cost":01}`, "not a number"},
		"a sign alone":      {`{"cost":-}`, "not a number"},
		"a plus sign":       {`{"cost":+1}`, "must be an integer"},
		"null for a number": {`{"cost":null}`, "cost must be an integer, not null"},
		"a boolean for a number": {
			`{"ttlSeconds":true}`, "ttlSeconds must be an integer, not a boolean",
		},
		"a number for a string":  {`{"id":1}`, "id must be a string, not a number"},
		"null for a string":      {`{"id":null}`, "id must be a string, not null"},
		"an object for a string": {`{"id":{}}`, "id must be a string, not an object"},
		"deep nesting": {
			`{"id":` + strings.Repeat("[", 5000), "id must be a string, not an array",
		},
		"a string without an end":    {`{"id":"a`, "not closed"},
		"a string that ends escaped": {`{"id":"a\`, "not closed"},
		"an escape that is none":     {`{"id":"\q"}`, "escape"},
		"a raw control character":    {"{\"id\":\"a\x00\"}", `write it as \u0000`},
		"a string that is not UTF-8": {"{\"id\":\"\xff\"}", "not UTF-8"},
	} {
		t.Run(name, func(t *testing.T) {
			var r httpv1.CheckRequest
			err := r.Decode([]byte(c.body))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestDecodeOthers(t *testing.T) {
	var commit httpv1.CommitRequest
	err := commit.Decode([]byte(`{"reservation":"r","cost":2}`))
	if err != nil || *commit.Reservation != "r" || *commit.Cost != 2 {
		t.Errorf("got %+v, %v", commit, err)
	}
	var release httpv1.ReleaseRequest
	err = release.Decode([]byte(`{"reservation":"r"}`))
	if err != nil || *release.Reservation != "r" {
		t.Errorf("got %+v, %v", release, err)
	}
	if err := release.Decode([]byte(`{"cost":1}`)); err == nil {
		t.Error("a release took a cost")
	}
	if err := commit.Decode([]byte(`{"id":"r"}`)); err == nil {
		t.Error("a commit took an id")
	}
}

// TestIntegers is about numbers that have no fraction, however they are written.
func TestIntegers(t *testing.T) {
	for text, want := range map[string]int64{
		"1": 1, "1.0": 1, "-1.000": -1, "0.0": 0, "-0": 0, "-0.0": 0, "-0e7": 0, "1e2": 100,
		"1E+2":  100,
		"1.5e1": 15, "100e-2": 1, "0.001e3": 1, "1.20e1": 12, "2147483647.0": math.MaxInt32,
		"9223372036854775807.0": math.MaxInt64, "-9223372036854775808e0": math.MinInt64,
		"9223372036854775808.0": math.MaxInt64, "1e19": math.MaxInt64, "-1e19": math.MinInt64,
		"1e999999999": math.MaxInt64, "-1e999999999999999999999": math.MinInt64,
		"0e999999999": 0, "0.000e-999999999999999999999": 0,
		"1" + strings.Repeat("0", 9000) + "e-9000":       1,
		"0." + strings.Repeat("0", 8999) + "7e9000":      7,
		"1." + strings.Repeat("0", 15000):                1,
		"1" + strings.Repeat("0", 7000) + ".0e+00000009": math.MaxInt64,
	} {
		var check httpv1.CheckRequest
		var commit httpv1.CommitRequest
		var batch httpv1.CheckBatchRequest
		for body, into := range map[string]interface{ Decode([]byte) error }{
			`{"ttlSeconds":` + text + `,"cost":` + text + `}`: &check,
			`{"cost":` + text + `}`:                           &commit,
			`{"checks":[{"cost":` + text + `}]}`:              &batch,
		} {
			if err := into.Decode([]byte(body)); err != nil {
				t.Errorf("%.60s: %v", text, err)
			}
		}
		got := []*int64{check.Cost, check.TTLSeconds, commit.Cost, batch.Checks[0].Cost}
		if diff := cmp.Diff([]*int64{&want, &want, &want, &want}, got); diff != "" {
			t.Errorf("%.60s: %s", text, diff)
		}
	}
}

func TestValidID(t *testing.T) {
	for id, want := range map[string]bool{
		"a": true, "<4711.abc@example.com>": true, "<a@b>/2": true,
		`!"#$%&'()*+,/;=?@[\]^{|}~`: true,
		strings.Repeat("~", 255):    true, strings.Repeat("~", 256): false,
		"": false, " ": false, "a b": false, "a\n": false, "\x7f": false, "é": false, "\xff": false,
		"\x00": false,
	} {
		if got := httpv1.ValidID(id); got != want {
			t.Errorf("%q: %v", id, got)
		}
	}
}

// TestExcerpt wants what is repeated of a request to be short and valid UTF-8, wherever it is cut.
func TestExcerpt(t *testing.T) {
	for name, c := range map[string]struct{ of, want string }{
		"nothing":                 {"", ""},
		"as much as there may be": {strings.Repeat("ä", 100), strings.Repeat("ä", 100)},
		"one character more":      {strings.Repeat("ä", 101), strings.Repeat("ä", 100) + "…"},
		"a megabyte":              {strings.Repeat("a", 1<<20), strings.Repeat("a", 100) + "…"},
		"bytes that are no text":  {"a\xff\xfe", "a\ufffd"},
		"a character that is split": {
			strings.Repeat("a", 99) + "\xe2\x80", strings.Repeat("a", 99) + "\ufffd…",
		},
	} {
		if got := httpv1.Excerpt(c.of); got != c.want {
			t.Errorf("%s: got %.200q", name, got)
		}
	}
}

// standard is what the standard encoder writes, which escapes for HTML unless it is told not to.
func standard(t *testing.T, v any) string {
	t.Helper()
	var b strings.Builder
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// TestAppendJSON wants the quick encoder to write what the standard one does.
func TestAppendJSON(t *testing.T) {
	at := httpv1.Time{
		Time: time.Date(2026, 11, 23, 9, 1, 12, 345_678_901, time.FixedZone("CET", 3600)),
	}
	decisions := map[string]httpv1.CheckResponse{
		"allow": {
			Decision: "Allow", Remaining: new(int64(0)),
			Reservation: &httpv1.Reservation{ID: "a:b", Cost: 7, ExpiresAt: at},
		},
		"allow without limits": {
			Decision: "Allow", Reservation: &httpv1.Reservation{ID: "a", Cost: 1, ExpiresAt: at},
		},
		"a Message-ID": {
			Decision:    "Allow",
			Reservation: &httpv1.Reservation{ID: "<4711&a@example.com>/2", Cost: 1, ExpiresAt: at},
		},
		"quotes in an id": {
			Decision:    "Allow",
			Reservation: &httpv1.Reservation{ID: `"<a\b"@c>\`, Cost: 1, ExpiresAt: at},
		},
		"suspended": {Decision: "Reject", Reason: "Suspended"},
		"defer": {
			Decision: "Defer", DeferredUntil: &at, RetryAfterMillis: new(int64(12345)),
			Exhausted: []httpv1.ExhaustedWindow{
				{Window: "minute", Limit: 30, Used: 28, InFlight: 2, FreeAt: at},
				{Window: "day", Limit: 1, Used: 1, FreeAt: at},
			},
		},
	}
	for name, d := range decisions {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(standard(t, d), string(d.AppendJSON(nil))); diff != "" {
				t.Error(diff)
			}
		})
	}
	got := string((&httpv1.CommitResponse{Outcome: "Late"}).AppendJSON(nil))
	if got != `{"outcome":"Late"}` {
		t.Error(got)
	}
	if text, _ := at.MarshalText(); string(text) != "2026-11-23T08:01:12.345Z" {
		t.Errorf("the time is written as %s", text)
	}
}

// FuzzDecode wants whatever is accepted to be JSON that the standard decoder reads the same way.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		"", "{}", `{"id":"a","cost":1,"ttlSeconds":2}`, `{"cost":01}`, `{"id":"\u0000"}`, "{}{}",
		`{"id":"a\`, `{"cost":1.50e+1,"ttlSeconds":1e9999999}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var got, want httpv1.CheckRequest
		if err := got.Decode(body); err != nil || len(strings.Trim(string(body), " \t\r\n")) == 0 {
			return
		}
		var read numbers
		if err := json.Unmarshal(body, &read); err != nil {
			t.Fatalf("%q was accepted: %v", body, err)
		}
		want = read.check(t)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("%q: %s", body, diff)
		}
	})
}

func ExampleCheckResponse_AppendJSON() {
	left := int64(27)
	d := httpv1.CheckResponse{Decision: httpv1.Allow, Remaining: &left}
	fmt.Printf("%s\n", d.AppendJSON(nil))
	// Output: {"decision":"Allow","remaining":27}
}

// TestBatchesGoRound wants what a caller in Go writes and reads with encoding/json to be what the
// service reads and writes.
func TestBatchesGoRound(t *testing.T) {
	sent := httpv1.CheckBatchRequest{Checks: []httpv1.CheckItem{
		{Account: httpv1.Account{Namespace: "marketing", Name: "newsletter"}},
		{
			httpv1.Account{Namespace: "a", Name: "b"},
			httpv1.CheckRequest{ID: new("x"), Cost: new(int64(2)), TTLSeconds: new(int64(9))},
		},
	}}
	body, err := json.Marshal(sent)
	if err != nil {
		t.Fatal(err)
	}
	var got httpv1.CheckBatchRequest
	if err := got.Decode(body); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	if diff := cmp.Diff(sent, got); diff != "" {
		t.Error(diff)
	}
	var answer httpv1.CheckBatchResponse
	err = json.Unmarshal(
		[]byte(`{"results":[{"decision":"Allow","remaining":1},{"problem":{"status":404}}]}`),
		&answer)
	if err != nil {
		t.Fatal(err)
	}
	a, b := answer.Results[0], answer.Results[1]
	if a.Problem != nil || *a.Remaining != 1 || b.CheckResponse != nil || b.Problem.Status != 404 {
		t.Errorf("got %+v", answer)
	}
}
