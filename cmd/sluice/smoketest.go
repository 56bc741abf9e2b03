package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluice-mail/sluice/api/httpv1"
	"github.com/sluice-mail/sluice/client/sluice"
)

// smokeTest asks a running Sluice for decisions, as a dispatcher does. The chart's "helm test" runs
// it in the cluster.
type smokeTest struct {
	url     string
	caFile  string
	account string
	token   string // the file that it is in
	timeout time.Duration
	out     io.Writer
}

func newSmokeTestCommand() *cobra.Command {
	var s smokeTest
	command := &cobra.Command{
		Use:   "smoke-test",
		Short: "Check and commit one send at a running Sluice, and print what it answers",
		Long: `Wait for an account to be served; then check, commit, and check again. If the second
check is allowed, its slot is given back: the test counts as one send of the account. The answers
are printed. It is an error if the first check is denied, or if an answer is no decision.`,
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			s.out = command.OutOrStdout()
			ctx, cancel := context.WithTimeout(command.Context(), s.timeout)
			defer cancel()
			return s.run(ctx)
		},
	}
	flags := command.Flags()
	flags.StringVar(&s.url, "url", "http://localhost:8080", "where the HTTP API is")
	flags.StringVar(&s.caFile, "ca-file", "",
		"trust the certificates in this file (default: the system's)")
	flags.StringVar(&s.account, "account", "", "the account, as NAMESPACE/NAME")
	flags.StringVar(&s.token, "token-file", "",
		"the file with the token that says who calls; read again while the test runs")
	flags.DurationVar(&s.timeout, "timeout", time.Minute,
		"how long to wait for the account to be served")
	return command
}

func (s *smokeTest) run(ctx context.Context) error {
	namespace, name, ok := strings.Cut(s.account, "/")
	if !ok || namespace == "" || name == "" {
		return fmt.Errorf("--account must be NAMESPACE/NAME, not %q", s.account)
	}
	account := httpv1.Account{Namespace: namespace, Name: name}
	client, err := s.client()
	if err != nil {
		return err
	}
	defer client.CloseIdleConnections()
	if err := s.wait(ctx, client, account); err != nil {
		return err
	}
	decision, err := client.Check(ctx, account, httpv1.CheckRequest{})
	if err := s.show("check", decision, err); err != nil {
		return err
	}
	if decision.Decision != httpv1.Allow {
		return fmt.Errorf("the check was not allowed, but answered %s", decision.Decision)
	}
	result, err := client.Commit(ctx, account, httpv1.CommitRequest{
		Reservation: &decision.Reservation.ID, Cost: &decision.Reservation.Cost,
	})
	if err := s.show("commit", result, err); err != nil {
		return err
	}
	if result.Outcome != httpv1.Committed {
		return fmt.Errorf("the commit was not Committed, but %s", result.Outcome)
	}
	decision, err = client.Check(ctx, account, httpv1.CheckRequest{})
	if err := s.show("check", decision, err); err != nil || decision.Decision != httpv1.Allow {
		return err
	}
	released, err := client.Release(ctx, account, httpv1.ReleaseRequest{
		Reservation: &decision.Reservation.ID,
	})
	return s.show("release", released, err)
}

func (s *smokeTest) client() (*sluice.Client, error) {
	options := sluice.Options{TokenFile: s.token, UserAgent: "sluice-smoke-test"}
	if s.caFile != "" {
		transport, err := sluice.NewTransport(s.caFile)
		if err != nil {
			return nil, fmt.Errorf("--ca-file: %w", err)
		}
		options.Transport = transport
	}
	return sluice.New(s.url, options)
}

// wait asks for the account until it is served.
func (s *smokeTest) wait(ctx context.Context, client *sluice.Client, account httpv1.Account) error {
	for {
		usage, err := client.Usage(ctx, account)
		if err == nil {
			return s.show("usage", usage, nil)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s was not served in time: %w", s.account, err)
		case <-time.After(250 * time.Millisecond):
		}
	}
}

// show prints a response, or returns why there is none.
func (s *smokeTest) show(call string, response any, err error) error {
	if err != nil {
		return err
	}
	text, err := json.Marshal(response)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(s.out, "%s %s: %s\n", call, s.account, text)
	return err
}
