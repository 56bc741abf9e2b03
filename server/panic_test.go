package server_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/go-logr/logr"

	"github.com/sluice-mail/sluice/limiter"
	"github.com/sluice-mail/sluice/limiter/memory"
	"github.com/sluice-mail/sluice/server"
)

// panicChild runs this process as a server that panics in the handler that an environment variable
// names, and sends it a request. It returns only if the server has recovered.
func panicChild() (is bool) {
	in := os.Getenv("SLUICE_TEST_PANIC_IN")
	if in == "" {
		return false
	}
	log := logr.FromSlogHandler(slog.NewJSONHandler(os.Stderr, nil))
	l := limiter.New(memory.New(memory.Options{}))
	if _, err := l.Apply(context.Background(), newsletter, "uid-1", limiter.Policy{}); err != nil {
		panic(err)
	}
	l.MarkLoaded()
	handlers := map[string]http.Handler{
		"the API": server.NewBefore(server.Options{Limiter: l, Log: log}, "check", swordfish),
		"health":  server.Health(swordfish, swordfish),
		"abort": http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			panic(http.ErrAbortHandler)
		}),
	}
	ts := httptest.NewUnstartedServer(nil)
	ts.Config = server.HTTPServer(handlers[in], log)
	ts.Start()
	for _, path := range []string{"/v1/accounts/marketing/newsletter/check", "/readyz"} {
		for _, method := range []string{http.MethodPost, http.MethodGet} {
			req, err := http.NewRequest(method, ts.URL+path, http.NoBody)
			if err != nil {
				panic(err)
			}
			if resp, err := ts.Client().Do(req); err == nil {
				_, _ = io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
			}
		}
	}
	fmt.Println("the process goes on")
	return true
}

// swordfish is a bug.
func swordfish() error { panic("swordfish") }

// TestAPanicEndsTheProcess wants nobody to recover from a bug in a handler: a lock may be held, and
// then everything would wait for it while the probes are healthy.
func TestAPanicEndsTheProcess(t *testing.T) {
	for in, ends := range map[string]bool{"the API": true, "health": true, "abort": false} {
		t.Run(in, func(t *testing.T) {
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), "SLUICE_TEST_PANIC_IN="+in)
			var stdout, stderr bytes.Buffer
			cmd.Stdout, cmd.Stderr = &stdout, &stderr
			err := cmd.Run()
			if !ends {
				if err != nil || !strings.Contains(stdout.String(), "the process goes on") ||
					stderr.Len() > 0 {
					t.Errorf("ended with %v; the log is\n%s", err, &stderr)
				}
				return
			}
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != 2 {
				t.Errorf("ended with %v, %s", err, &stdout)
			}
			line, _, _ := strings.Cut(stderr.String(), "\n")
			for _, want := range []string{
				`"level":"ERROR"`, "panic: swordfish", "server_test.swordfish", "panic_test.go:",
			} {
				if !strings.Contains(line, want) {
					t.Errorf("the log does not say %s: %s", want, line)
				}
			}
		})
	}
}
