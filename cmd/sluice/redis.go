package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/valkey-io/valkey-go"

	"github.com/sluice-mail/sluice/limiter/redis"
)

// redisConfig says where the shared store is, and how it is used.
type redisConfig struct {
	url          string
	usernameFile string
	passwordFile string
	caFile       string
	timeout      time.Duration
	prefix       string
	waitReplicas int
	waitFsync    bool
}

const (
	minRedisTimeout = 10 * time.Millisecond
	maxRedisTimeout = 10 * time.Second
	maxWaitReplicas = 100
	redisPatience   = 10 * time.Second // of commands
)

var redisPrefix = regexp.MustCompile(`^[A-Za-z0-9._-]{1,32}$`)

func (c *redisConfig) register(flags *pflag.FlagSet) {
	flags.StringVar(&c.url, "redis-url", "",
		"keep what was sent in this Redis or Valkey, which many replicas share: redis://host:6379, "+
			"rediss:// for TLS, ?addr=host:6379 for more hosts of a Cluster, ?master_set=name if the "+
			"hosts are Sentinels")
	flags.StringVar(&c.usernameFile, "redis-username-file", "",
		"with --redis-url: the file with the user's name, read again for each connection")
	flags.StringVar(&c.passwordFile, "redis-password-file", "",
		"with --redis-url: the file with the password, read again for each connection")
	flags.StringVar(&c.caFile, "redis-ca-file", "",
		"with --redis-url: trust the certificates in this file, instead of the system's")
	flags.DurationVar(&c.timeout, "redis-timeout", redis.DefaultTimeout,
		"with --redis-url: how long a call may take, 10ms to 10s")
	flags.StringVar(&c.prefix, "redis-prefix", redis.DefaultPrefix,
		"with --redis-url: what the names of all keys begin with")
	flags.IntVar(&c.waitReplicas, "redis-wait-replicas", 0,
		"with --redis-url: how many replicas of the server must have an Allow before it is answered")
	flags.BoolVar(&c.waitFsync, "redis-wait-fsync", false,
		"with --redis-url: an Allow waits for the disks of the server and of those replicas")
}

// isDefault reports whether no setting but the URL was given.
func (c *redisConfig) isDefault() bool {
	return *c == redisConfig{url: c.url, timeout: redis.DefaultTimeout, prefix: redis.DefaultPrefix}
}

func (c *redisConfig) validate() error {
	switch {
	case c.url == "" && !c.isDefault():
		return errors.New("the flags that begin with --redis- are about a shared store: " +
			"they need --redis-url")
	case c.timeout < minRedisTimeout || c.timeout > maxRedisTimeout:
		return fmt.Errorf("--redis-timeout must be 10ms to 10s, not %s", c.timeout)
	case !redisPrefix.MatchString(c.prefix):
		return fmt.Errorf("--redis-prefix must be 1 to 32 letters, digits, dots, hyphens or "+
			"underscores, not %q", c.prefix)
	case c.waitReplicas < 0 || c.waitReplicas > maxWaitReplicas:
		return fmt.Errorf("--redis-wait-replicas must be 0 to %d, not %d",
			maxWaitReplicas, c.waitReplicas)
	}
	return nil
}

func (c *redisConfig) connection() redis.Connection {
	return redis.Connection{
		URL: c.url, UsernameFile: c.usernameFile, PasswordFile: c.passwordFile, CAFile: c.caFile,
		Timeout: c.timeout,
	}
}

func (c *redisConfig) wait() redis.Wait {
	return redis.Wait{Replicas: c.waitReplicas, Fsync: c.waitFsync}
}

func newRedisCommand(env lookup) *cobra.Command {
	command := &cobra.Command{
		Use:   "redis",
		Short: "Look at the shared store, or go on after it was lost",
		Long: `Look at the store of serve --redis-url, or go on after it was lost. The flags are those of
serve, and each is an environment variable, too, so that in a pod of Sluice none need be given:

  kubectl exec deployment/sluice -- /sluice redis status`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	var c redisConfig
	c.register(command.PersistentFlags())
	// with runs what a command does with a connection.
	with := func(
		do func(ctx context.Context, client valkey.Client, out io.Writer, args []string) error,
	) func(*cobra.Command, []string) error {
		return func(command *cobra.Command, args []string) error {
			client, err := c.connect(command.Flags(), env)
			if err != nil {
				return err
			}
			defer client.Close()
			ctx, cancel := context.WithTimeout(command.Context(), redisPatience)
			defer cancel()
			return do(ctx, client, command.OutOrStdout(), args)
		}
	}
	command.AddCommand(&cobra.Command{
		Use:   "status",
		Short: "Say what the servers are, and whether replicas miss what was sent",
		Args:  cobra.NoArgs,
		RunE: with(func(
			ctx context.Context, client valkey.Client, out io.Writer, _ []string,
		) error {
			r, err := redis.Inspect(ctx, client, c.prefix, c.wait())
			if err != nil {
				return err
			}
			return printStore(out, r)
		}),
	}, &cobra.Command{
		Use:   "accept-loss EPOCH",
		Short: "Go on though the store has lost what was sent",
		Long: `Have all replicas go on with the store that there is, though it is not the one with the
EPOCH that they miss, as their log and an event say. What was sent and got lost counts in no limit,
so up to a whole limit may be sent too much. If the lost store can be brought back, do that
instead.`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return errors.New("say which epoch: `sluice redis status` tells which one is lost")
			}
			return nil
		},
		RunE: with(func(
			ctx context.Context, client valkey.Client, out io.Writer, args []string,
		) error {
			if err := redis.AcceptLoss(ctx, client, c.prefix, args[0]); err != nil {
				return err
			}
			_, err := fmt.Fprintf(out, "the loss of %s is accepted; "+
				"replicas that miss it go on within seconds\n", args[0])
			return err
		}),
	})
	return command
}

// connect connects to the store that the flags or the environment name.
func (c *redisConfig) connect(flags *pflag.FlagSet, env lookup) (valkey.Client, error) {
	if err := fromEnvironment(flags, env); err != nil {
		return nil, err
	}
	if c.url == "" {
		return nil, errors.New("say where the store is: --redis-url, or SLUICE_REDIS_URL")
	}
	if err := c.validate(); err != nil {
		return nil, err
	}
	client, err := redis.Connect(c.connection())
	if err != nil {
		return nil, fmt.Errorf("--redis-url: %w", err)
	}
	return client, nil
}

func printStore(w io.Writer, r redis.Report) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	epoch := r.Epoch
	if epoch == "" {
		epoch = "none: nothing was kept here yet, or it is lost"
	}
	_, _ = fmt.Fprintf(t, "epoch\t%s\n", epoch)
	for _, missed := range r.Missed {
		_, _ = fmt.Fprintf(t, "lost\t%s: bring it back, or run `sluice redis accept-loss %[1]s`\n",
			missed)
	}
	for _, n := range r.Nodes {
		role := strings.NewReplacer("master", "primary", "slave", "replica").Replace(n.Role)
		disk := "appendonly no: a restart of it may lose what was sent"
		if n.AOF {
			disk = "appendonly yes"
		}
		_, _ = fmt.Fprintf(t, "%s\t%s, %s, %d replicas, %s\n",
			n.Address, n.Version, role, n.Replicas, disk)
		if n.Problem != "" && role == "primary" {
			_, _ = fmt.Fprintf(t, "\t%s\n", n.Problem)
		}
	}
	return t.Flush()
}
