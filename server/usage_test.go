package server_test

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-mail/sluice/api/httpv1"
	"github.com/sluice-mail/sluice/limiter"
	"github.com/sluice-mail/sluice/limiter/limitertest"
)

func TestUsage(t *testing.T) {
	const head = `{"namespace":"marketing","name":"newsletter",`
	for name, c := range map[string]struct {
		policy limiter.Policy
		script []step
	}{
		"there are three windows, also without limits": {
			limiter.Policy{},
			[]step{
				{0, "commit", `{"cost":3}`, `{"outcome":"Unreserved"}`, ""},
				{
					time.Minute, "usage", "",
					head + `"behavior":"Defer","suspended":false,"inFlight":0,` +
						`"windows":[{"window":"minute","used":0},{"window":"hour","used":3},` +
						`{"window":"day","used":3}]}`,
					"",
				},
			},
		},
		"a window with room has no time, and a full one says when": {
			limiter.Policy{Limits: limitertest.Limits(2, 0, 9)},
			[]step{
				{0, "commit", "", `{"outcome":"Unreserved"}`, ""},
				{
					0, "check", `{"id":"a"}`,
					`{"decision":"Allow","remaining":0,"reservation":{"id":"a","cost":1,` +
						`"expiresAt":"2000-01-01T00:02:00.000Z"}}`,
					"",
				},
				{
					time.Second, "usage", "",
					head + `"behavior":"Defer","suspended":false,"inFlight":1,` +
						`"nextSlot":"2000-01-01T00:01:00.000Z","windows":[{"window":"minute",` +
						`"limit":2,"used":1,"remaining":0,` +
						`"freeAt":"2000-01-01T00:01:00.000Z"},{"window":"hour","used":1},` +
						`{"window":"day","limit":9,"used":1,"remaining":7}]}`,
					"",
				},
			},
		},
		"the earliest slot is that of the last full window, whatever deferTo says": {
			limiter.Policy{Limits: limitertest.Limits(1, 1, 0), DeferTo: limiter.WindowBoundary},
			[]step{
				{time.Second, "commit", "", `{"outcome":"Unreserved"}`, ""},
				{
					0, "usage", "",
					head + `"behavior":"Defer","suspended":false,"inFlight":0,` +
						`"nextSlot":"2000-01-01T01:00:01.000Z","windows":[{"window":"minute",` +
						`"limit":1,"used":1,"remaining":0,` +
						`"freeAt":"2000-01-01T00:01:01.000Z"},{"window":"hour","limit":1,` +
						`"used":1,"remaining":0,"freeAt":"2000-01-01T01:00:01.000Z"},` +
						`{"window":"day","used":1}]}`,
					"",
				},
			},
		},
		"more than the limit was sent, and nothing remains": {
			limiter.Policy{Limits: limitertest.Limits(2, 0, 0)},
			[]step{
				{0, "commit", `{"cost":5}`, `{"outcome":"Unreserved"}`, ""},
				{
					0, "usage", "",
					head + `"behavior":"Defer","suspended":false,"inFlight":0,` +
						`"nextSlot":"2000-01-01T00:01:00.000Z","windows":[{"window":"minute",` +
						`"limit":2,"used":5,"remaining":0,` +
						`"freeAt":"2000-01-01T00:01:00.000Z"},{"window":"hour","used":5},` +
						`{"window":"day","used":5}]}`,
					"",
				},
			},
		},
		"a suspended account that rejects": {
			limiter.Policy{Suspended: true, Behavior: limiter.Reject},
			[]step{
				{
					0, "usage", "",
					head + `"behavior":"Reject","suspended":true,"inFlight":0,` +
						`"windows":[{"window":"minute","used":0},{"window":"hour","used":0},` +
						`{"window":"day","used":0}]}`,
					"",
				},
			},
		},
	} {
		t.Run(name, func(t *testing.T) { play(t, c.policy, c.script) })
	}
}

