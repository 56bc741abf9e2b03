package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/sluice-mail/sluice/limiter"
	"github.com/sluice-mail/sluice/server"
)

// doors are the servers of the three addresses, and what runs for them: the first is the API's.
type doors []manager.Runnable

// api returns the address of the API.
func (d doors) api() string {
	first, _ := d[0].(*manager.Server)
	return first.Listener.Addr().String()
}

// openDoors opens the three addresses.
func (c *config) openDoors(
	ctx context.Context, l *limiter.Limiter, store store, registry *prometheus.Registry,
	log logr.Logger,
) (doors, error) {
	cluster, err := c.authCluster(log)
	if err != nil {
		return nil, err
	}
	c.tls.warn(cluster != nil, log)
	var background []manager.Runnable
	options := server.Options{
		Limiter:        l,
		Clock:          store.clock(),
		ReservationTTL: c.reservationTTL,
		MaxInFlight:    c.maxInFlight,
		Registry:       registry,
		Log:            log,
	}
	var worth screen
	if cluster != nil {
		auth, err := c.newAuth(cluster, registry, log)
		if err != nil {
			return nil, err
		}
		options.Auth, worth = auth, auth.Screen
		background = append(background, auth)
	}
	// Besides ours there are those of the process and of the controllers.
	scraped, err := metricsHandler(prometheus.Gatherers{metrics.Registry, registry}, cluster, worth)
	if err != nil {
		return nil, err
	}
	over := func(listener net.Listener) net.Listener { return listener }
	if c.tls.enabled() {
		certificate, err := c.tls.read(registry, log)
		if err != nil {
			return nil, err
		}
		over = certificate.over
		background = append(background, certificate)
	}
	api, health := server.New(options), server.Health(alive(store), ready(ctx, l, store))
	open, err := c.listenAll([]door{
		{"api", "--http-address", c.httpAddress, api, over},
		{"health", "--health-address", c.healthAddress, health, nil}, // the kubelet's
		{"metrics", "--metrics-address", c.metricsAddress, scraped, over},
	}, log)
	return append(open, background...), err
}

// door is one address, and what is behind it.
type door struct {
	name, flag, address string
	handler             http.Handler
	over                func(net.Listener) net.Listener // nil: never encrypted
}

// listenAll listens at all addresses, or at none.
func (c *config) listenAll(all []door, log logr.Logger) (doors, error) {
	timeout := shutdownTimeout
	var open doors
	var listeners []net.Listener
	for _, d := range all {
		listener, err := c.listen(d.flag, d.address, log)
		if err != nil {
			for _, open := range listeners {
				_ = open.Close()
			}
			return nil, err
		}
		listeners = append(listeners, listener)
		if d.over != nil {
			listener = d.over(listener)
		}
		open = append(open, &manager.Server{
			Name:            d.name,
			Server:          server.HTTPServer(d.handler, log),
			Listener:        listener,
			ShutdownTimeout: &timeout,
		})
	}
	return open, nil
}

// ready returns what /readyz asks: the error says why the API admits nothing.
func ready(ctx context.Context, l *limiter.Limiter, store store) func() error {
	return func() error {
		switch {
		case ctx.Err() != nil:
			return errors.New("shutting down")
		case !l.Loaded():
			return errors.New("limits are not loaded yet")
		}
		return store.ready()
	}
}

// alive returns what /healthz asks: the error says why the process should be restarted.
func alive(store store) func() error {
	return func() error {
		last := store.LastSweep()
		since := time.Duration(store.clock().Now().Mono - last)
		if last == 0 || since <= sweepTimeout { // 0: it has not started
			return nil
		}
		return fmt.Errorf("the sweep over the accounts has not come round for %s",
			since.Round(time.Second))
	}
}

func (c *config) listen(flag, address string, log logr.Logger) (net.Listener, error) {
	listener, err := server.Listen(address, c.maxConnections, log)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("%s %s is in use by another process; "+
			"stop that, or choose another address", flag, address)
	}
	if err != nil {
		return nil, fmt.Errorf("%s %s cannot be listened on: %w", flag, address, err)
	}
	return listener, nil
}
