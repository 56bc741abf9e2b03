package sluice_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-mail/sluice/api/httpv1"
	"github.com/sluice-mail/sluice/client/sluice"
	"github.com/sluice-mail/sluice/limiter"
	"github.com/sluice-mail/sluice/limiter/limitertest"
	"github.com/sluice-mail/sluice/server"
)

// TestCallsOfADispatcher makes each call at a real server.
func TestCallsOfADispatcher(t *testing.T) {
	c, ctx := serve(t, newLimiter(perMinute(2))), t.Context()
	first, err := c.Check(ctx, account, httpv1.CheckRequest{ID: new("<1@example.com>")})
	if err != nil || first.Decision != httpv1.Allow || *first.Remaining != 1 {
		t.Fatalf("the first check answered %+v, %v", first, err)
	}
	again, err := c.Check(ctx, account, httpv1.CheckRequest{ID: new("<1@example.com>")})
	if diff := cmp.Diff(first.Reservation, again.Reservation); err != nil || diff != "" {
		t.Errorf("the check was repeated, and its reservation is another: %v\n%s", err, diff)
	}
	second, err := c.Check(ctx, account, httpv1.CheckRequest{TTLSeconds: new(int64(5))})
	if err != nil || second.Decision != httpv1.Allow {
		t.Fatalf("the second check answered %+v, %v", second, err)
	}
	denied, err := c.Check(ctx, account, httpv1.CheckRequest{})
	if err != nil || denied.Decision != httpv1.Defer || denied.DeferredUntil == nil {
		t.Errorf("a denied check answered %+v, %v", denied, err)
	}
	committed, err := c.Commit(ctx, account, httpv1.CommitRequest{Reservation: &first.Reservation.ID})
	if err != nil || committed.Outcome != httpv1.Committed {
		t.Errorf("the commit answered %+v, %v", committed, err)
	}
	released, err := c.Release(ctx, account,
		httpv1.ReleaseRequest{Reservation: &second.Reservation.ID})
	if err != nil || released.Outcome != httpv1.Released {
		t.Errorf("the release answered %+v, %v", released, err)
	}
	unreserved, err := c.Commit(ctx, account, httpv1.CommitRequest{Cost: new(int64(7))})
	if err != nil || unreserved.Outcome != httpv1.Unreserved {
		t.Errorf("a commit of nothing answered %+v, %v", unreserved, err)
	}
	u, err := c.Usage(ctx, account)
	if err != nil || u.Name != account.Name || u.InFlight != 0 || u.Windows[0].Used != 8 {
		t.Errorf("the usage is %+v, %v", u, err)
	}
}

