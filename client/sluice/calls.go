package sluice

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/sluice-mail/sluice/api/httpv1"
)

// Check asks whether the account may send now. An allowed check holds a reservation until a commit,
// a release or its deadline.
//
// The decision is Allow, Defer or Reject. A denial is no error. On an error there is no decision,
// and the caller must not send; the Decision of the zero value is not Allow.
//
// An id names one attempt to send. Give one, and store it with the mail: then the reservation can
// be committed or released after any error, and after a restart of the process. Without an id,
// Check makes a random one, so that it can repeat the call; if Retry.MaxAttempts is 1, Sluice makes
// it.
//
// After ErrNoAnswer the reservation may be held nonetheless. If nobody releases it, it counts as
// sent at its deadline.
func (c *Client) Check(
	ctx context.Context, account httpv1.Account, request httpv1.CheckRequest,
) (httpv1.CheckResponse, error) {
	c.giveID(&request)
	return accountCall(ctx, c, account, "/check", &request, true, validDecision)
}

// Commit says that the mail has left: it counts from now on. It does not fail because the
// reservation is unknown or has expired; the Outcome then is Unreserved or Late, and the mail
// counts as well.
//
// Without a Reservation it commits the oldest outstanding one. Such a call would count twice if it
// were repeated after Sluice had done it. So it is repeated only if Sluice certainly did nothing:
// there was no connection, or the answer is ErrNotReady or ErrOverloaded.
func (c *Client) Commit(
	ctx context.Context, account httpv1.Account, request httpv1.CommitRequest,
) (httpv1.CommitResponse, error) {
	idempotent := request.Reservation != nil
	return accountCall(ctx, c, account, "/commit", &request, idempotent, validCommit)
}

// Release says that the mail did not leave: the slot is free again. The error is
// ErrReservationNotFound or ErrReservationConflict if the reservation is not outstanding.
//
// Without a Reservation it releases the oldest outstanding one, and is repeated as seldom as such a
// Commit.
func (c *Client) Release(
	ctx context.Context, account httpv1.Account, request httpv1.ReleaseRequest,
) (httpv1.ReleaseResponse, error) {
	idempotent := request.Reservation != nil
	return accountCall(ctx, c, account, "/release", &request, idempotent, validRelease)
}

// Usage returns the state of one account: what counts in its windows, and what is in flight.
func (c *Client) Usage(ctx context.Context, account httpv1.Account) (httpv1.Usage, error) {
	return accountCall(ctx, c, account, "", nil, true, validUsage)
}

// giveID gives a check an id of its own if it may be repeated: every repeated check is idempotent.
func (c *Client) giveID(request *httpv1.CheckRequest) {
	if request.ID == nil && c.retry.many() {
		request.ID = new(rand.Text())
	}
}

// accountCall makes a call about one account. A request of nil is a GET.
func accountCall[Response any](
	ctx context.Context, c *Client, account httpv1.Account, verb string,
	request any, idempotent bool, valid func(*Response) bool,
) (response Response, err error) {
	if account.Namespace == "" || account.Name == "" {
		return response, errors.New("the account must have a namespace and a name")
	}
	path := "/v1/accounts/" + escape(account.Namespace) + "/" + escape(account.Name) + verb
	return do(ctx, c, path, request, idempotent, valid)
}

// escape makes one segment of a path. Proxies resolve the segments . and .. unless they are
// escaped.
func escape(segment string) string {
	if segment == "." || segment == ".." {
		return strings.ReplaceAll(segment, ".", "%2E")
	}
	return url.PathEscape(segment)
}

// do makes a call, a GET if the request is nil, and reads the response. A response that is not
// valid is ErrUnreadable.
func do[Response any](
	ctx context.Context, c *Client, path string,
	request any, idempotent bool, valid func(*Response) bool,
) (response Response, err error) {
	q := call{method: http.MethodGet, path: path, idempotent: idempotent}
	if request != nil {
		q.method = http.MethodPost
		if q.body, err = encode(request); err != nil {
			return response, fmt.Errorf("the request cannot be written: %w", err)
		}
	}
	body, err := c.send(ctx, &q)
	if err == nil {
		err = decode(body, &response, valid)
	}
	if err != nil {
		var none Response
		return none, fmt.Errorf("%s %s%s: %w", q.method, c.display, path, err)
	}
	return response, nil
}

// encode writes JSON without escaping for HTML: the < and > of a Message-ID stay as they are.
func encode(request any) ([]byte, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(request)
	return b.Bytes(), err
}

// decode reads the body of a 200.
func decode[Response any](body []byte, into *Response, valid func(*Response) bool) error {
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("%w: %w", ErrUnreadable, err)
	}
	if !valid(into) {
		return fmt.Errorf("%w: it is none to this call: %q", ErrUnreadable, httpv1.Excerpt(string(body)))
	}
	return nil
}

// validDecision reports whether a caller can act on a decision. An Allow has a reservation.
func validDecision(d *httpv1.CheckResponse) bool {
	switch d.Decision {
	case httpv1.Allow:
		return d.Reservation != nil
	case httpv1.Defer, httpv1.Reject:
		return true
	}
	return false
}

func validCommit(r *httpv1.CommitResponse) bool { return r.Outcome != "" }

func validRelease(r *httpv1.ReleaseResponse) bool { return r.Outcome != "" }

func validUsage(u *httpv1.Usage) bool { return u.Namespace != "" && u.Name != "" }
