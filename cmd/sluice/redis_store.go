package main

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	kubeconfig "sigs.k8s.io/controller-runtime/pkg/client/config"

	"github.com/sluice-mail/sluice/controllers"
	"github.com/sluice-mail/sluice/limiter"
	"github.com/sluice-mail/sluice/limiter/memory"
	"github.com/sluice-mail/sluice/limiter/redis"
)

// redisStore is shared with other replicas, and forgets nothing when the process ends.
type redisStore struct {
	*redis.Store
	time    limiter.Clock
	tell    atomic.Pointer[func(kind, reason, note string)] // set by recover
	running context.Context                                 // of Run
	stop    context.CancelFunc
	ended   chan struct{} // closed when Run has ended
	err     error         // of Run; to be read after that
}

func (c *config) newRedisStore(
	registry *prometheus.Registry, log logr.Logger,
) (*redisStore, error) {
	keeper, err := c.epochKeeper()
	if err != nil {
		return nil, err
	}
	r := &redisStore{time: limiter.StartClock(), ended: make(chan struct{})}
	r.running, r.stop = context.WithCancel(context.Background())
	r.Store, err = redis.Open(redis.Options{
		Connection:                c.redis.connection(),
		Timeout:                   c.redis.timeout,
		Prefix:                    c.redis.prefix,
		MaxReservations:           c.maxReservations,
		MaxReservationsPerAccount: c.maxPerAccount,
		Wait:                      c.redis.wait(),
		Keeper:                    keeper,
		Tell: func(kind, reason, note string) {
			if tell := r.tell.Load(); tell != nil {
				(*tell)(kind, reason, note)
			}
		},
		Registry: registry,
		Log:      log.WithName("redis"),
	})
	if err != nil {
		return nil, fmt.Errorf("--redis-url: %w", err)
	}
	return r, nil
}

// epochKeeper returns what remembers the epoch of the shared store. Without a cluster it is each
// process alone.
func (c *config) epochKeeper() (redis.Keeper, error) {
	if c.accounts != "" {
		return nil, nil
	}
	config, err := kubeconfig.GetConfig()
	if err != nil {
		return nil, noCluster(err)
	}
	return controllers.NewEpochConfigMap(config, c.namespace())
}

func (r *redisStore) clock() limiter.Clock { return r.time }

// recover has the store watched from now on. Limits are loaded meanwhile: a pod is ready sooner.
func (r *redisStore) recover(_ context.Context, tell func(kind, reason, note string)) error {
	r.tell.Store(&tell)
	go func() {
		defer close(r.ended)
		r.err = r.Run(r.running)
	}()
	return nil
}

// failure waits until the server refuses, or the context ends.
func (r *redisStore) failure(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-r.ended:
	}
	if r.err == nil {
		return nil // it was closed
	}
	return fmt.Errorf("--redis-url leads to a server that Sluice cannot use: %w", r.err)
}

func (r *redisStore) ready() error { return r.Ready() }

// RunSweep has the store learn, at times, what became of reservations.
func (r *redisStore) RunSweep(ctx context.Context, clock limiter.Clock) {
	tick := time.NewTicker(memory.SweepInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if r.Ready() == nil {
				r.Sweep(clock.Now())
			}
		}
	}
}

// RunExpiry does nothing: the scripts do it.
func (r *redisStore) RunExpiry(context.Context, limiter.Clock) {}

// LastSweep is 0: a sweep may wait for the server, and a restart would not help.
func (r *redisStore) LastSweep() int64 { return 0 }

// close stops watching the store, which calls in flight needed until now.
func (r *redisStore) close() error {
	r.stop()
	if r.tell.Load() != nil {
		<-r.ended
	}
	return nil
}
