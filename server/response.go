package server

import (
	"net/http"
	"strconv"

	"github.com/sluice-mail/sluice/api/httpv1"
	"github.com/sluice-mail/sluice/limiter"
)

// answer is what will be written. Answers are pooled with their buffers; see pool.go.
type answer struct {
	account     limiter.Key     // that the path names
	now         limiter.Instant // when the request is decided: once it has been read
	status      int
	contentType []string
	retryAfter  int64 // seconds; 0: not said
	allow       string
	in          []byte   // what was read of the body
	started     bool     // reading it has begun
	rest        bool     // there may be more of it than was read
	body, reply share    // what it takes of the budgets
	out         []byte   // the answer's body
	fixed       []byte   // the answer's body, if it is the same for all
	decision    decision // what out is made of, if it is one
	problem     *httpv1.Problem
}

// The content types, as values of a header that all answers share; nobody writes to them.
var (
	jsonType    = []string{"application/json"}
	problemType = []string{"application/problem+json"}
	yamlType    = []string{"application/yaml"}
)

// shortAnswer is the size up to which net/http finds out the length of an answer itself, for less than a header costs.
const shortAnswer = 2 << 10

// write sends the answer, and reports whether drain should be called after it. Nobody can be told if
// that fails: the client is gone.
func (a *answer) write(w http.ResponseWriter, r *http.Request) (undrained bool) {
	h := w.Header()
	h["Content-Type"] = a.contentType
	if a.retryAfter > 0 {
		h["Retry-After"] = []string{strconv.FormatInt(a.retryAfter, 10)}
	}
	if a.allow != "" {
		h["Allow"] = []string{a.allow}
	}
	if undrained = a.rest && a.mustClose(r); undrained {
		h["Connection"] = []string{"close"}
	}
	body := a.out
	if a.fixed != nil {
		body = a.fixed
	}
	if len(body) > shortAnswer || undrained {
		h["Content-Length"] = []string{strconv.Itoa(len(body))}
	}
	w.WriteHeader(a.status)
	_, _ = w.Write(body)
	return undrained
}
