package server

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"time"

	"github.com/sluice-mail/sluice/api/httpv1"
	"github.com/sluice-mail/sluice/limiter"
)

const (
	// firstBuffer is the size of the first buffer for a body.
	firstBuffer = 512
	// keepAliveBytes is how much net/http reads at most of the rest of a body, to keep the
	// connection.
	keepAliveBytes = 256 << 10
	// drain reads and drops the rest of a refused body up to these bounds: many clients read no
	// response before they have sent everything.
	maxDrainBytes = 16 << 20
	drainTimeout  = 5 * time.Second
)

// request is an HTTP request of which the router has found the operation and the account.
type request struct {
	http      *http.Request
	operation string
	account   limiter.Key // that the path names, if it names one
	caller    Caller      // nil if nobody asked who calls
	body      []byte      // what was read of it
	share     share       // of the budget for bodies
	started   bool        // reading the body has begun
	unread    bool        // the body may go on after what was read
	pool      *pool       // that the request needs a place of, or nil
	admitted  bool        // it has one
	large     bool        // it, or its response, may be large
}

// decoder is a request of the API that can be read from JSON.
type decoder interface{ Decode(body []byte) error }

// read reads the body of a request, of up to limit bytes, and decodes it.
func (s *Server) read(q *request, limit int, into decoder) error {
	body, err := s.readBody(q, limit)
	if err != nil {
		return err
	}
	if err := q.admit(); err != nil {
		return err
	}
	return into.Decode(body)
}

// readBody reads a body that is JSON, or empty.
func (s *Server) readBody(q *request, limit int) ([]byte, error) {
	length := q.http.ContentLength
	if length == 0 {
		return nil, nil
	}
	if length > int64(limit) {
		return nil, tooLarge(limit)
	}
	for q.started = true; ; {
		if len(q.body) == cap(q.body) && !q.grow(s.bodies, length, limit) {
			return nil, errBodies
		}
		n, err := q.http.Body.Read(q.body[len(q.body):cap(q.body)])
		q.body = q.body[:len(q.body)+n]
		switch {
		case len(q.body) > limit:
			return nil, tooLarge(limit)
		case err == nil:
			continue
		}
		q.unread = false
		if err != io.EOF { //nolint:errorlint // a Reader returns io.EOF itself
			return nil, malformed("The body could not be read to its end: %s.", whyUnread(err))
		}
		if len(q.body) > 0 && !isJSON(q.http.Header) {
			return nil, errMediaType
		}
		return q.body, nil
	}
}

// grow doubles the buffer of a body, up to one byte more than may come. What is larger than the
// body of a single call is acquired from the budget. grow reports whether the budget allows it.
func (q *request) grow(bodies *budget, announced int64, limit int) bool {
	size := min(2*cap(q.body), limit+1)
	if announced > 0 {
		size = min(size, int(announced)+1)
	}
	size = max(size, firstBuffer)
	if size > httpv1.MaxBodyBytes+1 && !q.share.acquire(bodies, size) {
		return false
	}
	q.body = append(make([]byte, 0, size), q.body...)
	return true
}

// whyUnread says why a body could not be read. Errors of net/http may quote what was sent.
func whyUnread(err error) string {
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return "it ends early"
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "it takes too long"
	}
	return "it is not sent as HTTP says"
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

// mustClose reports whether the connection must be closed after a response of this status: more of
// the body may still come than is worth reading. Otherwise net/http reads it to its end.
func (q *request) mustClose(status int) bool {
	if !q.unread {
		return false
	}
	// Where a client waits for "100 Continue", reading the body would ask for it.
	unasked := !q.started && q.http.Header.Get("Expect") != ""
	length := q.http.ContentLength
	switch {
	case unasked || status == http.StatusRequestEntityTooLarge || length > keepAliveBytes:
		return true
	case length > 0:
		return false
	}
	// A chunked body has no length: only reading tells how much there is.
	_, err := io.CopyN(io.Discard, q.http.Body, keepAliveBytes+1)
	return err == nil
}

// drain sends the response, then reads and drops the rest of the body, within bounds. If the
// connection were closed before that, the client could lose the response.
func drain(w http.ResponseWriter, r *http.Request) {
	control := http.NewResponseController(w)
	if control.Flush() != nil {
		return // the client is gone
	}
	_ = control.SetReadDeadline(time.Now().Add(drainTimeout)) // fails without a network
	_, _ = io.CopyN(io.Discard, r.Body, maxDrainBytes)
}
