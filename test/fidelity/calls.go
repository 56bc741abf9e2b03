package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/sluice-mail/sluice/api/httpv1"
)

// account is one that calls are made for.
type account struct {
	*sluice
	name string
	limits
}

// span is when a call was sent and answered. The server decided at some instant in it.
type span struct{ sent, answered time.Time }

// decision is an answer to a check.
type decision struct {
	httpv1.CheckResponse
	span
}

func (d *decision) allowed() bool { return d.CheckResponse.Decision == httpv1.Allow }

// check asks for a cost, to be held for some seconds (0: as long as the server likes).
func (a *account) check(ctx context.Context, cost, ttlSeconds int) (d decision, err error) {
	body := fmt.Sprintf(`{"cost":%d}`, cost)
	if ttlSeconds > 0 {
		body = fmt.Sprintf(`{"cost":%d,"ttlSeconds":%d}`, cost, ttlSeconds)
	}
	d.span, err = a.call(ctx, http.MethodPost, "/check", body, &d.CheckResponse)
	return d, err
}

// commit says that the mail of a decision has left, release that it has not.
func (a *account) commit(ctx context.Context, d *decision) (span, error) {
	return a.end(ctx, "/commit", d)
}

func (a *account) release(ctx context.Context, d *decision) (span, error) {
	return a.end(ctx, "/release", d)
}

func (a *account) end(ctx context.Context, verb string, d *decision) (span, error) {
	return a.call(ctx, http.MethodPost, verb, fmt.Sprintf(`{"reservation":%q}`, d.Reservation.ID), &httpv1.CommitResponse{})
}

// send checks and commits at once.
func (a *account) send(ctx context.Context, cost int) (decision, span, error) {
	d, err := a.check(ctx, cost, 0)
	if err != nil || !d.allowed() {
		return d, span{}, err
	}
	committed, err := a.commit(ctx, &d)
	return d, committed, err
}

// fill sends until the account has sent n, which must all be allowed.
func (a *account) fill(ctx context.Context, n int) ([]span, error) {
	var committed []span
	for range n {
		d, at, err := a.send(ctx, 1)
		if err != nil {
			return nil, err
		}
		if !d.allowed() {
			return nil, fmt.Errorf("%s: a check was denied before %d were sent: %+v", a.name, n, d.CheckResponse)
		}
		committed = append(committed, at)
	}
	return committed, nil
}

func (a *account) usage(ctx context.Context) (u httpv1.Usage, err error) {
	_, err = a.call(ctx, http.MethodGet, "", "", &u)
	return u, err
}

// call makes a call about the account, which must be answered with a 200.
func (a *account) call(ctx context.Context, method, path, body string, into any) (s span, err error) {
	req, err := http.NewRequestWithContext(ctx, method, a.url+"/v1/accounts/"+namespace+"/"+a.name+path, strings.NewReader(body))
	if err != nil {
		return s, err
	}
	req.Header.Set("Content-Type", "application/json")
	s.sent = time.Now()
	resp, err := a.client.Do(req)
	if err != nil {
		return s, err
	}
	defer func() { _ = resp.Body.Close() }()
	got, err := io.ReadAll(resp.Body)
	s.answered = time.Now()
	if err != nil {
		return s, err
	}
	if resp.StatusCode != http.StatusOK {
		return s, fmt.Errorf("%s%s: %s: %s", a.name, path, resp.Status, got)
	}
	return s, json.Unmarshal(got, into)
}
