package server

import (
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-mail/sluice/limiter"
)

// TestPooledAnswersKeepNothing wants an answer that was used before to be as good as new.
func TestPooledAnswersKeepNothing(t *testing.T) {
	for len(largeAnswers) > 0 {
		<-largeAnswers
	}
	for _, large := range []bool{false, true} {
		used := &answer{
			status: http.StatusTeapot, contentType: yamlType, retryAfter: 7, allow: "GET",
			in: make([]byte, keepBuffers), started: true, rest: true,
			out: []byte("old"), fixed: []byte("old"), problem: errTestProblem,
		}
		if !large {
			used.in = used.in[:0:9]
		}
		used.done()
		k := limiter.Key{Namespace: "marketing", Name: "newsletter"}
		a := newAnswer(k, large)
		type state struct {
			account    limiter.Key
			status     int
			retryAfter int64
			texts      []string
			read       [2]bool
			lengths    [3]int
			problem    bool
		}
		got := state{
			a.account, a.status, a.retryAfter, append([]string{a.allow}, a.contentType...),
			[2]bool{a.started, a.rest}, [3]int{len(a.in), len(a.out), len(a.fixed)}, a.problem != nil,
		}
		want := state{account: k, status: http.StatusOK, texts: []string{"", "application/json"}}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(state{})); diff != "" {
			t.Errorf("large %v: %s", large, diff)
		}
	}
}

var errTestProblem = problemOf(limiter.ErrNotLoaded)

// TestLargeAnswersAreFewInThePool wants what is kept after a burst of batches to be bounded.
func TestLargeAnswersAreFewInThePool(t *testing.T) {
	for range 100 {
		(&answer{in: make([]byte, keepBuffers+1)}).done()
	}
	kept := 0
	for len(largeAnswers) > 0 {
		if a := newAnswer(limiter.Key{}, true); cap(a.in) > keepBuffers {
			kept++
		}
	}
	if kept > 16 {
		t.Errorf("%d are kept", kept)
	}
	(&answer{in: make([]byte, keepLargeBuffers+1)}).done()
	if a := newAnswer(limiter.Key{}, true); cap(a.in) > keepLargeBuffers {
		t.Errorf("a buffer of %d bytes is kept", cap(a.in))
	}
}
