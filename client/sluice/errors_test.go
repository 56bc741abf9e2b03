package sluice_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-mail/sluice/api/httpv1"
	"github.com/sluice-mail/sluice/client/sluice"
	"github.com/sluice-mail/sluice/limiter"
	"github.com/sluice-mail/sluice/limiter/limitertest"
	"github.com/sluice-mail/sluice/limiter/memory"
	"github.com/sluice-mail/sluice/server"
)

var kinds = map[error]httpv1.ProblemKind{
	sluice.ErrMalformedRequest:     httpv1.MalformedRequest,
	sluice.ErrUnauthenticated:      httpv1.Unauthenticated,
	sluice.ErrForbidden:            httpv1.Forbidden,
	sluice.ErrAccountNotFound:      httpv1.AccountNotFound,
	sluice.ErrReservationNotFound:  httpv1.ReservationNotFound,
	sluice.ErrPathNotFound:         httpv1.PathNotFound,
	sluice.ErrMethodNotAllowed:     httpv1.MethodNotAllowed,
	sluice.ErrReservationConflict:  httpv1.ReservationConflict,
	sluice.ErrBodyTooLarge:         httpv1.BodyTooLarge,
	sluice.ErrUnsupportedMediaType: httpv1.UnsupportedMediaType,
	sluice.ErrInvalidField:         httpv1.InvalidField,
	sluice.ErrCostExceedsLimit:     httpv1.CostExceedsLimit,
	sluice.ErrInternal:             httpv1.InternalError,
	sluice.ErrNotReady:             httpv1.NotReady,
	sluice.ErrStoreUnavailable:     httpv1.StoreUnavailable,
	sluice.ErrOverloaded:           httpv1.Overloaded,
}

// once does not repeat calls.
var once = sluice.Retry{MaxAttempts: 1}

func TestEveryKindOfProblemIsAnError(t *testing.T) {
	source, err := os.ReadFile("../../api/httpv1/problems.go")
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(source), `= ProblemKind{"`); n != len(kinds) {
		t.Errorf("httpv1 has %d kinds of problems, and %d are errors of the client", n, len(kinds))
	}
	for _, kind := range kinds {
		t.Run(kind.Name, func(t *testing.T) {
			body, err := json.Marshal(kind.Problem("Do this."))
			if err != nil {
				t.Fatal(err)
			}
			c := newClient(t, url,
				sluice.Options{Transport: respond(kind.Status, string(body)), Retry: once})
			_, err = c.Check(t.Context(), account, httpv1.CheckRequest{})
			for other, otherKind := range kinds {
				if is := errors.Is(err, other); is != (kind == otherKind) {
					t.Errorf("errors.Is(%v, %v) is %v", err, other, is)
				}
			}
			p, ok := errors.AsType[*httpv1.Problem](err)
			if diff := cmp.Diff(kind.Problem("Do this."), p); !ok || diff != "" {
				t.Errorf("want -, got +:\n%s", diff)
			}
			if !strings.Contains(err.Error(), "Do this.") || !strings.Contains(err.Error(), account.Name) {
				t.Errorf("the error is %q", err)
			}
		})
	}
}

