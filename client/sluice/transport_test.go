package sluice_test

import (
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluice-mail/sluice/api/httpv1"
	"github.com/sluice-mail/sluice/client/sluice"
)

// TestTheAuthorityIsReadAgain replaces the file while a client is there.
func TestTheAuthorityIsReadAgain(t *testing.T) {
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"namespace":"n","name":"a"}`))
	}))
	defer s.Close()
	right := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	file := filepath.Join(t.TempDir(), "ca.crt")
	write := func(content []byte) {
		t.Helper()
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write([]byte("no certificate"))
	if _, err := sluice.NewTransport(file); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("a file without a certificate: %v", err)
	}
	write(right)
	transport, err := sluice.NewTransport(file)
	if err != nil {
		t.Fatal(err)
	}
	client, err := sluice.New(s.URL, sluice.Options{
		Transport: transport, Retry: sluice.Retry{MaxAttempts: 1},
	})
	if err != nil {
		t.Fatal(err)
	}
	ask := func() error {
		t.Helper()
		_, err := client.Usage(t.Context(), httpv1.Account{Namespace: "n", Name: "a"})
		return err
	}
	if err := ask(); err != nil {
		t.Fatal(err)
	}
	write([]byte("no certificate"))
	if err := ask(); err != nil {
		t.Errorf("in the connection from before: %v", err)
	}
	client.CloseIdleConnections()
	if err := ask(); err == nil || !strings.Contains(err.Error(), "no certificate") {
		t.Errorf("in a new connection: %v", err)
	}
	write(right)
	if err := ask(); err != nil {
		t.Errorf("with the file as before: %v", err)
	}
}
