package sluice

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-mail/sluice/api/httpv1"
)

// The most that is read of an answer, in bytes. The largest are pages of accounts and batches.
const (
	maxResponseBytes = 8 << 20
	maxProblemBytes  = 64 << 10
)

// call is a request that can be sent more than once.
type call struct {
	method, path string
	body         []byte
	idempotent   bool // counts once, however often it is sent
}

// effect is what a failed attempt did at Sluice.
type effect int

const (
	decided effect = iota // it was answered, and would be answered the same again
	unknown               // it may have been done
	nothing               // it was not done
)

// failure says why an attempt has no response.
type failure struct {
	err        error
	effect     effect
	retryAfter time.Duration // the server asks for this pause; 0 if it does not
}

// attempt sends a call once. It returns the body of a 200, or a failure.
func (c *Client) attempt(ctx context.Context, q *call) ([]byte, *failure) {
	req, err := c.newRequest(ctx, q)
	if err != nil {
		return nil, &failure{err: err}
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, lost(err)
	}
	defer func() { _ = resp.Body.Close() }()
	limit := int64(maxResponseBytes)
	if resp.StatusCode != http.StatusOK {
		limit = maxProblemBytes
	}
	// Only a body that was read to its end leaves the connection to the next call.
	body, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	switch {
	case resp.StatusCode != http.StatusOK:
		return nil, refused(resp, body)
	case err != nil:
		return nil, lost(err)
	case len(body) > maxResponseBytes:
		err = fmt.Errorf("%w: it is larger than %d bytes", ErrUnreadable, maxResponseBytes)
		return nil, &failure{err: err}
	}
	return body, nil
}

// newRequest makes the HTTP request of one attempt.
func (c *Client) newRequest(ctx context.Context, q *call) (*http.Request, error) {
	var body io.Reader
	if q.body != nil {
		body = bytes.NewReader(q.body)
	}
	req, err := http.NewRequestWithContext(ctx, q.method, c.base+q.path, body)
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.token != nil {
		token, err := c.token.read()
		if err != nil {
			return nil, err
		}
		req.Header.Set("Authorization", "Bearer "+token)
	}
	req.Header.Set("User-Agent", c.userAgent)
	return req, nil
}

// lost is the failure of an attempt without an answer.
func lost(err error) *failure {
	f := &failure{effect: unknown}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
		f.effect = nothing
	}
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err // without the method and URL, which the call's error has
	}
	f.err = fmt.Errorf("%w: %w", ErrNoAnswer, err)
	return f
}

// refused is the failure of an attempt with another status than 200.
func refused(resp *http.Response, body []byte) *failure {
	f := &failure{effect: effectOf(resp.StatusCode), retryAfter: retryAfter(resp.Header)}
	p := &httpv1.Problem{}
	if err := json.Unmarshal(body, p); err != nil || !strings.HasPrefix(p.Type, httpv1.ProblemBase) {
		f.err = &StatusError{Status: resp.StatusCode, Excerpt: httpv1.Excerpt(string(body))}
		return f
	}
	p.Status = resp.StatusCode
	f.err = ProblemError(p)
	if errors.Is(f.err, ErrNotReady) || errors.Is(f.err, ErrOverloaded) {
		f.effect = nothing
	}
	return f
}

// effectOf is what a status alone tells. A 502 and a 504 are a proxy's, which lost the answer.
func effectOf(status int) effect {
	switch status {
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return unknown
	}
	return decided
}

// retryAfter reads the header Retry-After, in seconds or as a date.
func retryAfter(h http.Header) time.Duration {
	value := h.Get("Retry-After")
	if seconds, err := strconv.ParseInt(value, 10, 32); err == nil {
		return max(0, time.Duration(seconds)*time.Second)
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(0, time.Until(at))
	}
	return 0
}
