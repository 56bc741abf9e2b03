package server_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-mail/sluice/api/httpv1"
	"github.com/sluice-mail/sluice/limiter"
	"github.com/sluice-mail/sluice/limiter/limitertest"
)

// TestProblemsOfReservations is about calls that come at the wrong time, or to the wrong account.
func TestProblemsOfReservations(t *testing.T) {
	const (
		unknownHint = "There is nothing to free."
		endedHint   = "A check needs an id of its own for each attempt to send, such as <id>/2 " +
			"for the second; a release cannot free what counts as sent."
		costHint = "Repeat the check with that cost, or use an id of its own for another " +
			"attempt to send, such as <id>/2."
	)
	for name, c := range map[string]struct {
		before     []string // verb and body
		verb, body string
		kind, hint string
	}{
		"a release of what was never reserved": {
			nil, "release", `{"reservation":"a"}`, "404 reservation-not-found", unknownHint,
		},
		"a release of nothing": {nil, "release", "", "404 reservation-not-found", unknownHint},
		"a release of another account's": {
			[]string{`other check {"id":"a"}`}, "release", `{"reservation":"a"}`,
			"404 reservation-not-found", unknownHint,
		},
		"a release of nothing, but others'": {
			[]string{`other check {"id":"a"}`}, "release", "", "404 reservation-not-found",
			unknownHint,
		},
		"a release of what was committed": {
			[]string{`newsletter check {"id":"a"}`, `newsletter commit {"reservation":"a"}`},
			"release", `{"reservation":"a"}`, "409 reservation-conflict", endedHint,
		},
		"a release of what was sent unreserved": {
			[]string{`newsletter commit {"reservation":"a"}`}, "release", `{"reservation":"a"}`,
			"409 reservation-conflict", endedHint,
		},
		"a check of what was committed": {
			[]string{`newsletter check {"id":"a"}`, `newsletter commit {"reservation":"a"}`},
			"check", `{"id":"a"}`, "409 reservation-conflict", endedHint,
		},
		"a check of what was released": {
			[]string{`newsletter check {"id":"a"}`, `newsletter release {"reservation":"a"}`},
			"check", `{"id":"a"}`, "409 reservation-conflict", endedHint,
		},
		"a check of what is held with more": {
			[]string{`newsletter check {"id":"a"}`}, "check", `{"id":"a","cost":2}`,
			"409 reservation-conflict", costHint,
		},
		"a check of what is held with less": {
			[]string{`newsletter check {"id":"a","cost":2}`}, "check", `{"id":"a"}`,
			"409 reservation-conflict", costHint,
		},
		"a check above the smallest limit": {
			nil, "check", `{"cost":11}`, "422 cost-exceeds-limit",
			"Split the message, or raise the limit.",
		},
		"a check above all limits": {
			nil, "check", `{"cost":2147483647}`, "422 cost-exceeds-limit",
			"Split the message, or raise the limit.",
		},
		"a check above the limit when it's full": {
			[]string{`newsletter commit {"cost":10}`}, "check", `{"cost":11}`,
			"422 cost-exceeds-limit", "Split the message, or raise the limit.",
		},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAPI(t, limiter.Policy{Limits: limitertest.Limits(100, 10, 1000)}, setup{})
			limitertest.Apply(
				t,
				a.limiter,
				limiter.Key{Namespace: "marketing", Name: "other"},
				"uid-2",
				limiter.Policy{},
			)
			for _, call := range c.before {
				words := strings.SplitN(call, " ", 3)
				path := "/v1/accounts/marketing/" + words[0] + "/" + words[1]
				got := a.call(request{body: words[2]}.to(path))
				if got.status != 200 {
					t.Fatalf("%s: %d %s", call, got.status, got.body)
				}
			}
			before := a.counted()
			var status int
			var kind string
			if _, err := fmt.Sscan(c.kind, &status, &kind); err != nil {
				t.Fatal(err)
			}
			a.post(c.verb, c.body).wantProblem(status, kind, c.hint)
			if diff := cmp.Diff(before, a.counted()); diff != "" {
				t.Errorf("a refused request left its mark: %s", diff)
			}
		})
	}
}

