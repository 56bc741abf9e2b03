package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"github.com/spf13/pflag"

	"github.com/sluice-mail/sluice/limiter/journal"
	"github.com/sluice-mail/sluice/limiter/memory"
	"github.com/sluice-mail/sluice/server"
)

// maxMaxReservations is more than any machine has memory for.
const maxMaxReservations = 1_000_000_000

// config holds the settings of serve. Each is a flag and an environment variable.
type config struct {
	accounts        string
	dataDir         string
	sync            string
	trustClock      bool
	acceptLoss      string
	redis           redisConfig
	auth            authConfig
	tls             tlsConfig
	httpAddress     string
	healthAddress   string
	metricsAddress  string
	reservationTTL  time.Duration
	maxReservations int
	maxPerAccount   int // reservations of one account
	maxConnections  int
	maxInFlight     int
	logFormat       string
	logLevel        string
	leaderElect     bool
	leaseNamespace  string
}

func (c *config) register(flags *pflag.FlagSet) {
	flags.StringVar(&c.accounts, "accounts", "",
		"take MailAccounts from the manifests in this folder, instead of a cluster")
	flags.StringVar(&c.dataDir, "data-dir", "",
		"keep what was sent in this directory too, so that a restart forgets nothing")
	flags.StringVar(&c.sync, "sync", syncAlways,
		"with --data-dir: always (an Allow waits for the disk), or how much may be lost in a power "+
			"cut, 1ms to 10s")
	flags.BoolVar(&c.trustClock, "trust-clock", false,
		"with --data-dir: believe the wall clock after a reboot though the kernel does not call it "+
			"synchronised")
	flags.StringVar(&c.acceptLoss, "accept-loss", "",
		"with --data-dir: start although the journal is damaged, and forget what cannot be read: of "+
			"these accounts (namespace/name,...), or all")
	c.redis.register(flags)
	c.auth.register(flags)
	flags.StringVar(&c.httpAddress, "http-address", ":8080",
		"where to serve the HTTP API")
	flags.StringVar(&c.healthAddress, "health-address", ":8081",
		"where to serve /healthz and /readyz")
	flags.StringVar(&c.metricsAddress, "metrics-address", ":9090",
		"where to serve /metrics")
	c.tls.register(flags)
	flags.DurationVar(&c.reservationTTL, "reservation-ttl", server.DefaultReservationTTL,
		"how long a slot is held if the check does not say, 1s to 15m")
	flags.IntVar(&c.maxReservations, "max-reservations", memory.DefaultMaxReservations,
		"how many reservations may be outstanding, over all accounts")
	flags.IntVar(&c.maxPerAccount, "max-reservations-per-account", 0,
		"how many of them one account may hold (default: a quarter of them, and at least 1000)")
	flags.IntVar(&c.maxConnections, "max-connections", server.DefaultMaxConnections,
		"how many connections each address has open at a time; "+
			"one more takes the place of one that is not in use")
	flags.IntVar(&c.maxInFlight, "max-in-flight", server.DefaultMaxInFlight,
		"how many checks are worked on at a time, and how many commits and releases; others get 503")
	flags.StringVar(&c.logFormat, "log-format", "json",
		"json or text")
	flags.StringVar(&c.logLevel, "log-level", "info",
		"debug, info or error")
	flags.BoolVar(&c.leaderElect, "leader-elect", true,
		"in a cluster: elect the replica that writes the status of MailAccounts")
	flags.StringVar(&c.leaseNamespace, "lease-namespace", "",
		"where the lease of the election is (default: the pod's namespace)")
}

// lookup finds an environment variable.
type lookup func(name string) (value string, set bool)

// fromEnvironment sets each flag that was not given from its environment variable: --http-address
// from SLUICE_HTTP_ADDRESS.
func fromEnvironment(flags *pflag.FlagSet, env lookup) (err error) {
	flags.VisitAll(func(f *pflag.Flag) {
		name := variable(f)
		value, set := env(name)
		if f.Changed || !set || err != nil {
			return
		}
		if e := f.Value.Set(value); e != nil {
			err = fmt.Errorf(
				"the environment variable %s=%q is no value for --%s: %w", name, value, f.Name, e,
			)
		}
	})
	return err
}

// variable returns the name of a flag's environment variable.
func variable(f *pflag.Flag) string {
	return "SLUICE_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
}

// validate refuses settings that serve cannot work with. The chart refuses the same ones when it is
// rendered.
func (c *config) validate() error {
	switch {
	case !server.ValidReservationTTL(c.reservationTTL):
		return fmt.Errorf("--reservation-ttl must be 1s to 15m, not %s", c.reservationTTL)
	case c.maxReservations < 1 || c.maxReservations > maxMaxReservations:
		return fmt.Errorf(
			"--max-reservations must be 1 to %d, not %d", maxMaxReservations, c.maxReservations,
		)
	case c.maxPerAccount < 0:
		return fmt.Errorf(
			"--max-reservations-per-account must be 1 or more, or 0 for the default, not %d",
			c.maxPerAccount,
		)
	case c.dataDir == "" && (c.sync != syncAlways || c.trustClock || c.acceptLoss != ""):
		return errors.New("--sync, --trust-clock and --accept-loss are about a journal: " +
			"they need --data-dir")
	case c.redis.url != "" && c.dataDir != "":
		return errors.New("--redis-url and --data-dir both say where to keep what was sent: " +
			"leave one of them out")
	case c.maxConnections < 1:
		return fmt.Errorf("--max-connections must be 1 or more, not %d", c.maxConnections)
	case c.maxInFlight < 1:
		return fmt.Errorf("--max-in-flight must be 1 or more, not %d", c.maxInFlight)
	}
	if err := errors.Join(c.redis.validate(), c.auth.validate(), c.tls.validate()); err != nil {
		return err
	}
	if _, err := c.syncPace(); err != nil {
		return err
	}
	if _, err := journal.ParseAcceptLoss(c.acceptLoss); err != nil {
		return fmt.Errorf("--accept-loss: %w", err)
	}
	return nil
}

const (
	syncAlways = "always"
	maxSync    = 10 * time.Second
)

// syncPace returns how long an answer may come before the disk has what it changed.
func (c *config) syncPace() (time.Duration, error) {
	if c.sync == syncAlways {
		return 0, nil
	}
	pace, err := time.ParseDuration(c.sync)
	if err != nil || pace < time.Millisecond || pace > maxSync {
		return 0, fmt.Errorf("--sync must be %s, or 1ms to %s, not %q", syncAlways, maxSync, c.sync)
	}
	return pace, nil
}

func (c *config) storeOptions() memory.Options {
	return memory.Options{
		MaxReservations:           c.maxReservations,
		MaxReservationsPerAccount: c.maxPerAccount,
	}
}

// logger returns a logger that writes to w.
func (c *config) logger(w io.Writer) (logr.Logger, error) {
	levels := map[string]slog.Level{
		"debug": slog.LevelDebug,
		"info":  slog.LevelInfo,
		"error": slog.LevelError,
	}
	level, ok := levels[c.logLevel]
	if !ok {
		return logr.Logger{}, fmt.Errorf(
			"--log-level must be debug, info or error, not %q", c.logLevel,
		)
	}
	options := &slog.HandlerOptions{Level: level}
	switch c.logFormat {
	case "json":
		return logr.FromSlogHandler(slog.NewJSONHandler(w, options)), nil
	case "text":
		return logr.FromSlogHandler(slog.NewTextHandler(w, options)), nil
	}
	return logr.Logger{}, fmt.Errorf("--log-format must be json or text, not %q", c.logFormat)
}
