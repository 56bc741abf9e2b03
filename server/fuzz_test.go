package server_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/sluice-mail/sluice/api/httpv1"
	"github.com/sluice-mail/sluice/limiter"
	"github.com/sluice-mail/sluice/limiter/limitertest"
	"github.com/sluice-mail/sluice/limiter/memory"
	"github.com/sluice-mail/sluice/server"
)

// FuzzPath sends any method, target and body to the handler. Whatever net/http accepts as a request
// gets a response of the contract, never a 500, and finds an account only if it names one.
func FuzzPath(f *testing.F) {
	const path = "/v1/accounts/marketing/newsletter"
	for _, target := range []string{
		path, path + "/check", "/v1/accounts?limit=1", "/openapi.yaml", "*",
	} {
		f.Add("GET", target, "")
		f.Add("POST", target, `{"cost":2}`)
	}
	for _, name := range names {
		f.Add("POST", "/v1/accounts/marketing/"+name+"/commit", "{}")
	}
	for _, target := range noPaths {
		f.Add("POST", target, "{}")
	}
	to := newTarget()
	f.Fuzz(func(t *testing.T, method, target, body string) {
		to.reset(t)
		r, err := read(method, target, body)
		if err != nil {
			return // it would not reach the handler
		}
		got := to.send(t, r)
		asked := request{
			method: r.Method, path: (&url.URL{Path: r.URL.Path, RawPath: r.URL.RawPath}).String(),
		}
		err = validateResponse(contract.input(t, asked), got)
		if err != nil || got.status == http.StatusInternalServerError {
			t.Errorf("the response %d %s breaks the contract: %v", got.status, got.body, err)
		}
		if found(got) && !mayFind(r) {
			t.Errorf("the response %d %s is about no account that exists",
				got.status, got.body)
		}
		if strings.Contains(got.body, httpv1.AccountNotFound.Name) && mayFind(r) &&
			strings.HasPrefix(r.URL.Path, "/v1/accounts/") {
			t.Errorf("the response %d %s is about the account that there is", got.status, got.body)
		}
		if n := to.limiter.Stats().Accounts; n != 1 {
			t.Errorf("there are %d accounts", n)
		}
	})
}

// target is a handler that serves all runs: to make one costs more than a run does.
type target struct {
	limiter *limiter.Limiter
	handler http.Handler
	runs    int
}

func newTarget() *target {
	l := limiter.New(memory.New(memory.Options{}))
	l.MarkLoaded()
	return &target{limiter: l, handler: server.New(server.Options{Limiter: l})}
}

// reset begins the newsletter anew.
func (to *target) reset(t *testing.T) {
	to.runs++
	limitertest.Apply(t, to.limiter, newsletter, fmt.Sprint("uid-", to.runs),
		limiter.Policy{Limits: limitertest.Limits(3, 3, 3)})
}

// read reads a request as net/http would, which refuses what is not HTTP.
func read(method, target, body string) (*http.Request, error) {
	head := fmt.Sprintf(
		"%s %s HTTP/1.1\r\nHost: sluice\r\nContent-Type: application/json\r\n"+
			"Content-Length: %d\r\n\r\n",
		method, target, len(body))
	return http.ReadRequest(bufio.NewReader(strings.NewReader(head + body)))
}

func (to *target) send(t *testing.T, r *http.Request) response {
	w := httptest.NewRecorder()
	to.handler.ServeHTTP(w, r)
	if r.Method == http.MethodHead {
		w.Body.Reset() // net/http sees to that
	}
	return response{t, w.Code, w.Header(), w.Body.String()}
}

// found reports whether a response tells anything about an account, even only that it exists.
func found(r response) bool {
	for _, sign := range []string{
		`"decision":`, `"outcome":`, `"windows":`, httpv1.ReservationConflict.Name,
		httpv1.ReservationNotFound.Name, httpv1.CostExceedsLimit.Name,
	} {
		if strings.Contains(r.body, sign) {
			return true
		}
	}
	return false
}

// mayFind reports whether a request is about the one account that exists, however its name is
// escaped, or about any account.
func mayFind(r *http.Request) bool {
	path := r.URL.RawPath // as it was sent; EscapedPath gives up on it where it has raw bytes
	if path == "" {
		path = r.URL.EscapedPath()
	}
	switch path {
	case "/v1/accounts", "/openapi.yaml", "/v1/check", "/v1/commit", "/v1/release":
		return true
	}
	rest, ok := strings.CutPrefix(path, "/v1/accounts/")
	segments := strings.Split(rest, "/")
	if !ok || len(segments) < 2 {
		return false
	}
	namespace, _ := url.PathUnescape(segments[0])
	name, _ := url.PathUnescape(segments[1])
	return limiter.Key{Namespace: namespace, Name: name} == newsletter
}

var validID = regexp.MustCompile(`^[!-~]{1,255}$`)

// FuzzID checks, commits and releases with any id. A valid id is told back as it was sent. All
// calls refuse any other id, and it leaves no trace.
func FuzzID(f *testing.F) {
	for _, id := range []string{
		"", "a", "mail-1", "A:b_c.d-9", "a b", "a/b", "\x00", "é", "\xff", `"`, `"<\>`,
		"<4711@example.com>/2", strings.Repeat("a", 255), strings.Repeat("a", 256),
	} {
		f.Add(id)
	}
	to := newTarget()
	f.Fuzz(func(t *testing.T, id string) {
		if len(id) > 1000 {
			return // its body may be too large, and then nobody looks at the id
		}
		to.reset(t)
		quoted, err := json.Marshal(id)
		if err != nil {
			t.Fatal(err)
		}
		call := func(method, target, body string) response {
			r, err := read(method, target, body)
			if err != nil {
				t.Fatal(err)
			}
			return to.send(t, r)
		}
		post := func(verb, field string) response {
			return call(http.MethodPost, "/v1/accounts/marketing/newsletter/"+verb,
				fmt.Sprintf(`{%q:%s}`, field, quoted))
		}
		checked, committed := post("check", "id"), post("commit", "reservation")
		released := post("release", "reservation")
		if !validID.MatchString(id) {
			checked.wantProblem(422, "invalid-field", "id must be")
			committed.wantProblem(422, "invalid-field", "reservation must be")
			released.wantProblem(422, "invalid-field", "reservation must be")
		} else {
			d := into[httpv1.CheckResponse](checked)
			if d.Decision != httpv1.Allow || d.Reservation.ID != id {
				t.Errorf("the id %q is told back as %s", id, checked.body)
			}
			if got := into[httpv1.CommitResponse](committed); got.Outcome != httpv1.Committed {
				t.Errorf("the commit of %q is %s", id, got.Outcome)
			}
			released.wantProblem(409, "reservation-conflict", "")
		}
		usage := into[httpv1.Usage](call(http.MethodGet, "/v1/accounts/marketing/newsletter", ""))
		if used := usage.Windows[0].Used; (used == 1) != validID.MatchString(id) {
			t.Errorf("after %q the minute holds %d", id, used)
		}
	})
}