// TestForeignReservations wants an account to know nothing of another's ids: the same id may be
// held by both.
func TestForeignReservations(t *testing.T) {
	a := newAPI(t, limiter.Policy{}, setup{})
	limitertest.Apply(
		t,
		a.limiter,
		limiter.Key{Namespace: "sales", Name: "newsletter"},
		"uid-2",
		limiter.Policy{},
	)
	a.post("check", `{"id":"a"}`)
	theirs := "/v1/accounts/sales/newsletter/"
	commit := request{body: `{"reservation":"a"}`}
	got := into[httpv1.CommitResponse](a.call(commit.to(theirs + "commit")))
	if got.Outcome != httpv1.Unreserved {
		t.Errorf("a commit of another account's reservation is %s", got.Outcome)
	}
	if u := into[httpv1.Usage](a.get("/v1/accounts/marketing/newsletter")); u.InFlight != 1 {
		t.Errorf("the reservation is gone: %+v", u)
	}
}

// TestNotReady is about guarantee G10: before all accounts are loaded, Sluice says nothing about
// any account, not even that it does not exist.
func TestNotReady(t *testing.T) {
	a := newAPI(t, limiter.Policy{}, setup{unloaded: true})
	for name, account := range map[string]string{
		"a known account": "marketing/newsletter", "an unknown one": "marketing/nobody",
	} {
		t.Run(name, func(t *testing.T) { a.in(t).wantNotReady("/v1/accounts/" + account) })
	}
	for name, segment := range names {
		t.Run(name, func(t *testing.T) {
			a.in(t).wantNotReady("/v1/accounts/marketing/" + segment)
		})
	}
	for name, path := range noPaths {
		t.Run(name, func(t *testing.T) {
			notReady(a.in(t).get(path))
			notReady(a.in(t).call(request{}.to(path)))
		})
	}
	notReady(a.get("/v1/accounts"))
	notReady(a.get("/v1/accounts?namespace=marketing&limit=1"))
	notReady(a.call(request{method: http.MethodHead}.to("/v1/accounts")))
	if got := a.get("/openapi.yaml"); got.status != 200 {
		t.Errorf("the contract is not there: %d", got.status)
	}
	a.limiter.MarkLoaded()
	a.unused()
}

func (a *api) wantNotReady(account string) {
	a.t.Helper()
	notReady(a.get(account))
	for _, verb := range verbs {
		notReady(a.call(request{}.to(account + "/" + verb)))
	}
	notReady(a.call(request{body: `{"id":"a","cost":2,"ttlSeconds":9}`}.to(account + "/check")))
}

func notReady(got response) {
	got.t.Helper()
	if got.status != 503 || got.header.Get("Retry-After") != "1" {
		got.t.Errorf("got %d, Retry-After: %q", got.status, got.header.Get("Retry-After"))
	}
	if got.body != "" { // else it is the answer to HEAD
		got.wantProblem(503, "not-ready", "Do not send; ask again in a second.")
	}
}

func TestOverloaded(t *testing.T) {
	a := newAPI(t, limiter.Policy{}, setup{maxReservations: 2})
	a.post("check", `{"id":"a"}`)
	a.post("check", `{"id":"b"}`)
	got := a.post("check", `{"id":"c"}`)
	got.wantProblem(503, "overloaded",
		"Commit or release what is outstanding, ask with a shorter ttlSeconds, "+
			"or raise --max-reservations.")
	if got.header.Get("Retry-After") != "1" {
		t.Errorf("got Retry-After: %q", got.header.Get("Retry-After"))
	}
	// A check that repeats an id is allowed, and a commit needs no room.
	again := into[httpv1.CheckResponse](a.post("check", `{"id":"b"}`))
	if again.Decision != httpv1.Allow {
		t.Errorf("got %+v", again)
	}
	into[httpv1.CommitResponse](a.post("commit", `{"reservation":"c"}`))
	into[httpv1.ReleaseResponse](a.post("release", `{"reservation":"b"}`))
	next := into[httpv1.CheckResponse](a.post("check", `{"id":"d"}`))
	if next.Decision != httpv1.Allow {
		t.Errorf("got %+v", next)
	}
}

