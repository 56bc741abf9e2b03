package server

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"sync"

	"github.com/sluice-mail/sluice/api/httpv1"
	"github.com/sluice-mail/sluice/limiter"
)

// endpoint fills the answer to a request, or returns what the problem is.
type endpoint func(s *Server, r *http.Request, a *answer) error

// answer is what will be written. Answers are pooled with their buffers.
type answer struct {
	account     limiter.Key     // that the path names
	now         limiter.Instant // when the request is decided: once it has been read
	status      int
	contentType []string
	retryAfter  int64 // seconds; 0: not said
	allow       string
	body        io.LimitedReader
	in          bytes.Buffer // what was read of it
	out         []byte       // the answer's body
	decision    decision     // what out is made of, if it is one
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

// keepBuffer is the largest buffer that goes back to the pool.
const keepBuffer = 512 << 10

var answers = sync.Pool{New: func() any { return new(answer) }}

func newAnswer(account limiter.Key) *answer {
	a, _ := answers.Get().(*answer)
	a.account = account
	a.status, a.contentType, a.retryAfter, a.allow, a.problem = http.StatusOK, jsonType, 0, "", nil
	a.in.Reset()
	a.out = a.out[:0]
	return a
}

func (a *answer) done() {
	a.body.R = nil
	if a.in.Cap()+cap(a.out) <= keepBuffer {
		answers.Put(a)
	}
}

// write sends the answer. Nobody can be told if that fails: the client is gone.
func (a *answer) write(w http.ResponseWriter) {
	h := w.Header()
	h["Content-Type"] = a.contentType
	if a.retryAfter > 0 {
		h["Retry-After"] = []string{strconv.FormatInt(a.retryAfter, 10)}
	}
	if a.allow != "" {
		h["Allow"] = []string{a.allow}
	}
	if a.status == http.StatusRequestEntityTooLarge {
		// Otherwise net/http would wait for the rest of the body, up to the read timeout, before it answers.
		h["Connection"] = []string{"close"}
	}
	if len(a.out) > shortAnswer {
		h["Content-Length"] = []string{strconv.Itoa(len(a.out))}
	}
	w.WriteHeader(a.status)
	_, _ = w.Write(a.out)
}

// decoder is a pointer to a request that can be read from JSON.
type decoder[Req any] interface {
	*Req
	Decode([]byte) error
}

// encoder is an answer that can be written as JSON.
type encoder interface{ AppendJSON([]byte) []byte }

// call is what the API does to one account.
type call[Req any] func(*Server, limiter.Key, *Req, *answer) (encoder, error)

// handle makes an endpoint of a call about one account: it reads the body, and writes what the call returns.
func handle[Req any, P decoder[Req]](do call[Req]) endpoint {
	return func(s *Server, r *http.Request, a *answer) error {
		body, err := a.readBody(r, httpv1.MaxBodyBytes)
		if err != nil {
			return err
		}
		var req Req
		if err := P(&req).Decode(body); err != nil {
			return err
		}
		a.now = s.clock.Now()
		reply, err := do(s, a.account, &req, a)
		if err != nil {
			return err
		}
		a.out = append(reply.AppendJSON(a.out), '\n')
		return nil
	}
}

// readBody reads a body that is JSON, or empty.
func (a *answer) readBody(r *http.Request, limit int64) ([]byte, error) {
	if r.ContentLength == 0 {
		return nil, nil
	}
	if r.ContentLength > limit {
		return nil, tooLarge(limit)
	}
	a.body = io.LimitedReader{R: r.Body, N: limit + 1}
	_, err := a.in.ReadFrom(&a.body)
	switch {
	case err != nil:
		return nil, httpv1.MalformedRequest.Problem("The body could not be read to its end: " + err.Error() + ".")
	case int64(a.in.Len()) > limit:
		return nil, tooLarge(limit)
	case a.in.Len() > 0 && !isJSON(r.Header):
		return nil, errMediaType
	}
	return a.in.Bytes(), nil
}

func tooLarge(limit int64) error {
	return httpv1.BodyTooLarge.Problem(fmt.Sprintf("Send at most %d bytes.", limit))
}

var errMediaType = errors.New("unsupported media type")

// isJSON says whether a body is declared, once, as plain JSON.
func isJSON(h http.Header) bool {
	for _, encoding := range h["Content-Encoding"] {
		if encoding != "" && encoding != "identity" {
			return false
		}
	}
	declared := h["Content-Type"]
	if len(declared) != 1 {
		return false
	}
	if declared[0] == jsonType[0] {
		return true
	}
	mediaType, _, err := mime.ParseMediaType(declared[0])
	return err == nil && mediaType == jsonType[0]
}
