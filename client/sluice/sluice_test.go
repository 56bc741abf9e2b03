package sluice_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/go-logr/logr"

	"github.com/sluice-mail/sluice/api/httpv1"
	"github.com/sluice-mail/sluice/client/sluice"
	"github.com/sluice-mail/sluice/limiter"
	"github.com/sluice-mail/sluice/limiter/memory"
	"github.com/sluice-mail/sluice/server"
)

// The account of most tests.
var (
	account = httpv1.Account{Namespace: "marketing", Name: "newsletter"}
	key     = limiter.Key{Namespace: "marketing", Name: "newsletter"}
)

func perMinute(n int64) limiter.Policy {
	return limiter.Policy{Limits: limiter.Limits{limiter.Cost: {limiter.Minute: n}}}
}

// newLimiter is a real limiter with the account.
func newLimiter(p limiter.Policy) *limiter.Limiter {
	l := limiter.New(memory.New(memory.Options{}))
	if _, err := l.Apply(context.Background(), key, "uid", p); err != nil {
		panic(err)
	}
	l.MarkLoaded()
	return l
}

// serve starts a real server on a real socket, and returns a client that does not repeat calls.
func serve(t *testing.T, l *limiter.Limiter) *sluice.Client {
	t.Helper()
	api := httptest.NewUnstartedServer(nil)
	api.Config = server.HTTPServer(server.New(server.Options{Limiter: l}), logr.Discard())
	api.Start()
	t.Cleanup(api.Close)
	return newClient(t, api.URL, sluice.Options{Retry: sluice.Retry{MaxAttempts: 1}})
}

func newClient(t *testing.T, url string, o sluice.Options) *sluice.Client {
	t.Helper()
	c, err := sluice.New(url, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.CloseIdleConnections)
	return c
}

// roundTrip is a transport that is a function.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// direct calls a handler without a network, for a synctest bubble: goroutines that wait for the
// network would keep its clock from advancing. Each request takes a millisecond of that clock.
func direct(h http.Handler) roundTrip {
	return func(r *http.Request) (*http.Response, error) {
		if err := r.Context().Err(); err != nil {
			return nil, err
		}
		time.Sleep(time.Millisecond)
		w := httptest.NewRecorder()
		in := httptest.NewRequestWithContext(r.Context(), r.Method, r.URL.RequestURI(), r.Body)
		in.Header = r.Header
		h.ServeHTTP(w, in)
		return w.Result(), nil
	}
}

// respond answers everything with this status, body and headers, which are names and values.
func respond(status int, body string, headers ...string) roundTrip {
	return func(*http.Request) (*http.Response, error) {
		w := httptest.NewRecorder()
		for i := 0; i < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(status)
		_, _ = w.WriteString(body)
		return w.Result(), nil
	}
}

// inTurn gives the n-th request to the n-th transport, and the last one those that are left. It
// counts them.
func inTurn(requests *int, transports ...http.RoundTripper) roundTrip {
	return func(r *http.Request) (*http.Response, error) {
		*requests++
		return transports[min(*requests, len(transports))-1].RoundTrip(r)
	}
}

const url = "http://sluice.test"

// inFlight and used are what the limiter knows of the account.
func inFlight(t *testing.T, l *limiter.Limiter) int64 { return usage(t, l).InFlight }

func used(t *testing.T, l *limiter.Limiter) int64 { return usage(t, l).Windows[2].Used }

func usage(t *testing.T, l *limiter.Limiter) httpv1.Usage {
	t.Helper()
	u, err := newClient(t, url, sluice.Options{
		Transport: direct(server.New(server.Options{Limiter: l})),
	}).Usage(t.Context(), account)
	if err != nil {
		t.Fatal(err)
	}
	return u
}
