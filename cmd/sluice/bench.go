package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluice-mail/sluice/bench"
)

func newBenchCommand() *cobra.Command {
	var config bench.Config
	var output string
	var printAccounts int
	command := &cobra.Command{
		Use:   "bench",
		Short: "Put load on a running Sluice, and verify that it keeps the limits",
		Long: `Check as fast as possible, or at a rate, and commit what is allowed; then report
throughput, latency, decisions and problems. It counts what each account was granted,
and fails if that was more than a limit within any minute, hour or day.

WARNING: this spends the limits of the accounts it uses, as if that many mails had been
sent. Do not use accounts that send real mail. Make some that do not, and use those alone:

  sluice bench --print-accounts 100 | kubectl apply -f -
  sluice bench --prefix bench- --url http://localhost:8080

Without a cluster, write them to a file in the folder of "sluice serve --accounts".`,
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			if printAccounts > 0 {
				return bench.PrintAccounts(command.OutOrStdout(), printAccounts, config.Namespace,
					config.Prefix)
			}
			if output != "text" && output != "json" {
				return fmt.Errorf("--output must be text or json, not %q", output)
			}
			report, err := bench.Run(command.Context(), config, benchProgress(command.ErrOrStderr()))
			if err != nil {
				return err
			}
			if err := writeReport(command.OutOrStdout(), report, output); err != nil {
				return err
			}
			return report.Err()
		},
	}
	flags := command.Flags()
	flags.StringVar(&config.URL, "url", "http://localhost:8080", "where the HTTP API is")
	flags.StringVar(&config.TokenFile, "token-file", "",
		"the file with the token that says who calls; read again while the load runs")
	flags.StringVar(&config.CAFile, "ca-file", "",
		"trust the certificates in this file (default: the system's)")
	flags.IntVar(&config.Accounts, "accounts", 100,
		"how many accounts to use, of those that are not suspended")
	flags.StringVar(&config.Namespace, "namespace", "",
		"use accounts of this namespace (default: of all)")
	flags.StringVar(&config.Prefix, "prefix", "", "use accounts with names that begin with this")
	flags.IntVar(&config.Connections, "connections", 16,
		"how many requests may be under way at a time")
	flags.DurationVar(&config.Duration, "duration", 10*time.Second, "for how long to send checks")
	flags.IntVar(&config.Batch, "batch", 1, "how many checks go into one request, up to 1000")
	flags.Float64Var(&config.Rate, "rate", 0,
		"requests per second, commits included, that become due whether or not those before were "+
			"answered (0: as fast as possible)")
	flags.Float64Var(&config.Commit, "commit", 1,
		"which part of the allowed checks to commit; the rest is released")
	flags.StringVar(&output, "output", "text", "text or json")
	flags.IntVar(&printAccounts, "print-accounts", 0,
		"print the manifests of this many accounts to use, and do nothing else")
	return command
}

// benchProgress writes to a terminal every second, and elsewhere every five seconds.
func benchProgress(w io.Writer) bench.Progress {
	if f, ok := w.(*os.File); ok {
		if info, err := f.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
			return bench.Progress{To: w, Every: time.Second}
		}
	}
	return bench.Progress{To: w, Every: 5 * time.Second}
}

func writeReport(w io.Writer, r *bench.Report, output string) error {
	if output == "json" {
		encoder := json.NewEncoder(w)
		encoder.SetIndent("", "  ")
		return encoder.Encode(r)
	}
	return r.WriteText(w)
}
