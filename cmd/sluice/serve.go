package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	kubeconfig "sigs.k8s.io/controller-runtime/pkg/client/config"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/sluice-mail/sluice/controllers"
	"github.com/sluice-mail/sluice/limiter"
)

// shutdownTimeout is how long calls in flight may take after SIGTERM. Kubernetes gives a pod 30 s,
// and the chart's pod sleeps for 5 s of them.
const shutdownTimeout = 15 * time.Second

// sweepTimeout is how long a sweep over all accounts may take before the process is called dead. It
// takes a second for a million accounts. One that does not end waits for an account that stays
// locked.
const sweepTimeout = time.Minute

func newServeCommand(env lookup) *cobra.Command {
	var c config
	command := &cobra.Command{
		Use:   "serve",
		Short: "Serve decisions, for the MailAccounts of a cluster or of a folder",
		Long: `Serve the HTTP API for the MailAccounts of the cluster that this runs in
(or KUBECONFIG names), or of the manifests in a folder (--accounts).

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
	// Either signal would end the process by default, and what was sent would be forgotten. SIGHUP
	// asks to reload, but changed files are read anyway. SIGPIPE comes if a reader of the log ends.
	signal.Ignore(syscall.SIGHUP, syscall.SIGPIPE)
	ctrl.SetLogger(log)
	klog.SetLogger(log)
	log.Info("sluice is starting", "version", version)
	registry := prometheus.NewRegistry() // the program's own metrics
	store, err := c.newStore(registry, log)
	if err != nil {
		return err
	}
	l := limiter.New(store)
	doors, err := c.openDoors(ctx, l, store, registry, log)
	if err != nil {
		return err
	}
	accounts, err := c.accountsSource(ctx, l, log)
	if err != nil {
		return err
	}
	group, running := errgroup.WithContext(ctx)
	context.AfterFunc(running, l.Drain)
	for _, part := range doors {
		group.Go(func() error { return part.Start(running) })
	}
	group.Go(func() error {
		// No account is touched before what was kept of it is there.
		if err := store.recover(running, accounts.tell); err != nil {
			if errors.Is(err, context.Canceled) {
				return nil // it is to stop, and nothing was answered yet
			}
			return err
		}
		group.Go(func() error { store.RunSweep(running, store.clock()); return nil })
		group.Go(func() error { store.RunExpiry(running, store.clock()); return nil })
		return accounts.Start(running)
	})
	group.Go(func() error { return store.failure(running) })
	group.Go(func() error {
		select {
		case <-l.Opened():
			log.Info("sluice is serving",
				"http", doors.api(), "accounts", l.Stats().Accounts)
		case <-running.Done():
		}
		return nil
	})
	if err := errors.Join(waitFor(running, group), store.close()); err != nil {
		return err
	}
	log.Info("sluice has stopped")
	return nil
}

// waitFor waits until the whole group has ended. Once the context has ended, it waits no longer
// than the process may take to stop.
func waitFor(ctx context.Context, group *errgroup.Group) error {
	ended := make(chan error, 1)
	go func() { ended <- group.Wait() }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	const patience = shutdownTimeout + time.Second
	select {
	case err := <-ended:
		return err
	case <-time.After(patience):
		return fmt.Errorf("something has not stopped within %s and was given up", patience)
	}
}

// source loads the MailAccounts and follows their changes.
type source struct {
	manager.Runnable
	// tell makes an event of what happened to this process, where there are events.
	tell func(kind, reason, note string)
}

// accountsSource returns the source of MailAccounts: a folder, or else a cluster.
func (c *config) accountsSource(
	ctx context.Context, l *limiter.Limiter, log logr.Logger,
) (source, error) {
	silent := func(_, _, _ string) {}
	if c.accounts != "" {
		dir, err := controllers.NewManifestDir(ctx, c.accounts, l, log)
		return source{dir, silent}, err
	}
	config, err := kubeconfig.GetConfig()
	if err != nil {
		return source{}, noCluster(err)
	}
	scheme, err := controllers.NewScheme()
	if err != nil {
		return source{}, err
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
		return source{}, err
	}
	options := controllers.Options{Limiter: l}
	if c.leaderElect {
		options.LeaseNamespace = c.namespace()
	}
	tell := silent
	if pod := os.Getenv("POD_NAME"); pod != "" {
		tell = controllers.PodEvents(mgr, c.namespace(), pod, os.Getenv("POD_UID"))
	}
	return source{mgr, tell}, controllers.Add(mgr, options)
}

func noCluster(err error) error {
	return fmt.Errorf("there is no cluster to take MailAccounts from: "+
		"run inside one, set KUBECONFIG, or use --accounts DIR (%w)", err)
}

// namespace returns the namespace of the lease: the flag's, or else the pod's, or else "default".
func (c *config) namespace() string {
	if c.leaseNamespace != "" {
		return c.leaseNamespace
	}
	own, err := os.ReadFile("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
	if err != nil {
		return "default"
	}
	return strings.TrimSpace(string(own))
}
