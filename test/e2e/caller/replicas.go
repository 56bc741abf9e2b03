package main

import (
	"cmp"
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptrace"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sluice-mail/sluice/api/httpv1"
	"github.com/sluice-mail/sluice/client/sluice"
)

// replica is a process of Sluice, and when it allowed sends. Process is random, and begins each id
// that the process makes. So the client must make none, and it makes none if it sends a check once.
type replica struct {
	Process      string
	Allowed      int
	FirstSent    time.Time // when the first request that it allowed was written
	LastAnswered time.Time // when the last answer was there
}

// replicas collects who allowed what.
type replicas struct {
	mu   sync.Mutex
	seen map[string]*replica
}

// run checks an account over kept connections, which stay with a pod that its Service has
// forgotten, and over new ones, 50 times a second each. Every second it prints who allowed sends.
func (r *replicas) run(ctx context.Context, url, account string) error {
	for range 4 {
		for _, transport := range []*http.Transport{{MaxConnsPerHost: 1}, {DisableKeepAlives: true}} {
			client, err := sluice.New(url, sluice.Options{
				AttemptTimeout: 5 * time.Second,
				Transport:      transport,
				Retry:          sluice.Retry{MaxAttempts: 1},
				TokenFile:      tokenFile(),
			})
			if err != nil {
				return err
			}
			go r.check(ctx, client, parseAccount(account))
		}
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if err := json.NewEncoder(os.Stdout).Encode(r.list()); err != nil {
				return err
			}
		}
	}
}

func (r *replicas) check(
	ctx context.Context, client *sluice.Client, account httpv1.Account,
) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for ctx.Err() == nil {
		<-tick.C
		var sent time.Time // not when the call began: it may wait for a connection
		trace := &httptrace.ClientTrace{WroteHeaders: func() { sent = time.Now() }}
		request := httpv1.CheckRequest{TTLSeconds: new(int64(1))} // there will be many
		d, err := client.Check(httptrace.WithClientTrace(ctx, trace), account, request)
		if err == nil && d.Reservation != nil {
			r.add(d.Reservation.ID, sent, time.Now())
		}
	}
}

func (r *replicas) add(reservation string, sent, answered time.Time) {
	process, _, _ := strings.Cut(reservation, "-")
	r.mu.Lock()
	defer r.mu.Unlock()
	this := r.seen[process]
	if this == nil {
		this = &replica{Process: process, FirstSent: sent, LastAnswered: answered}
		r.seen[process] = this
	}
	this.Allowed++
	if sent.Before(this.FirstSent) {
		this.FirstSent = sent
	}
	if answered.After(this.LastAnswered) {
		this.LastAnswered = answered
	}
}

// list is who allowed sends, in the order in which they began to.
func (r *replicas) list() []replica {
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []replica
	for this := range maps.Values(r.seen) {
		list = append(list, *this)
	}
	slices.SortFunc(list, func(a, b replica) int {
		return cmp.Or(a.FirstSent.Compare(b.FirstSent), cmp.Compare(a.Process, b.Process))
	})
	return list
}
