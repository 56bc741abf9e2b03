package main

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluice-mail/sluice/limiter/journal"
)

func newJournalCommand() *cobra.Command {
	command := &cobra.Command{
		Use:   "journal",
		Short: "Look into a journal that no process has open",
		Long: `Look into a journal (the folder of serve --data-dir) that no process has open. Nothing in
it is changed.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	command.AddCommand(newVerifyCommand(), newDumpCommand())
	return command
}

func newVerifyCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "verify DIR",
		Short: "Say what a journal holds, and whether it is whole",
		Long: `Read all of a journal as a start does, and say what it holds. If something in it cannot be
read, say what, and exit with 1.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			r, err := journal.Inspect(args[0], nil)
			if err != nil {
				return err
			}
			return printReport(c.OutOrStdout(), args[0], r)
		},
	}
}

func newDumpCommand() *cobra.Command {
	records := false
	command := &cobra.Command{
		Use:   "dump DIR",
		Short: "Print the accounts of a journal, as lines of JSON",
		Long: `Print what a journal holds of each account, as lines of JSON. --records prints the records
of the log before that: what happened since the newest snapshot. What can be read of a journal that
is damaged is printed, too; then the exit code is 1. Ids of reservations are hashed in a journal.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			out := json.NewEncoder(c.OutOrStdout())
			out.SetEscapeHTML(false)
			var failed error
			encode := func(v any) {
				if err := out.Encode(v); err != nil && failed == nil {
					failed = err
				}
			}
			var visit func(journal.RecordReport)
			if records {
				visit = func(r journal.RecordReport) { encode(r) }
			}
			r, err := journal.Inspect(args[0], visit)
			for _, a := range r.Accounts {
				encode(a)
			}
			if err != nil {
				return err
			}
			return failed
		},
	}
	command.Flags().BoolVar(&records, "records", false, "print the records of the log, too")
	return command
}

func printReport(w io.Writer, dir string, r journal.Report) error {
	sends, reservations := int64(0), 0
	for _, a := range r.Accounts {
		sends += a.Sends
		reservations += a.Reservations
	}
	_, _ = fmt.Fprintf(w, "%s is whole\n", dir)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintf(t, "format\t%s\n", r.Format)
	_, _ = fmt.Fprintf(t, "last written\t%s, on boot %s\n", r.Written.Format(time.RFC3339), r.BootID)
	_, _ = fmt.Fprintf(t, "snapshot\t%d, of %d bytes\n", r.Snapshot, r.SnapshotBytes)
	_, _ = fmt.Fprintf(t, "log since\t%d records, %d bytes\n", r.Next-r.From, r.LogBytes)
	_, _ = fmt.Fprintf(t, "accounts\t%d\n", len(r.Accounts))
	_, _ = fmt.Fprintf(t, "sends\t%d of the last day before each account's last record\n", sends)
	_, _ = fmt.Fprintf(t, "reservations\t%d outstanding then\n", reservations)
	return t.Flush()
}
