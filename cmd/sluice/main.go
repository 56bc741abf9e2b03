// Command sluice keeps mail accounts inside their providers' sending limits.
//
//   - main.go: the commands.
//   - serve.go, config.go: "sluice serve" and its flags.
//   - doors.go: the servers of its three addresses; auth.go: who may call.
//   - tls.go: the certificate of the API and the metrics; metrics.go: who may read the metrics.
//   - store.go: the store that serve uses: in memory, or a journal; redis_store.go: or Redis.
//   - redis.go: the flags of the shared store, and "sluice redis", which looks at it.
//   - journal.go: "sluice journal", which looks into a journal that nobody has open.
//   - bench.go: "sluice bench", the load generator.
//   - smoketest.go: "sluice smoke-test".
//   - version.go: "sluice version".
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

func main() {
	// A second signal ends the process at once.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	if err := run(ctx, os.Args[1:], os.LookupEnv, os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "sluice:", err)
		os.Exit(1)
	}
}

// run runs the program until it is done or the context ends.
func run(ctx context.Context, args []string, env lookup, stdout, stderr io.Writer) error {
	root := &cobra.Command{
		Use:           "sluice",
		Short:         "Sluice keeps mail accounts inside their providers' sending limits",
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.NoArgs,
		RunE:          func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.AddCommand(newServeCommand(env), newJournalCommand(), newRedisCommand(env),
		newSmokeTestCommand(), newBenchCommand(), newVersionCommand())
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	return root.ExecuteContext(ctx)
}