// TestAClientThatLeaves closes its connection in the middle of a body that would have been fine.
func TestAClientThatLeaves(t *testing.T) {
	const whole = `{"id":"a","cost":1}`
	for name, c := range map[string]struct{ headers, body string }{
		"in the middle of the body":    {"Content-Length: 19\r\n", whole[:9]},
		"between the body and its end": {"Content-Length: 100\r\n", whole},
		"before the body":              {"Content-Length: 19\r\n", ""},
		"in the middle of a chunk":     {"Transfer-Encoding: chunked\r\n", "13\r\n" + whole[:9]},
		"before the last chunk": {
			"Transfer-Encoding: chunked\r\n", "13\r\n" + whole + "\r\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAPI(t, limiter.Policy{}, setup{})
			conn, err := net.Dial("tcp", a.address)
			if err != nil {
				t.Fatal(err)
			}
			const head = "POST /v1/accounts/marketing/newsletter/check HTTP/1.1\r\n" +
				"Host: sluice\r\nContent-Type: application/json\r\n"
			if _, err := io.WriteString(conn, head+c.headers+"\r\n"+c.body); err != nil {
				t.Fatal(err)
			}
			if err := conn.Close(); err != nil {
				t.Fatal(err)
			}
			// The client is gone: the line in the log tells when the request ended.
			line := a.logLine()
			if !strings.Contains(line, `"status":400`) ||
				!strings.Contains(line, "could not be read to its end") {
				t.Errorf("logged %s", line)
			}
			a.unused()
		})
	}
}

// TestADrainingReplicaAdmitsNothing, but still counts what was allowed before.
func TestADrainingReplicaAdmitsNothing(t *testing.T) {
	a := newAPI(t, limiter.Policy{Limits: limitertest.Limits(100, 10, 1000)}, setup{})
	for _, id := range []string{"a", "b"} {
		if got := a.post("check", `{"id":"`+id+`"}`); got.status != http.StatusOK {
			t.Fatalf("%d %s", got.status, got.body)
		}
	}
	a.limiter.Drain()
	const hint = "This replica of Sluice is stopping. Do not send; ask again in a second."
	const of = `"namespace":"marketing","name":"newsletter"`
	a.post("check", `{"id":"c"}`).wantProblem(http.StatusServiceUnavailable, "not-ready", hint)
	a.call(request{body: `{"checks":[{` + of + `}]}`}.to("/v1/check")).
		wantProblem(http.StatusServiceUnavailable, "not-ready", hint)
	for _, got := range []response{
		a.post("commit", `{"reservation":"a"}`),
		a.call(request{body: `{"releases":[{` + of + `,"reservation":"b"}]}`}.to("/v1/release")),
	} {
		if got.status != http.StatusOK || !strings.Contains(got.body, `{"outcome":"`) {
			t.Errorf("%d %s", got.status, got.body)
		}
	}
}

// TestAnAccountHasAShareOfTheReservations wants an account that is full to get another problem than
// when all of Sluice is full.
func TestAnAccountHasAShareOfTheReservations(t *testing.T) {
	a := newAPI(t, limiter.Policy{}, setup{maxReservations: 2000})
	for range 1000 {
		if got := a.post("check", ""); got.status != http.StatusOK {
			t.Fatalf("%d %s", got.status, got.body)
		}
	}
	a.post("check", "").wantProblem(http.StatusServiceUnavailable, "overloaded",
		"raise --max-reservations-per-account.")
	other := limiter.Key{Namespace: "marketing", Name: "other"}
	limitertest.Apply(t, a.limiter, other, "uid-2", limiter.Policy{})
	got := a.call(request{}.to("/v1/accounts/marketing/other/check"))
	if got.status != http.StatusOK {
		t.Errorf("another account: %d %s", got.status, got.body)
	}
}
