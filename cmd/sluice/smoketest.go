package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluice-mail/sluice/api/httpv1"
)

// smokeTest asks a running Sluice for one decision, as a caller would. The chart's "helm test" runs it in the cluster.
type smokeTest struct {
	url     string
	account string
	timeout time.Duration
	out     io.Writer
}

func newSmokeTestCommand() *cobra.Command {
	var s smokeTest
	command := &cobra.Command{
		Use:   "smoke-test",
		Short: "Check and commit one send at a running Sluice, and print what it answers",
		Long: `Wait for an account to be served; then check, commit what was allowed, and check again. It counts as one send of
the account. The answers are printed; anything but decisions is an error.`,
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			s.out = command.OutOrStdout()
			ctx, cancel := context.WithTimeout(command.Context(), s.timeout)
			defer cancel()
			return s.run(ctx)
		},
	}
	command.Flags().StringVar(&s.url, "url", "http://localhost:8080", "where the HTTP API is")
	command.Flags().StringVar(&s.account, "account", "", "the account, as NAMESPACE/NAME")
	command.Flags().DurationVar(&s.timeout, "timeout", time.Minute, "how long to wait for the account to be served")
	return command
}

func (s *smokeTest) run(ctx context.Context) error {
	if namespace, name, ok := strings.Cut(s.account, "/"); !ok || namespace == "" || name == "" {
		return fmt.Errorf("--account must be NAMESPACE/NAME, not %q", s.account)
	}
	if err := s.wait(ctx); err != nil {
		return err
	}
	var decision httpv1.CheckResponse
	if err := s.post(ctx, "check", "{}", &decision); err != nil {
		return err
	}
	if decision.Reservation == nil {
		return fmt.Errorf("the check was not allowed, but answered %s", decision.Decision)
	}
	var result httpv1.CommitResponse
	commit := fmt.Sprintf(`{"reservation":%q}`, decision.Reservation.ID)
	if err := s.post(ctx, "commit", commit, &result); err != nil {
		return err
	}
	if result.Outcome != httpv1.Committed {
		return fmt.Errorf("the commit was not Committed, but %s", result.Outcome)
	}
	return s.post(ctx, "check", "{}", &decision)
}

// wait asks for the account until it is served.
func (s *smokeTest) wait(ctx context.Context) error {
	for {
		err := s.call(ctx, http.MethodGet, "", "", &httpv1.Usage{})
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s was not served in time: %w", s.account, err)
		case <-time.After(250 * time.Millisecond):
		}
	}
}

func (s *smokeTest) post(ctx context.Context, verb, body string, answer any) error {
	return s.call(ctx, http.MethodPost, "/"+verb, body, answer)
}

// call makes one call about the account and reads its answer.
func (s *smokeTest) call(ctx context.Context, method, path, body string, answer any) error {
	url := strings.TrimSuffix(s.url, "/") + "/v1/accounts/" + s.account + path
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader([]byte(body)))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	got, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s %s: %s: %s", method, url, resp.Status, bytes.TrimSpace(got))
	}
	_, err = fmt.Fprintf(s.out, "%s %s: %s\n", method, url, bytes.TrimSpace(got))
	return errors.Join(err, json.Unmarshal(got, answer))
}
