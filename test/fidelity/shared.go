package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sluice-mail/sluice/limiter/redis/redistest"
)

// fleet is three Sluices that share a Redis. Calls go to any of them.
type fleet struct {
	*process // of the first, with a client that calls all
	redis    *redistest.Server
	replicas []*victim
	killed   struct{ replicas, redis int }
}

func startFleet(ctx context.Context, binary string) (*fleet, error) {
	server, err := redistest.Start(redistest.Options{AOF: "always"})
	if err != nil {
		return nil, err
	}
	folder, err := os.MkdirTemp("", "sluice-fidelity-")
	if err != nil {
		return nil, err
	}
	f := &fleet{redis: server}
	var hosts []string
	for range 3 {
		v, err := startVictimIn(ctx, binary, folder, "--redis-url", server.URL())
		if err != nil {
			return nil, errors.Join(err, os.RemoveAll(folder))
		}
		f.replicas = append(f.replicas, v)
		hosts = append(hosts, strings.TrimPrefix(v.url, "http://"))
	}
	f.process = &process{url: f.replicas[0].url, folder: folder}
	f.client, err = patientClient(f.url, &anyOf{hosts, &http.Transport{
		MaxIdleConnsPerHost: 1000, DisableCompression: true,
	}})
	return f, err
}

// anyOf is a transport that has each request, also one that is repeated, go to any of some hosts.
type anyOf struct {
	hosts []string
	to    http.RoundTripper
}

// RoundTrip implements [http.RoundTripper].
func (a *anyOf) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.URL.Host = a.hosts[rand.IntN(len(a.hosts))]
	return a.to.RoundTrip(r)
}

func (f *fleet) stop() {
	for _, v := range f.replicas {
		v.stop() // it removes the folder, too
	}
	f.redis.Close()
}

// enforceAll is enforce, at every replica.
func (f *fleet) enforceAll(ctx context.Context, measure string, of []limits) error {
	for _, v := range f.replicas {
		if _, err := v.enforce(ctx, measure, of); err != nil {
			return err
		}
	}
	return nil
}

// killAgain kills a replica or, one time in five, Redis, until the context ends.
func (f *fleet) killAgain(ctx context.Context) error {
	for sleep(ctx, time.Second+rand.N(4*time.Second)) == nil {
		if rand.IntN(5) > 0 {
			f.killed.replicas++
			err := f.replicas[rand.IntN(len(f.replicas))].kill(context.WithoutCancel(ctx))
			if err != nil {
				return err
			}
			continue
		}
		f.killed.redis++
		if err := f.redis.TryRestart(); err != nil {
			return err
		}
	}
	return nil
}

// rollingShared is as full as a minute gets with three replicas on one Redis, while they and it are
// killed every few seconds.
func rollingShared(ctx context.Context, shared *process) ([]row, error) {
	f, err := startFleet(ctx, shared.cmd.Path)
	if err != nil {
		return nil, err
	}
	defer f.stop()
	var of []limits
	for _, n := range []int{2, 5, 10, 20, 30, 40, 60, 100} {
		of = append(of, limits{minute: n})
	}
	if err := f.enforceAll(ctx, "shared", of); err != nil {
		return nil, err
	}
	group, ctx := errgroup.WithContext(ctx)
	killing, enough := context.WithCancel(ctx)
	defer enough()
	group.Go(func() error { return f.killAgain(killing) })
	var most, least float64
	var mails int
	group.Go(func() (err error) {
		defer enough()
		most, least, mails, err = roll(ctx, f.process, "shared", of, []strategy{throughKills})
		return err
	})
	if err := group.Wait(); err != nil {
		return nil, err
	}
	r := rollingRow("three replicas on one Redis, with kills", fmt.Sprintf("%d accounts with limits "+
		"of 2 to 100 a minute, for %s, on three Sluices with one Redis (appendfsync always); each call "+
		"goes to any of them; every 1 to 5 s one of them or, one time in five, Redis is killed with "+
		"SIGKILL and started again; callers as above", len(of), rollingTime),
		most, least, mails)
	r.measured += fmt.Sprintf("; %d kills of replicas and %d of Redis", f.killed.replicas,
		f.killed.redis)
	r.meaning = "Replicas enforce one limit, whichever is asked, and neither their deaths nor that " +
		"of Redis lets one more mail through."
	return []row{r}, nil
}
