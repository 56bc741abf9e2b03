package server_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/sluice-mail/sluice/api/httpv1"
	"github.com/sluice-mail/sluice/limiter"
	"github.com/sluice-mail/sluice/limiter/limitertest"
)

// verbs are the calls that take a body.
var verbs = []string{"check", "commit", "release"}

// counted returns what counts against the newsletter's limits: what is in flight, and what was used
// in each window.
func (a *api) counted() (counted [4]int64) {
	a.t.Helper()
	u := into[httpv1.Usage](a.get("/v1/accounts/marketing/newsletter"))
	counted[0] = u.InFlight
	for i, w := range u.Windows {
		counted[i+1] = w.Used
	}
	return counted
}

// unused fails the test if anything was reserved or recorded for the newsletter.
func (a *api) unused() {
	a.t.Helper()
	if counted := a.counted(); counted != [4]int64{} {
		a.t.Errorf("a refused request left its mark: %v", counted)
	}
}

// TestBodies is about bodies that every call must refuse.
func TestBodies(t *testing.T) {
	text := func(contentType string) http.Header {
		return http.Header{"Content-Type": {contentType}}
	}
	encoded := func(encoding string) http.Header {
		return http.Header{"Content-Type": {"application/json"}, "Content-Encoding": {encoding}}
	}
	object := func(size int) string { return "{" + strings.Repeat(" ", size-2) + "}" }
	for name, c := range map[string]struct {
		request request
		status  int
		kind    string
		hint    string
	}{
		"not JSON": {
			request{body: "cost=1"}, 400, "malformed-request", "must be a JSON object, such as {}",
		},
		"half an object": {request{body: `{"cost":1`}, 400, "malformed-request", "(at byte"},
		"half an object, chunked": {
			request{body: `{"cost":1`, chunked: true}, 400, "malformed-request", "(at byte",
		},
		"an array": {
			request{body: "[]"}, 400, "malformed-request", "must be a JSON object, such as {}",
		},
		"null": {
			request{body: "null"}, 400, "malformed-request", "must be a JSON object, such as {}",
		},
		"deep nesting": {
			request{body: strings.Repeat("[", 16000)}, 400, "malformed-request",
			"must be a JSON object, such as {}",
		},
		"deep nesting in a field": {
			request{body: `{"a":` + strings.Repeat(`{"a":`, 3000)}, 400, "malformed-request",
			`no field "a"`,
		},
		"trailing garbage": {
			request{body: "{} x", beyondSchema: true}, 400, "malformed-request",
			"nothing may follow",
		},
		"a second object": {
			request{body: "{}{}", beyondSchema: true}, 400, "malformed-request",
			"nothing may follow",
		},
		"a byte of no text": {
			request{body: "\x00"}, 400, "malformed-request", "must be a JSON object, such as {}",
		},
		"a byte order mark": {
			request{body: "\ufeff{}"}, 400, "malformed-request",
			"begins with a byte order mark (EF BB BF); send it without",
		},
		"UTF-16": {
			request{body: "\xff\xfe{\x00}\x00"}, 400, "malformed-request", "the body is UTF-16",
		},
		"an unknown field": {
			request{body: `{"priority":1}`}, 400, "malformed-request",
			`no field "priority"; the fields are `,
		},
		"one byte too many": {
			request{body: object(16<<10 + 1)}, 413, "body-too-large", "at most 16384 bytes",
		},
		"one byte too many, chunked": {
			request{body: object(16<<10 + 1), chunked: true}, 413, "body-too-large",
			"at most 16384 bytes",
		},
		"far too many bytes": {
			request{body: object(200 << 10)}, 413, "body-too-large", "at most 16384 bytes",
		},
		"far too many bytes, chunked": {
			request{body: object(200 << 10), chunked: true}, 413, "body-too-large",
			"at most 16384 bytes",
		},
		"no content type": {
			request{body: "{}", header: http.Header{}}, 415, "unsupported-media-type",
			"Content-Type: application/json",
		},
		"plain text": {
			request{body: "{}", header: text("text/plain")}, 415, "unsupported-media-type",
			"Content-Type: application/json",
		},
		"a form": {
			request{body: "cost=1", header: text("application/x-www-form-urlencoded")}, 415,
			"unsupported-media-type", "Content-Type: application/json",
		},
		"a content type that is none": {
			request{body: "{}", header: text("application/json; charset"), beyondSchema: true}, 415,
			"unsupported-media-type", "Content-Type: application/json",
		},
		"a patch": {
			request{body: "{}", header: text("application/merge-patch+json")}, 415,
			"unsupported-media-type", "Content-Type: application/json",
		},
		"gzip": {
			request{body: "\x1f\x8b", header: encoded("gzip")}, 415, "unsupported-media-type",
			"without a content encoding",
		},
		"gzip that is none": {
			request{body: "{}", header: encoded("gzip"), beyondSchema: true}, 415,
			"unsupported-media-type", "without a content encoding",
		},
		"gzip, chunked": {
			request{body: "{}", header: encoded("gzip"), chunked: true, beyondSchema: true}, 415,
			"unsupported-media-type", "without a content encoding",
		},
		"gzip after another encoding": {
			request{
				body: "{}",
				header: http.Header{
					"Content-Type": {"application/json"}, "Content-Encoding": {"identity", "gzip"},
				},
				beyondSchema: true,
			},
			415, "unsupported-media-type", "without a content encoding",
		},
		"a content type that is twice": {
			request{
				body: "{}", header: http.Header{"Content-Type": {"application/json", "text/plain"}},
				beyondSchema: true,
			},
			415, "unsupported-media-type", "Content-Type: application/json",
		},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAPI(t, limiter.Policy{}, setup{})
			for _, verb := range verbs {
				a.call(c.request.to("/v1/accounts/marketing/newsletter/"+verb)).wantProblem(
					c.status, c.kind, c.hint)
			}
			a.unused()
		})
	}
}