func TestList(t *testing.T) {
	a := newAPI(t, limiter.Policy{}, setup{})
	all := []string{"marketing/newsletter"}
	for _, namespace := range []string{"sales", "sales-eu"} {
		for i := range 5 {
			k := limiter.Key{Namespace: namespace, Name: fmt.Sprint("account-", i)}
			limitertest.Apply(t, a.limiter, k, "uid", limiter.Policy{Limits: limitertest.Limits(1, 2, 3)})
			all = append(all, k.Namespace+"/"+k.Name)
		}
	}
	for name, c := range map[string]struct {
		query string
		want  []string // the pages
	}{
		"a continue of nothing is the first page": {
			"limit=1000&continue=", []string{strings.Join(all, " ")},
		},
		"a namespace of nothing is all of them": {
			"namespace=&limit=1000", []string{strings.Join(all, " ")},
		},
		"all fit on a page": {"", []string{strings.Join(all, " ")}},
		"pages of four": {
			"limit=4",
			[]string{
				strings.Join(all[:4], " "), strings.Join(all[4:8], " "), strings.Join(all[8:], " "),
			},
		},
		"the last page is full": {"namespace=sales&limit=5", []string{strings.Join(all[1:6], " ")}},
		"a namespace is not all that begin like it": {
			"namespace=sales", []string{strings.Join(all[1:6], " ")},
		},
		"a namespace in pages": {
			"namespace=sales-eu&limit=3",
			[]string{strings.Join(all[6:9], " "), strings.Join(all[9:], " ")},
		},
		"a namespace without accounts is no mistake": {"namespace=nobody", []string{""}},
		"the largest page": {
			"limit=1000", []string{strings.Join(all, " ")},
		},
		"an account that begins a namespace's page": {
			"limit=1&namespace=marketing", []string{all[0]},
		},
		"a namespace that could not be is no mistake": {"namespace=%00", []string{""}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, a.pages(c.query)); diff != "" {
				t.Error(diff)
			}
		})
	}
	one := into[httpv1.ListResponse](a.get("/v1/accounts?namespace=sales&limit=1")).Accounts[0]
	diff := cmp.Diff(into[httpv1.Usage](a.get("/v1/accounts/sales/account-0")), one)
	if diff != "" {
		t.Errorf("an account alone (-) and in the list (+) differ:\n%s", diff)
	}
}

// pages reads the list to its end, and returns the accounts of each page.
func (a *api) pages(query string) (pages []string) {
	a.t.Helper()
	for more := query; ; {
		page := into[httpv1.ListResponse](a.get("/v1/accounts?" + more))
		var names []string
		for _, u := range page.Accounts {
			names = append(names, u.Namespace+"/"+u.Name)
		}
		pages = append(pages, strings.Join(names, " "))
		if page.Continue == "" {
			return pages
		}
		more = query + "&continue=" + page.Continue
	}
}

func TestServesItsContract(t *testing.T) {
	a := newAPI(t, limiter.Policy{}, setup{})
	got := a.get("/openapi.yaml")
	if diff := cmp.Diff(string(httpv1.OpenAPI), got.body); diff != "" {
		t.Error(diff)
	}
}

func TestHeadIsGetWithoutABody(t *testing.T) {
	a := newAPI(t, limiter.Policy{}, setup{})
	for _, path := range []string{
		"/v1/accounts", "/v1/accounts/marketing/newsletter", "/openapi.yaml",
		"/v1/accounts/marketing/nobody",
	} {
		get, head := a.get(path), a.call(request{method: http.MethodHead}.to(path))
		if get.status != head.status || head.body != "" {
			t.Errorf("HEAD %s: %d %q, GET: %d", path, head.status, head.body, get.status)
		}
		if got := get.header.Get("Content-Length"); got != strconv.Itoa(len(get.body)) {
			t.Errorf("GET %s: Content-Length: %q for %d bytes", path, got, len(get.body))
		}
		for _, field := range []string{"Content-Type", "Content-Length"} {
			if diff := cmp.Diff(get.header.Get(field), head.header.Get(field)); diff != "" {
				t.Errorf("HEAD %s: %s: %s", path, field, diff)
			}
		}
	}
}
