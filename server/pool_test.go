package server

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-mail/sluice/limiter"
)

func emptyLargePool() {
	for len(largeExchanges) > 0 {
		<-largeExchanges
	}
}

// TestPooledExchangesKeepNothing wants an exchange that was used before to be as good as new.
func TestPooledExchangesKeepNothing(t *testing.T) {
	emptyLargePool()
	for _, large := range []bool{false, true} {
		bodies, responses := &budget{limit: 9}, &budget{limit: 9}
		used := &exchange{
			request: request{
				http: &http.Request{}, operation: "old", account: limiter.Key{Name: "old"},
				body: make([]byte, keepBuffers), started: true, unread: true,
			},
			response: response{
				status: http.StatusTeapot, contentType: yamlType, retryAfter: 7, allow: "GET",
				body: []byte("old"), problem: errTestProblem,
			},
		}
		if !large {
			used.request.body = used.request.body[:3:9]
		}
		if !used.request.share.acquire(bodies, 9) || !used.response.share.acquire(responses, 9) {
			t.Fatal("the budgets are too small")
		}
		used.done()
		if bodies, responses := bodies.used.Load(), responses.used.Load(); bodies+responses != 0 {
			t.Errorf("large %v: %d and %d bytes are not returned", large, bodies, responses)
		}
		if used.request.http != nil || used.response.problem != nil {
			t.Errorf("large %v: a pooled exchange keeps its request or its problem alive", large)
		}
		k := limiter.Key{Namespace: "marketing", Name: "newsletter"}
		r := httptest.NewRequest(http.MethodPost, "/", http.NoBody)
		got := newExchange(r, "check", k, large)
		if got.request.http != r {
			t.Errorf("large %v: the request is another one", large)
		}
		if large && cap(got.request.body) != keepBuffers {
			t.Errorf("large %v: the buffer is not kept, but one of %d bytes", large,
				cap(got.request.body))
		}
		got.request.http = nil
		want := &exchange{
			request:  request{operation: "check", account: k, body: []byte{}},
			response: response{status: http.StatusOK, contentType: jsonType, body: []byte{}},
		}
		if got.request.body == nil { // the pool may drop what it holds
			want.request.body, want.response.body = nil, nil
		}
		unexported := cmp.AllowUnexported(exchange{}, request{}, response{}, share{}, budget{})
		if diff := cmp.Diff(want, got, unexported); diff != "" {
			t.Errorf("large %v: %s", large, diff)
		}
	}
}

var errTestProblem = problemOf(limiter.ErrNotLoaded)

// TestLargeExchangesAreFewInThePool wants what is kept after a burst of batches to be bounded.
func TestLargeExchangesAreFewInThePool(t *testing.T) {
	emptyLargePool()
	withBuffer := func(size int) *exchange {
		return &exchange{request: request{body: make([]byte, size)}}
	}
	size := func() int {
		r := httptest.NewRequest(http.MethodPost, "/", http.NoBody)
		return cap(newExchange(r, "checkBatch", limiter.Key{}, true).request.body)
	}
	for range 100 {
		withBuffer(keepBuffers + 1).done()
	}
	kept := 0
	for len(largeExchanges) > 0 {
		if size() > keepBuffers {
			kept++
		}
	}
	if kept > 16 {
		t.Errorf("%d are kept", kept)
	}
	withBuffer(keepLargeBuffers + 1).done()
	if kept := size(); kept > keepLargeBuffers {
		t.Errorf("a buffer of %d bytes is kept", kept)
	}
}
