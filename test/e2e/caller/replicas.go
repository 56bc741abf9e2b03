package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptrace"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sluice-mail/sluice/api/httpv1"
)

// replica is a process of Sluice, and when it allowed sends. Process is random, and begins each id
// that the process makes.
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
func (r *replicas) run(ctx context.Context, url string) error {
	for range 4 {
		go r.check(ctx, url, &http.Transport{MaxConnsPerHost: 1})
		go r.check(ctx, url, &http.Transport{DisableKeepAlives: true})
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

func (r *replicas) check(ctx context.Context, url string, transport *http.Transport) {
	client := &http.Client{Timeout: 5 * time.Second, Transport: transport}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for ctx.Err() == nil {
		<-tick.C
		var sent time.Time // not when the call began: it may wait for a connection
		trace := &httptrace.ClientTrace{WroteHeaders: func() { sent = time.Now() }}
		decision, err := ask(httptrace.WithClientTrace(ctx, trace), client, url)
		if err == nil && decision.Reservation != nil {
			r.add(decision.Reservation.ID, sent, time.Now())
		}
	}
}

// ask makes one check. Its reservation ends soon: there will be many.
func ask(ctx context.Context, client *http.Client, url string) (d httpv1.CheckResponse, err error) {
	body := strings.NewReader(`{"ttlSeconds": 1}`)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/check", body)
	if err != nil {
		return d, err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		return d, err
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s %s", resp.Status, answer)
	}
	if err != nil {
		return d, err
	}
	return d, json.Unmarshal(answer, &d)
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
