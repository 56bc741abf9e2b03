package server

import (
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/sluice-mail/sluice/api/httpv1"
)

// response is what is written: an endpoint fills it in.
type response struct {
	status      int
	contentType []string
	retryAfter  int64  // seconds; 0 for none
	allow       string // empty for none
	challenge   bool   // say how to authenticate
	body        []byte
	share       share           // of the budget for responses
	problem     *httpv1.Problem // that the body tells, if it tells one
}

// The content types, as values of a header that all responses share. Nobody writes to them.
var (
	jsonType    = []string{"application/json"}
	problemType = []string{"application/problem+json"}
	yamlType    = []string{"application/yaml"}
)

// challenge says how to authenticate.
var challenge = []string{`Bearer realm="sluice"`}

// shortBody is the size up to which net/http sets Content-Length itself, at less cost than we do.
const shortBody = 2 << 10

// write sends the response. It returns no error: if it fails, the client is gone.
func (r *response) write(w http.ResponseWriter, closes bool) {
	h := w.Header()
	h["Content-Type"] = r.contentType
	if r.retryAfter > 0 {
		h["Retry-After"] = []string{strconv.FormatInt(r.retryAfter, 10)}
	}
	if r.allow != "" {
		h["Allow"] = []string{r.allow}
	}
	if r.challenge {
		h["Www-Authenticate"] = challenge
	}
	if closes {
		h["Connection"] = []string{"close"}
	}
	if len(r.body) > shortBody || closes {
		h["Content-Length"] = []string{strconv.Itoa(len(r.body))}
	}
	w.WriteHeader(r.status)
	_, _ = w.Write(r.body)
}

// fail turns the response into a problem.
func (r *response) fail(p *httpv1.Problem) {
	r.problem, r.status, r.contentType, r.retryAfter = p, p.Status, problemType, 0
	r.challenge = p.Status == http.StatusUnauthorized
	if p.Status == http.StatusServiceUnavailable {
		r.retryAfter = 1
	}
	r.body = append(appendProblem(r.body[:0], p), '\n')
}

func appendProblem(b []byte, p *httpv1.Problem) []byte {
	text, err := json.Marshal(p)
	if err != nil { // cannot be: a problem is three strings and a number
		panic(err)
	}
	return append(b, text...)
}

func appendJSON(b []byte, v any) ([]byte, error) {
	encoded, err := json.Marshal(v)
	return append(append(b, encoded...), '\n'), err
}