func TestBatches(t *testing.T) {
	// With its own ids, which it makes as it may repeat the call.
	l := newLimiter(perMinute(2))
	c := newClient(t, url, sluice.Options{Transport: direct(server.New(server.Options{Limiter: l}))})
	nobody := httpv1.Account{Namespace: "marketing", Name: "nobody"}
	request := httpv1.CheckBatchRequest{Checks: []httpv1.CheckItem{
		{Account: account}, {Account: nobody},
		{Account: account, CheckRequest: httpv1.CheckRequest{ID: new("mine")}}, {Account: account},
	}}
	checks, err := c.CheckBatch(t.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range checks.Results {
		if err := sluice.ProblemError(r.Problem); err != nil {
			got = append(got, fmt.Sprint("not found: ", errors.Is(err, sluice.ErrAccountNotFound)))
		} else {
			got = append(got, r.Decision)
		}
	}
	if diff := cmp.Diff([]string{"Allow", "not found: true", "Allow", "Defer"}, got); diff != "" {
		t.Errorf("want -, got +:\n%s", diff)
	}
	if request.Checks[0].ID != nil {
		t.Error("the caller's request was changed")
	}
	made, mine := checks.Results[0].Reservation.ID, checks.Results[2].Reservation.ID
	if len(made) < 20 || mine != "mine" {
		t.Errorf("the ids are %q and %q", made, mine)
	}
	commits, err := c.CommitBatch(t.Context(), httpv1.CommitBatchRequest{Commits: []httpv1.CommitItem{
		{Account: account, CommitRequest: httpv1.CommitRequest{Reservation: &made}},
	}})
	if err != nil || commits.Results[0].Outcome != httpv1.Committed {
		t.Errorf("the commits answered %+v, %v", commits, err)
	}
	releases, err := c.ReleaseBatch(t.Context(),
		httpv1.ReleaseBatchRequest{Releases: []httpv1.ReleaseItem{
			{Account: account, ReleaseRequest: httpv1.ReleaseRequest{Reservation: &made}},
			{Account: account, ReleaseRequest: httpv1.ReleaseRequest{Reservation: &mine}},
		}})
	if err != nil || releases.Results[1].Outcome != httpv1.Released ||
		!errors.Is(sluice.ProblemError(releases.Results[0].Problem), sluice.ErrReservationConflict) {
		t.Errorf("the releases answered %+v, %v", releases, err)
	}
}

func TestABatchOfNothingIsAnswered(t *testing.T) {
	c := serve(t, newLimiter(perMinute(2)))
	checks, err := c.CheckBatch(t.Context(), httpv1.CheckBatchRequest{})
	if err != nil || len(checks.Results) != 0 {
		t.Errorf("checks: %+v, %v", checks, err)
	}
	commits, err := c.CommitBatch(t.Context(), httpv1.CommitBatchRequest{})
	if err != nil || len(commits.Results) != 0 {
		t.Errorf("commits: %+v, %v", commits, err)
	}
	releases, err := c.ReleaseBatch(t.Context(), httpv1.ReleaseBatchRequest{})
	if err != nil || len(releases.Results) != 0 {
		t.Errorf("releases: %+v, %v", releases, err)
	}
}

func TestListsComeInPages(t *testing.T) {
	l := newLimiter(limiter.Policy{})
	for i := range 2*httpv1.MaxPageSize + 1 {
		limitertest.Apply(t, l, limiter.Key{Namespace: "tenants", Name: fmt.Sprintf("t-%05d", i)}, "uid",
			limiter.Policy{})
	}
	requests := 0
	c := newClient(t, url, sluice.Options{
		Transport: inTurn(&requests, direct(server.New(server.Options{Limiter: l}))),
	})
	page, err := c.List(t.Context(), sluice.ListRequest{Namespace: "tenants", Limit: 2})
	if err != nil || len(page.Accounts) != 2 || page.Accounts[1].Name != "t-00001" {
		t.Fatalf("the first page is %+v, %v", page, err)
	}
	page, err = c.List(t.Context(), sluice.ListRequest{Namespace: "tenants", Continue: page.Continue})
	if err != nil || len(page.Accounts) != httpv1.DefaultPageSize ||
		page.Accounts[0].Name != "t-00002" {
		t.Fatalf("the second page begins with %+v, %v", page.Accounts[:1], err)
	}
	for name, c := range map[string]struct {
		namespace            string
		stopAfter            int
		accounts, ofRequests int
	}{
		"all":                           {"", 9999, 2*httpv1.MaxPageSize + 2, 3},
		"of a namespace":                {"marketing", 9999, 1, 1},
		"until the loop wants no more":  {"tenants", httpv1.MaxPageSize, httpv1.MaxPageSize, 1},
		"of a namespace without any":    {"nowhere", 9999, 0, 1},
		"one more than fits in a page":  {"tenants", httpv1.MaxPageSize + 1, httpv1.MaxPageSize + 1, 2},
		"in a namespace that is no DNS": {"a/b&c=d", 9999, 0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			requests = 0
			var names []string
			client := newClient(t, url, sluice.Options{
				Transport: inTurn(&requests, direct(server.New(server.Options{Limiter: l}))),
			})
			for u, err := range client.Accounts(t.Context(), c.namespace) {
				if err != nil {
					t.Fatal(err)
				}
				if names = append(names, u.Namespace+"/"+u.Name); len(names) == c.stopAfter {
					break
				}
			}
			if len(names) != c.accounts || requests != c.ofRequests {
				t.Errorf("%d accounts by %d requests, want %d by %d",
					len(names), requests, c.accounts, c.ofRequests)
			}
			for i := 1; i < len(names); i++ {
				if names[i-1] >= names[i] {
					t.Fatalf("%s came before %s", names[i-1], names[i])
				}
			}
		})
	}
}

func TestAnErrorEndsTheListOfAccounts(t *testing.T) {
	requests := 0
	c := newClient(t, url, sluice.Options{Transport: inTurn(&requests,
		respond(200, `{"accounts":[{"namespace":"n","name":"a"}],"continue":"more"}`),
		respond(422, `{"type":"https://sluice.dev/problems/invalid-field"}`))})
	var got []string
	for u, err := range c.Accounts(t.Context(), "") {
		got = append(got, fmt.Sprint(u.Name, " ", errors.Is(err, sluice.ErrInvalidField)))
	}
	if diff := cmp.Diff([]string{"a false", " true"}, got); diff != "" {
		t.Errorf("want -, got +:\n%s", diff)
	}
}