// TestABodyThatIsAnnounced wants a body that is far too large to be refused before it is sent. If
// it is not larger than 256 KiB, net/http reads it to its end before it responds.
func TestABodyThatIsAnnounced(t *testing.T) {
	a := newAPI(t, limiter.Policy{}, setup{})
	got := a.raw("POST /v1/accounts/marketing/newsletter/check HTTP/1.1\r\nHost: sluice\r\n" +
		"Content-Length: 1000000\r\n\r\n")
	contract.hold(t, request{}, got)
	got.wantProblem(413, "body-too-large", "at most 16384 bytes")
}

// TestBodiesThatMeanTheDefaults is about bodies that no call may refuse.
func TestBodiesThatMeanTheDefaults(t *testing.T) {
	for name, r := range map[string]request{
		"nothing":                       {},
		"nothing, chunked":              {chunked: true},
		"nothing, of another type":      {header: http.Header{"Content-Type": {"text/plain"}}},
		"nothing, chunked, of no type":  {header: http.Header{}, chunked: true},
		"an empty object":               {body: "{}"},
		"an empty object, chunked":      {body: "{}", chunked: true},
		"as many bytes as there may be": {body: "{" + strings.Repeat(" ", 16<<10-2) + "}"},
		"the same, chunked": {
			body: "{" + strings.Repeat(" ", 16<<10-2) + "}", chunked: true,
		},
		"a charset": {
			body: "{}", header: http.Header{"Content-Type": {"Application/JSON; charset=utf-8"}},
		},
		"the encoding that is none": {
			body: "{}",
			header: http.Header{
				"Content-Type": {"application/json"}, "Content-Encoding": {"identity"},
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAPI(t, limiter.Policy{}, setup{})
			const path = "/v1/accounts/marketing/newsletter/"
			d := into[httpv1.CheckResponse](a.call(r.to(path + "check")))
			if d.Decision != httpv1.Allow || d.Reservation.Cost != 1 || d.Reservation.ID == "" {
				t.Errorf("got %+v", d)
			}
			released := into[httpv1.ReleaseResponse](a.call(r.to(path + "release")))
			if released.Outcome != httpv1.Released {
				t.Errorf("a release is %s", released.Outcome)
			}
			committed := into[httpv1.CommitResponse](a.call(r.to(path + "commit")))
			if committed.Outcome != httpv1.Unreserved {
				t.Errorf("a commit is %s", committed.Outcome)
			}
		})
	}
}