// TestProblemsOfAServer provokes problems of a real one.
func TestProblemsOfAServer(t *testing.T) {
	check := func(r httpv1.CheckRequest) func(*sluice.Client) error {
		return func(c *sluice.Client) error {
			_, err := c.Check(t.Context(), account, r)
			return err
		}
	}
	release := func(id string) func(*sluice.Client) error {
		return func(c *sluice.Client) error {
			_, err := c.Release(t.Context(), account, httpv1.ReleaseRequest{Reservation: &id})
			return err
		}
	}
	for name, c := range map[string]struct {
		call func(*sluice.Client) error
		want error
	}{
		"an account that does not exist": {func(c *sluice.Client) error {
			_, err := c.Usage(t.Context(), httpv1.Account{Namespace: "..", Name: "a/b"})
			return err
		}, sluice.ErrAccountNotFound},
		"a release of an unknown id":  {release("unknown"), sluice.ErrReservationNotFound},
		"a release of a committed id": {release("committed"), sluice.ErrReservationConflict},
		"a cost above the limit": {check(httpv1.CheckRequest{Cost: new(int64(3))}),
			sluice.ErrCostExceedsLimit},
		"a cost of 0": {check(httpv1.CheckRequest{Cost: new(int64(0))}),
			sluice.ErrInvalidField},
		"an id that is too long": {check(httpv1.CheckRequest{ID: new(strings.Repeat("x", 300))}),
			sluice.ErrInvalidField},
		"a body that is too large": {check(httpv1.CheckRequest{ID: new(strings.Repeat("x", 20_000))}),
			sluice.ErrBodyTooLarge},
		"a page that is too large": {func(c *sluice.Client) error {
			_, err := c.List(t.Context(), sluice.ListRequest{Limit: 5000})
			return err
		}, sluice.ErrInvalidField},
		"a batch that is too large": {func(c *sluice.Client) error {
			_, err := c.CommitBatch(t.Context(),
				httpv1.CommitBatchRequest{Commits: make([]httpv1.CommitItem, 1001)})
			return err
		}, sluice.ErrInvalidField},
	} {
		t.Run(name, func(t *testing.T) {
			client := serve(t, newLimiter(perMinute(2)))
			id := "committed"
			if err := check(httpv1.CheckRequest{ID: &id})(client); err != nil {
				t.Fatal(err)
			}
			if _, err := client.Commit(t.Context(), account,
				httpv1.CommitRequest{Reservation: &id}); err != nil {
				t.Fatal(err)
			}
			if err := c.call(client); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
	for name, c := range map[string]struct {
		limiter *limiter.Limiter
		want    error
	}{
		"not loaded":           {limiter.New(memory.New(memory.Options{})), sluice.ErrNotReady},
		"no reservations left": {limiterWithoutReservations(t), sluice.ErrOverloaded},
	} {
		t.Run(name, func(t *testing.T) {
			if err := check(httpv1.CheckRequest{})(serve(t, c.limiter)); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
	elsewhere := newClient(t, url+"/elsewhere", sluice.Options{
		Transport: direct(server.New(server.Options{Limiter: newLimiter(perMinute(2))})),
	})
	if err := check(httpv1.CheckRequest{})(elsewhere); !errors.Is(err, sluice.ErrPathNotFound) {
		t.Errorf("at another path: %v", err)
	}
}

// limiterWithoutReservations may hold one reservation, and holds it.
func limiterWithoutReservations(t *testing.T) *limiter.Limiter {
	t.Helper()
	l := limiter.New(memory.New(memory.Options{MaxReservations: 1}))
	limitertest.Apply(t, l, key, "uid", limiter.Policy{})
	l.MarkLoaded()
	c := newClient(t, url, sluice.Options{Transport: direct(server.New(server.Options{Limiter: l}))})
	if _, err := c.Check(t.Context(), account, httpv1.CheckRequest{}); err != nil {
		t.Fatal(err)
	}
	return l
}

// TestAnswersThatAreNotSluices are those of proxies and of other programs.
func TestAnswersThatAreNotSluices(t *testing.T) {
	for name, c := range map[string]struct {
		transport http.RoundTripper
		want      sluice.StatusError
	}{
		"a proxy": {respond(502, "<h1>Bad gateway</h1>"),
			sluice.StatusError{Status: 502, Excerpt: "<h1>Bad gateway</h1>"}},
		"another problem": {respond(403, `{"type":"about:blank"}`),
			sluice.StatusError{Status: 403, Excerpt: `{"type":"about:blank"}`}},
		"nothing": {respond(404, ""), sluice.StatusError{Status: 404}},
		"a redirect": {respond(302, "", "Location", "http://sluice.test/v1/accounts"),
			sluice.StatusError{Status: 302}},
		"nothing, as a 204": {respond(204, ""), sluice.StatusError{Status: 204}},
		"a long page": {respond(500, strings.Repeat("x", 1<<20)),
			sluice.StatusError{Status: 500, Excerpt: strings.Repeat("x", 100) + "…"}},
	} {
		t.Run(name, func(t *testing.T) {
			client := newClient(t, url, sluice.Options{Transport: c.transport, Retry: once})
			d, err := client.Check(t.Context(), account, httpv1.CheckRequest{})
			got, ok := errors.AsType[*sluice.StatusError](err)
			if !ok || *got != c.want || d.Decision != "" {
				t.Errorf("got %+v, %v, want %+v", d, err, c.want)
			}
		})
	}
}

// TestUnreadableAnswers are no decisions, and least of all an Allow.
func TestUnreadableAnswers(t *testing.T) {
	allow := `{"decision":"Allow",` +
		`"reservation":{"id":"a","cost":1,"expiresAt":"2026-11-23T08:02:00.000Z"}}`
	check := func(c *sluice.Client) (any, error) {
		return c.Check(t.Context(), account, httpv1.CheckRequest{})
	}
	commit := func(c *sluice.Client) (any, error) {
		return c.Commit(t.Context(), account, httpv1.CommitRequest{})
	}
	release := func(c *sluice.Client) (any, error) {
		return c.Release(t.Context(), account, httpv1.ReleaseRequest{})
	}
	get := func(c *sluice.Client) (any, error) { return c.Usage(t.Context(), account) }
	list := func(c *sluice.Client) (any, error) { return c.List(t.Context(), sluice.ListRequest{}) }
	checkBatch := func(c *sluice.Client) (any, error) {
		return c.CheckBatch(t.Context(), httpv1.CheckBatchRequest{Checks: make([]httpv1.CheckItem, 1)})
	}
	commitBatch := func(c *sluice.Client) (any, error) {
		return c.CommitBatch(t.Context(),
			httpv1.CommitBatchRequest{Commits: make([]httpv1.CommitItem, 1)})
	}
	releaseBatch := func(c *sluice.Client) (any, error) {
		return c.ReleaseBatch(t.Context(),
			httpv1.ReleaseBatchRequest{Releases: make([]httpv1.ReleaseItem, 1)})
	}
	type call func(*sluice.Client) (any, error)
	for name, c := range map[string]struct {
		call     call
		body     string
		readable bool
	}{
		"an Allow":                       {check, allow, true},
		"an Allow with a field more":     {check, `{"later":1,` + allow[1:], true},
		"an Allow without a reservation": {check, `{"decision":"Allow"}`, false},
		"something behind it":            {check, allow + "{}", false},
		"half of it":                     {check, allow[:20], false},
		"nothing":                        {check, "", false},
		"null":                           {check, "null", false},
		"an empty object":                {check, "{}", false},
		"a page of a portal":             {check, "<html>", false},
		"an unknown decision":            {check, `{"decision":"Perhaps"}`, false},
		"a decision of another type":     {check, `{"decision":7}`, false},
		"more than is read":              {check, allow + strings.Repeat(" ", 8<<20), false},
		"a commit without an outcome":    {commit, "{}", false},
		"a release without an outcome":   {release, "{}", false},
		"a usage of no account":          {get, "{}", false},
		"a list without accounts":        {list, "{}", false},
		"a list of no accounts":          {list, `{"accounts":[]}`, true},
		"one decision for one check":     {checkBatch, `{"results":[` + allow + `]}`, true},
		"a batch with too few results":   {checkBatch, `{"results":[]}`, false},
		"a batch with too many results": {checkBatch, `{"results":[` + allow + `,` + allow + `]}`,
			false},
		"a result that is nothing": {checkBatch, `{"results":[{}]}`, false},
		"a result that is both": {checkBatch, `{"results":[{"problem":{},` + allow[1:] + `]}`,
			false},
		"an outcome for one commit":       {commitBatch, `{"results":[{"outcome":"Late"}]}`, true},
		"a commit that is nothing":        {commitBatch, `{"results":[{}]}`, false},
		"a batch of commits without any":  {commitBatch, `{}`, false},
		"a problem for one release":       {releaseBatch, `{"results":[{"problem":{}}]}`, true},
		"a release that is nothing":       {releaseBatch, `{"results":[{"outcome":""}]}`, false},
		"a batch of releases without any": {releaseBatch, `{}`, false},
	} {
		t.Run(name, func(t *testing.T) {
			requests := 0
			client := newClient(t, url, sluice.Options{Transport: inTurn(&requests, respond(200, c.body))})
			got, err := c.call(client)
			if (err == nil) != c.readable || err != nil && !errors.Is(err, sluice.ErrUnreadable) {
				t.Errorf("got %+v, %v", got, err)
			}
			if d, ok := got.(httpv1.CheckResponse); ok && err != nil && d.Decision != "" {
				t.Errorf("an error comes with the decision %s", d.Decision)
			}
			if requests != 1 {
				t.Errorf("it was sent %d times", requests)
			}
		})
	}
}
