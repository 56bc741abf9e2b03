package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	kubeconfig "sigs.k8s.io/controller-runtime/pkg/client/config"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/sluice-mail/sluice/controllers"
	"github.com/sluice-mail/sluice/limiter"
	"github.com/sluice-mail/sluice/server"
)

// shutdownTimeout is how long what is in flight may take after SIGTERM. It leaves room in the 30 s that Kubernetes
// gives, of which the chart sleeps 5.
const shutdownTimeout = 15 * time.Second

func newServeCommand(env lookup) *cobra.Command {
	var c config
	command := &cobra.Command{
		Use:   "serve",
		Short: "Serve decisions, for the MailAccounts of a cluster or of a folder",
		Long: `Serve the HTTP API for the MailAccounts of the cluster that this runs in (or KUBECONFIG names), or of the
manifests in a folder (--accounts).

Each flag is an environment variable, too: --http-address is SLUICE_HTTP_ADDRESS.`,
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			if err := fromEnvironment(command.Flags(), env); err != nil {
				return err
			}
			if err := c.validate(); err != nil {
				return err
			}
			log, err := c.logger(command.ErrOrStderr())
			if err != nil {
				return err
			}
			return serve(command.Context(), c, log)
		},
	}
	c.register(command.Flags())
	return command
}

// serve runs until the context ends or something fails.
func serve(ctx context.Context, c config, log logr.Logger) error {
	ctrl.SetLogger(log)
	klog.SetLogger(log)
	l, clock := limiter.New(limiter.Options{MaxReservations: c.maxReservations}), limiter.StartClock()
	servers, err := c.servers(ctx, l, clock, log)
	if err != nil {
		return err
	}
	sweep := manager.RunnableFunc(func(ctx context.Context) error { l.RunSweep(ctx, clock); return nil })
	log.Info("sluice is serving", "version", version, "http", servers[0].Listener.Addr().String(), "accounts", c.accounts)
	if c.accounts != "" {
		err = serveFolder(ctx, c, l, log, servers, sweep)
	} else {
		err = serveCluster(ctx, c, l, log, servers, sweep)
	}
	if err == nil {
		log.Info("sluice has stopped")
	}
	return err
}

// servers opens the three addresses.
func (c *config) servers(ctx context.Context, l *limiter.Limiter, clock limiter.Clock, log logr.Logger) ([]*manager.Server, error) {
	ready := func() error {
		switch {
		case ctx.Err() != nil:
			return errors.New("shutting down")
		case !l.Loaded():
			return errors.New("limits are not loaded yet")
		}
		return nil
	}
	// Ours, besides those of the process and of the controllers.
	registry := prometheus.NewRegistry()
	gatherers := prometheus.Gatherers{metrics.Registry, registry}
	api := server.New(server.Options{Limiter: l, Clock: clock, ReservationTTL: c.reservationTTL, Registry: registry, Log: log})
	timeout := shutdownTimeout
	var servers []*manager.Server
	for _, s := range []struct {
		name, flag, address string
		handler             http.Handler
	}{
		{"api", "--http-address", c.httpAddress, api},
		{"health", "--health-address", c.healthAddress, server.Health(ready)},
		{"metrics", "--metrics-address", c.metricsAddress, promhttp.HandlerFor(gatherers, promhttp.HandlerOpts{})},
	} {
		listener, err := listen(s.flag, s.address)
		if err != nil {
			for _, open := range servers {
				_ = open.Listener.Close()
			}
			return nil, err
		}
		servers = append(servers, &manager.Server{Name: s.name, Server: server.HTTPServer(s.handler), Listener: listener, ShutdownTimeout: &timeout})
	}
	return servers, nil
}

func listen(flag, address string) (net.Listener, error) {
	listener, err := net.Listen("tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("%s %s is in use by another process; stop that, or choose another address", flag, address)
	}
	if err != nil {
		return nil, fmt.Errorf("%s %s cannot be listened on: %w", flag, address, err)
	}
	return listener, nil
}

// serveFolder takes the accounts from a folder.
func serveFolder(ctx context.Context, c config, l *limiter.Limiter, log logr.Logger, servers []*manager.Server, sweep manager.Runnable) error {
	folder, err := controllers.NewFolder(c.accounts, l, log)
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	runnables := []manager.Runnable{folder, sweep}
	for _, s := range servers {
		runnables = append(runnables, s)
	}
	for _, r := range runnables {
		group.Go(func() error { return r.Start(ctx) })
	}
	return group.Wait()
}

// serveCluster takes the accounts from a cluster.
func serveCluster(ctx context.Context, c config, l *limiter.Limiter, log logr.Logger, servers []*manager.Server, sweep manager.Runnable) error {
	config, err := kubeconfig.GetConfig()
	if err != nil {
		return fmt.Errorf("there is no cluster to take MailAccounts from: run inside one, set KUBECONFIG, or use --accounts DIR (%w)", err)
	}
	scheme, err := controllers.NewScheme()
	if err != nil {
		return err
	}
	timeout := shutdownTimeout
	mgr, err := ctrl.NewManager(config, ctrl.Options{
		Scheme:                  scheme,
		Logger:                  log,
		Cache:                   controllers.CacheOptions(),
		Metrics:                 metricsserver.Options{BindAddress: "0"}, // served by ours
		GracefulShutdownTimeout: &timeout,
	})
	if err != nil {
		return err
	}
	options := controllers.Options{Limiter: l}
	if c.leaderElect {
		options.LeaseNamespace = c.namespace()
	}
	errs := []error{controllers.Add(mgr, options), mgr.Add(sweep)}
	for _, s := range servers {
		errs = append(errs, mgr.Add(s))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return mgr.Start(ctx)
}

// namespace is where the lease is: where the flag says, or where the pod is, or where kubectl would look first.
func (c *config) namespace() string {
	if c.leaseNamespace != "" {
		return c.leaseNamespace
	}
	if own, err := os.ReadFile("/var/run/secrets/kubernetes.io/serviceaccount/namespace"); err == nil {
		return strings.TrimSpace(string(own))
	}
	return "default"
}
