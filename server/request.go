package server

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"time"

	"github.com/sluice-mail/sluice/api/httpv1"
)

const (
	// firstBuffer is what is allocated for a body to begin with.
	firstBuffer = 512
	// keepAliveBytes is the most that net/http reads of a body that nobody wants, so as to keep
	// the connection.
	keepAliveBytes = 256 << 10
	// What is read and dropped of a refused body, so that its sender gets to see the answer: many
	// read no answer before they have sent everything.
	maxDrainBytes = 16 << 20
	drainTimeout  = 5 * time.Second
)

// readBody reads a body that is JSON, or empty.
func (s *Server) readBody(r *http.Request, a *answer, limit int) ([]byte, error) {
	if r.ContentLength == 0 {
		return nil, nil
	}
	if r.ContentLength > int64(limit) {
		return nil, tooLarge(limit)
	}
	for a.started = true; ; {
		if len(a.in) == cap(a.in) && !a.grow(s.bodies, r.ContentLength, limit) {
			return nil, errBodies
		}
		n, err := r.Body.Read(a.in[len(a.in):cap(a.in)])
		a.in = a.in[:len(a.in)+n]
		switch {
		case len(a.in) > limit:
			return nil, tooLarge(limit)
		case err == nil:
			continue
		}
		a.rest = false
		if err != io.EOF { //nolint:errorlint // a Reader returns io.EOF itself
			return nil, malformed("The body could not be read to its end: %s.", httpv1.Excerpt(err.Error()))
		}
		if len(a.in) > 0 && !isJSON(r.Header) {
			return nil, errMediaType
		}
		return a.in, nil
	}
}

// grow doubles the buffer of a body, up to one byte more than may come. It takes what is beyond
// the largest body of a single call from a budget, and reports whether there was enough.
func (a *answer) grow(bodies *budget, announced int64, limit int) bool {
	size := min(2*cap(a.in), limit+1)
	if announced > 0 {
		size = min(size, int(announced)+1)
	}
	size = max(size, firstBuffer)
	if size > httpv1.MaxBodyBytes+1 && !a.body.take(bodies, size) {
		return false
	}
	a.in = append(make([]byte, 0, size), a.in...)
	return true
}

func tooLarge(limit int) error {
	return httpv1.BodyTooLarge.Problem(fmt.Sprintf("Send at most %d bytes.", limit))
}

var errMediaType = errors.New("unsupported media type")

// isJSON reports whether a body is declared, once, as plain JSON.
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

// mustClose reports whether the connection cannot be kept, because more of the body is still to
// come than is worth waiting for. Otherwise net/http reads it before the next request.
func (a *answer) mustClose(r *http.Request) bool {
	unasked := !a.started && r.Header.Get("Expect") != "" // reading would ask for the body
	switch {
	case unasked || a.status == http.StatusRequestEntityTooLarge || r.ContentLength > keepAliveBytes:
		return true
	case r.ContentLength > 0:
		return false
	}
	// Chunked: only reading tells how much there is.
	_, err := io.CopyN(io.Discard, r.Body, keepAliveBytes+1)
	return err == nil
}

// drain sends the answer and then reads what is left of a body, within bounds, and drops it. If
// the connection were closed before that, the client would lose the answer that it has not read
// yet.
func drain(w http.ResponseWriter, r *http.Request) {
	control := http.NewResponseController(w)
	if control.Flush() != nil {
		return // the client is gone
	}
	_ = control.SetReadDeadline(time.Now().Add(drainTimeout)) // an error: there is no network
	_, _ = io.CopyN(io.Discard, r.Body, maxDrainBytes)
}
