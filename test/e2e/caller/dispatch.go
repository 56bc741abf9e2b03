package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/sluice-mail/sluice/api/httpv1"
	"github.com/sluice-mail/sluice/client/sluice"
)

const (
	dispatchers = 8
	// patience is how long a dispatcher repeats a call. A pod is away for less.
	patience = 3 * time.Minute
	// impatience is the longest pause after a denial: so it is seen that a dispatcher gets through.
	impatience = time.Second
)

// outbox is what the dispatchers of an account tell: what they sent, as the provider sees it, and
// whether they got through.
type outbox struct {
	mu   sync.Mutex
	left []time.Time // the mails of the last minute

	Sent    int              // mails that left
	Most    int              // mails in the fullest minute, wherever it begins
	Answers [dispatchers]int // decisions of Sluice, for each dispatcher
	Failed  int              // calls that were given up
	Error   string           // of the last of these
}

// dispatch sends as fast as an account may, but pauses after each mail of a dispatcher. It prints
// the outbox every second. When it is told to stop, it ends the calls that it has begun, and prints
// the last.
func dispatch(ctx context.Context, url, account string, pause time.Duration) error {
	o := &outbox{}
	var all sync.WaitGroup
	for i := range dispatchers {
		client, err := newDispatcher(url, i)
		if err != nil {
			return err
		}
		all.Go(func() {
			for ctx.Err() == nil {
				o.send(context.WithoutCancel(ctx), client, i, parseAccount(account))
				time.Sleep(pause)
			}
		})
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			all.Wait()
			return o.print()
		case <-tick.C:
			if err := o.print(); err != nil {
				return err
			}
		}
	}
}

// newDispatcher returns a client that repeats its calls. Half of them keep their connections, which
// go on reaching a pod that its Service has forgotten.
func newDispatcher(url string, i int) (*sluice.Client, error) {
	// A connection that is begun while the Service still means a pod that is gone gets no answer.
	dialer := &net.Dialer{Timeout: 2 * time.Second}
	transport := &http.Transport{DialContext: dialer.DialContext, DisableKeepAlives: i%2 == 1}
	return sluice.New(url, sluice.Options{
		AttemptTimeout: 5 * time.Second,
		Transport:      ours{transport},
		Retry:          sluice.Retry{MaxAttempts: 10_000, MaxDelay: 2 * time.Second},
		TokenFile:      tokenFile(),
	})
}

// ours takes what is not JSON for no answer, so that the call is repeated, over another connection.
// A Service that has just lost its last pod may send a request out of the cluster, where somebody
// else answers.
type ours struct{ *http.Transport }

func (o ours) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := o.Transport.RoundTrip(request)
	if err == nil && !strings.Contains(response.Header.Get("Content-Type"), "json") {
		_ = response.Body.Close()
		o.CloseIdleConnections()
		return nil, fmt.Errorf("somebody else answered: %s", response.Status)
	}
	return response, err
}

// send checks once. If that is allowed a mail leaves, and is committed.
func (o *outbox) send(
	ctx context.Context, client *sluice.Client, dispatcher int, account httpv1.Account,
) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	d, err := client.Check(ctx, account, httpv1.CheckRequest{})
	if err != nil {
		o.failed(err)
		return
	}
	o.answered(dispatcher)
	if d.Reservation == nil {
		pause := impatience
		if d.DeferredUntil != nil {
			pause = min(pause, time.Until(d.DeferredUntil.Time))
		}
		time.Sleep(pause)
		return
	}
	o.leave(time.Now)
	request := httpv1.CommitRequest{Reservation: &d.Reservation.ID}
	if _, err := client.Commit(ctx, account, request); err != nil {
		o.failed(err)
	}
}

// leave lets a mail go. The clock is read under the lock, so that the times are in order.
func (o *outbox) leave(clock func() time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := clock()
	o.left = append(o.left, now)
	for now.Sub(o.left[0]) >= time.Minute {
		o.left = o.left[1:]
	}
	o.Sent++
	o.Most = max(o.Most, len(o.left))
}

func (o *outbox) answered(dispatcher int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.Answers[dispatcher]++
}

func (o *outbox) failed(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.Failed++
	o.Error = err.Error()
}

func (o *outbox) print() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return json.NewEncoder(os.Stdout).Encode(o)
}