// TestRequests looks at what goes over the wire.
func TestRequests(t *testing.T) {
	var seen *http.Request
	var body string
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		seen, body = r, string(text)
		_, _ = io.WriteString(w, `{"outcome":"Committed","namespace":"n","name":"a"}`)
	}))
	defer api.Close()
	for name, c := range map[string]struct {
		base      string
		namespace string
		uri       string
	}{
		"a plain name":                  {"", "marketing", "/v1/accounts/marketing/a"},
		"a slash at the end of the URL": {"/", "marketing", "/v1/accounts/marketing/a"},
		"a URL with a path": {"/mail/sluice//", "marketing",
			"/mail/sluice/v1/accounts/marketing/a"},
		"a path that is escaped":         {"/a%2Fb", "marketing", "/a%2Fb/v1/accounts/marketing/a"},
		"a name that is two segments":    {"", "a/b", "/v1/accounts/a%2Fb/a"},
		"a name that is the folder":      {"", ".", "/v1/accounts/%2E/a"},
		"a name that is the folder up":   {"", "..", "/v1/accounts/%2E%2E/a"},
		"a name that looks like a query": {"", "a?b#c", "/v1/accounts/a%3Fb%23c/a"},
	} {
		t.Run(name, func(t *testing.T) {
			client := newClient(t, api.URL+c.base, sluice.Options{UserAgent: "mailer/2"})
			of := httpv1.Account{Namespace: c.namespace, Name: "a"}
			if _, err := client.Usage(t.Context(), of); err != nil {
				t.Fatal(err)
			}
			if seen.Method != http.MethodGet || seen.RequestURI != c.uri || body != "" ||
				seen.Header.Get("Content-Type") != "" {
				t.Errorf("the usage was asked with %s %s %q", seen.Method, seen.RequestURI, body)
			}
			request := httpv1.CommitRequest{Reservation: new("<1@example.com>")}
			if _, err := client.Commit(t.Context(), of, request); err != nil {
				t.Fatal(err)
			}
			got := []string{seen.Method, seen.RequestURI, seen.Header.Get("Content-Type"),
				seen.Header.Get("User-Agent"), strings.TrimSpace(body)}
			want := []string{"POST", c.uri + "/commit", "application/json", "mailer/2",
				`{"reservation":"<1@example.com>"}`}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("want -, got +:\n%s", diff)
			}
		})
	}
	for _, of := range []httpv1.Account{{}, {Namespace: "n"}, {Name: "a"}} {
		seen = nil
		if _, err := newClient(t, api.URL, sluice.Options{}).Usage(t.Context(), of); err == nil ||
			seen != nil {
			t.Errorf("the account %+v: %v", of, err)
		}
	}
}

// TestTheIDIsTheServersIfNothingIsRepeated leaves the request as it is.
func TestTheIDIsTheServersIfNothingIsRepeated(t *testing.T) {
	for attempts, want := range map[int]string{1: "{}", 2: `{"id":"`} {
		var body string
		c := newClient(t, url, sluice.Options{
			Retry: sluice.Retry{MaxAttempts: attempts},
			Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
				text, err := io.ReadAll(r.Body)
				body = string(text)
				return nil, err
			}),
		})
		_, _ = c.Check(t.Context(), account, httpv1.CheckRequest{})
		if !strings.HasPrefix(body, want) {
			t.Errorf("with %d attempts the request is %s, want %s", attempts, body, want)
		}
	}
}

// TestConnectionsAreKept after responses, denials and problems.
func TestConnectionsAreKept(t *testing.T) {
	l := newLimiter(perMinute(1))
	var connections atomic.Int32
	api := httptest.NewUnstartedServer(server.New(server.Options{Limiter: l}))
	api.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			connections.Add(1)
		}
	}
	api.Start()
	defer api.Close()
	c := newClient(t, api.URL, sluice.Options{})
	for range 5 {
		for _, name := range []string{"newsletter", "nobody"} {
			of := httpv1.Account{Namespace: "marketing", Name: name}
			_, err := c.Check(t.Context(), of, httpv1.CheckRequest{})
			if (err != nil) != (name == "nobody") {
				t.Fatal(err)
			}
		}
	}
	if n := connections.Load(); n != 1 {
		t.Errorf("%d connections for 10 calls", n)
	}
}

func TestNewRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		url     string
		options sluice.Options
	}{
		"no scheme":           {"localhost:8080", sluice.Options{}},
		"another scheme":      {"ftp://localhost", sluice.Options{}},
		"no host":             {"http:///v1", sluice.Options{}},
		"a query":             {"http://localhost?a=b", sluice.Options{}},
		"a fragment":          {"http://localhost#a", sluice.Options{}},
		"no URL":              {"http://local host", sluice.Options{}},
		"a negative timeout":  {url, sluice.Options{AttemptTimeout: -1}},
		"negative attempts":   {url, sluice.Options{Retry: sluice.Retry{MaxAttempts: -1}}},
		"a negative delay":    {url, sluice.Options{Retry: sluice.Retry{MinDelay: -1}}},
		"a negative MaxDelay": {url, sluice.Options{Retry: sluice.Retry{MaxDelay: -1}}},
	} {
		t.Run(name, func(t *testing.T) {
			if c, err := sluice.New(c.url, c.options); err == nil || c != nil {
				t.Errorf("got %v, %v", c, err)
			}
		})
	}
}
