package redistest

import (
	"context"
	"crypto/tls"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/valkey-io/valkey-go"

	"github.com/sluice-mail/sluice/limiter/limitertest"
)

// commandTimeout is how long a command may take.
const commandTimeout = 10 * time.Second

// Command sends a command of the test's own, as a user who may do everything, and fails the test if
// the reply is an error. It follows no redirection.
func (s *Server) Command(t limitertest.TB, words ...string) valkey.ValkeyResult {
	t.Helper()
	r := s.Try(t.Context(), words...)
	if err := r.Error(); err != nil && !valkey.IsValkeyNil(err) {
		t.Fatalf("%q: %v", words, err)
	}
	return r
}

// Try is Command for what may fail. It uses a connection of its own, and tries once.
func (s *Server) Try(ctx context.Context, words ...string) valkey.ValkeyResult {
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	o := valkey.ClientOption{
		InitAddress: []string{s.Address()}, ForceSingleClient: true, DisableCache: true,
		DisableRetry: true, PipelineMultiplex: -1, ConnWriteTimeout: commandTimeout,
		Dialer: net.Dialer{Timeout: commandTimeout}, ClientName: "redistest",
		AlwaysRESP2: true, // in RESP3, texts may begin with their format
	}
	if !s.options.sentinel {
		o.Username, o.Password = adminName, adminPassword
	}
	if dial := s.options.Dial; dial != nil {
		o.DialCtxFn = func(
			ctx context.Context, address string, _ *net.Dialer, _ *tls.Config,
		) (net.Conn, error) {
			return dial(ctx, "tcp", address)
		}
	}
	c, err := valkey.NewClient(o)
	if err != nil {
		return valkey.NewErrorResult(err)
	}
	defer c.Close()
	return c.Do(ctx, c.B().Arbitrary(words...).Build())
}

// Info is a section of what the server tells of itself, by the names of its lines.
func (s *Server) Info(t limitertest.TB, section string) map[string]string {
	t.Helper()
	return fields(s.text(t, "INFO", section))
}

// text is the reply of a command that answers with text.
func (s *Server) text(t limitertest.TB, words ...string) string {
	t.Helper()
	text, err := s.Command(t, words...).ToString()
	if err != nil {
		t.Fatalf("%q: %v", words, err)
	}
	return text
}

func fields(text string) map[string]string {
	all := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			all[name] = value
		}
	}
	return all
}

// CPU is how much the process has used since its start.
func (s *Server) CPU(t limitertest.TB) (used time.Duration) {
	t.Helper()
	info := s.Info(t, "cpu")
	for _, name := range []string{"used_cpu_user", "used_cpu_sys"} {
		seconds, err := strconv.ParseFloat(info[name], 64)
		if err != nil {
			t.Fatal(err)
		}
		used += time.Duration(seconds * float64(time.Second))
	}
	return used
}

// until waits for something that must happen.
func until(t limitertest.TB, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("this did not happen: %s", what)
		}
	}
}