func TestFields(t *testing.T) {
	const (
		idHint = "id must be 1 to 255 visible ASCII characters: no spaces, no line breaks, no " +
			"other letters."
		refHint = "reservation must be 1 to 255 visible ASCII characters: no spaces, no line " +
			"breaks, no other letters."
		costHint = "cost must be an integer from 1 to 2147483647."
		ttlHint  = "ttlSeconds must be an integer from 1 to 900."
	)
	for name, c := range map[string]struct {
		verb, body string
		status     int
		kind, hint string
	}{
		"a cost of 0":     {"check", `{"cost":0}`, 422, "invalid-field", costHint},
		"a negative cost": {"check", `{"cost":-1}`, 422, "invalid-field", costHint},
		"a cost above the largest limit": {
			"check", `{"cost":2147483648}`, 422, "invalid-field", costHint,
		},
		"a cost above 64 bits": {
			"check", `{"cost":9223372036854775808}`, 422, "invalid-field", costHint,
		},
		"a cost far below 64 bits": {
			"check", `{"cost":-99999999999999999999999999}`, 422, "invalid-field", costHint,
		},
		"a cost above this account's limit": {
			"check", `{"cost":4}`, 422, "cost-exceeds-limit",
			"Split the message, or raise the limit.",
		},
		"a cost that is text": {
			"check", `{"cost":"1"}`, 400, "malformed-request",
			"cost must be an integer, not a string",
		},
		"a cost that is null": {
			"check", `{"cost":null}`, 400, "malformed-request", "cost must be an integer, not null",
		},
		"a cost with a fraction": {
			"check", `{"cost":1.5}`, 400, "malformed-request",
			"cost must be an integer, without a fraction",
		},
		"a time to live of 0":     {"check", `{"ttlSeconds":0}`, 422, "invalid-field", ttlHint},
		"a time to live of 901":   {"check", `{"ttlSeconds":901}`, 422, "invalid-field", ttlHint},
		"a negative time to live": {"check", `{"ttlSeconds":-1}`, 422, "invalid-field", ttlHint},
		"a time to live above 64 bits": {
			"check", `{"ttlSeconds":18446744073709551617}`, 422, "invalid-field", ttlHint,
		},
		"a time to live that is an array": {
			"check", `{"ttlSeconds":[1]}`, 400, "malformed-request",
			"ttlSeconds must be an integer, not an array",
		},
		"an empty id": {"check", `{"id":""}`, 422, "invalid-field", idHint},
		"an id of 256 characters": {
			"check", `{"id":"` + strings.Repeat("a", 256) + `"}`, 422, "invalid-field", idHint,
		},
		"an id with a space":      {"check", `{"id":"a b"}`, 422, "invalid-field", idHint},
		"an id with a line break": {"check", `{"id":"a\n"}`, 422, "invalid-field", idHint},
		"an id with a NUL":        {"check", `{"id":"a\u0000"}`, 422, "invalid-field", idHint},
		"an id in Greek":          {"check", `{"id":"αβγ"}`, 422, "invalid-field", idHint},
		"an id with a DEL":        {"check", `{"id":"a\u007f"}`, 422, "invalid-field", idHint},
		"an id that is a number": {
			"check", `{"id":1}`, 400, "malformed-request", "id must be a string, not a number",
		},
		"a commit of cost 0":        {"commit", `{"cost":0}`, 422, "invalid-field", costHint},
		"a commit of negative cost": {"commit", `{"cost":-1}`, 422, "invalid-field", costHint},
		"a commit above the largest limit": {
			"commit", `{"cost":2147483648}`, 422, "invalid-field", costHint,
		},
		"a commit above 64 bits": {
			"commit", `{"cost":9223372036854775808}`, 422, "invalid-field", costHint,
		},
		"a commit of an empty id": {"commit", `{"reservation":""}`, 422, "invalid-field", refHint},
		"a commit of a long id": {
			"commit", `{"reservation":"` + strings.Repeat("a", 256) + `"}`, 422, "invalid-field",
			refHint,
		},
		"a commit with a check's field": {
			"commit", `{"id":"a"}`, 400, "malformed-request",
			`no field "id"; the fields are reservation and cost`,
		},
		"a release of an empty id": {
			"release", `{"reservation":""}`, 422, "invalid-field", refHint,
		},
		"a release of an id with a space": {
			"release", `{"reservation":" "}`, 422, "invalid-field", refHint,
		},
		"a release with a cost": {
			"release", `{"cost":1}`, 400, "malformed-request",
			`no field "cost"; the fields are reservation`,
		},
		"a release of something else": {
			"release", `{"reservation":true}`, 400, "malformed-request",
			"reservation must be a string, not a boolean",
		},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAPI(t, limiter.Policy{Limits: limitertest.Limits(9, 3, 9)}, setup{})
			a.post(c.verb, c.body).wantProblem(c.status, c.kind, c.hint)
			a.unused()
		})
	}
}

// TestFieldsThatComeTwice: a JSON schema cannot refuse these, as it sees the last value only.
func TestFieldsThatComeTwice(t *testing.T) {
	a := newAPI(t, limiter.Policy{}, setup{})
	for verb, body := range map[string]string{
		"check": `{"cost":2,"cost":1}`, "commit": `{"cost":2,"c\u006fst":1}`,
		"release": `{"reservation":"a","reservation":"a"}`,
	} {
		r := request{body: body, beyondSchema: true}.to("/v1/accounts/marketing/newsletter/" + verb)
		a.call(r).wantProblem(400, "malformed-request", "comes twice")
	}
	a.unused()
}

func TestFieldsAtTheirBounds(t *testing.T) {
	a := newAPI(t, limiter.Policy{}, setup{})
	longest := strings.Repeat("aZ09._:-<@>/=+{}", 16)[:255]
	for _, body := range []string{
		`{"cost":1,"ttlSeconds":1,"id":"a"}`,
		`{"cost":2147483647,"ttlSeconds":900,"id":"` + longest + `"}`,
	} {
		if got := into[httpv1.CheckResponse](a.post("check", body)); got.Decision != httpv1.Allow {
			t.Errorf("%s: %+v", body, got)
		}
	}
	got := into[httpv1.CommitResponse](a.post("commit",
		`{"cost":2147483647,"reservation":"`+longest+`"}`))
	if got.Outcome != httpv1.Committed {
		t.Errorf("got %+v", got)
	}
}
