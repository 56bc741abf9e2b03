package main

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/sluice-mail/sluice/api/httpv1"
	"github.com/sluice-mail/sluice/client/sluice"
)

// account is one that calls are made for.
type account struct {
	*process
	name string
	limits
}

// newClient returns a client that sends every request once: an error ends the measurement.
func newClient(url string) (*sluice.Client, error) {
	return sluice.New(url, sluice.Options{
		Transport: &http.Transport{MaxIdleConnsPerHost: 1000, DisableCompression: true},
		Retry:     sluice.Retry{MaxAttempts: 1},
		UserAgent: "sluice-fidelity",
	})
}

func (a *account) key() httpv1.Account { return httpv1.Account{Namespace: namespace, Name: a.name} }

// span is when a call was sent and answered. The server decided at some instant in it.
type span struct{ sent, answered time.Time }

// decision is an answer to a check.
type decision struct {
	httpv1.CheckResponse
	span
}

func (d *decision) allowed() bool { return d.Decision == httpv1.Allow }

// check asks for a cost, to be held for some seconds (0: as long as the server likes).
func (a *account) check(ctx context.Context, cost, ttlSeconds int) (d decision, err error) {
	request := httpv1.CheckRequest{Cost: new(int64(cost))}
	if ttlSeconds > 0 {
		request.TTLSeconds = new(int64(ttlSeconds))
	}
	d.sent = time.Now()
	d.CheckResponse, err = a.client.Check(ctx, a.key(), request)
	d.answered = time.Now()
	return d, err
}

// commit says that the mail of a decision has left.
func (a *account) commit(ctx context.Context, d *decision) (s span, err error) {
	request := httpv1.CommitRequest{Reservation: &d.Reservation.ID}
	s.sent = time.Now()
	_, err = a.client.Commit(ctx, a.key(), request)
	s.answered = time.Now()
	return s, err
}

// release says that the mail of a decision has not left.
func (a *account) release(ctx context.Context, d *decision) error {
	request := httpv1.ReleaseRequest{Reservation: &d.Reservation.ID}
	_, err := a.client.Release(ctx, a.key(), request)
	return err
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
			return nil, fmt.Errorf("%s: a check was denied before %d were sent: %+v", a.name, n,
				d.CheckResponse)
		}
		committed = append(committed, at)
	}
	return committed, nil
}

func (a *account) usage(ctx context.Context) (httpv1.Usage, error) {
	return a.client.Usage(ctx, a.key())
}
