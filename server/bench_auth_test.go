package server_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluice-mail/sluice/server"
	"github.com/sluice-mail/sluice/server/kubeauth"
	"github.com/sluice-mail/sluice/test/controlplane"
)

// BenchmarkAuth compares callers with tokens, whom a real API server knows, with callers that
// nobody asks who they are. The tokens are known when it begins. With tokens=both the reference
// gets them, too, and does not look at them: what is left is what is looked up.
func BenchmarkAuth(b *testing.B) {
	const accounts, tokens = 10_000, 1000
	all, kubeconfig := controlplane.Senders(b, tokens)
	file := filepath.Join(b.TempDir(), "tokens")
	if err := os.WriteFile(file, []byte(strings.Join(all, "\n")), 0o600); err != nil {
		b.Fatal(err)
	}
	auth := []string{"SLUICE_BENCH_TOKENS=" + file, "KUBECONFIG=" + kubeconfig}
	for _, with := range []string{"subject", "both"} {
		b.Run(fmt.Sprintf("accounts=%d/tokens=%s", accounts, with), func(b *testing.B) {
			none := benchSetup{kind: "memory", decision: "allow", accounts: accounts}
			if with == "both" {
				none.env = auth
			}
			compare(b, none, benchSetup{
				kind: "auth", decision: "allow", accounts: accounts, env: auth, warmUp: 4,
			})
		})
	}
}

// benchAuth is what a server of the kind auth asks who calls; nil for the others.
func benchAuth() server.Auth {
	if os.Getenv("SLUICE_BENCH_SERVER") != "auth" {
		return nil
	}
	cluster, err := controlplane.FromFile(os.Getenv("KUBECONFIG"))
	if err != nil {
		panic(err)
	}
	auth, err := kubeauth.New(kubeauth.Options{
		Config: cluster, Audience: "sluice", Registry: prometheus.NewRegistry(),
	})
	if err != nil {
		panic(err)
	}
	go func() { _ = auth.Start(context.Background()) }()
	return auth
}

// benchTokenHeaders are the headers with tokens, or none.
func benchTokenHeaders() (headers []string) {
	file := os.Getenv("SLUICE_BENCH_TOKENS")
	if file == "" {
		return []string{""}
	}
	text, err := os.ReadFile(file)
	if err != nil {
		panic(err)
	}
	for token := range strings.Lines(string(text)) {
		headers = append(headers, "Authorization: Bearer "+strings.TrimSpace(token)+"\r\n")
	}
	return headers
}
