package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path"
	"sync"
	"testing"
	"time"

	"github.com/sluice-mail/sluice/api/httpv1"
	"github.com/sluice-mail/sluice/limiter"
	"github.com/sluice-mail/sluice/limiter/limitertest"
	"github.com/sluice-mail/sluice/limiter/memory"
	"github.com/sluice-mail/sluice/server"
)

// direct calls a handler without a network, for a synctest bubble: what waits for the network would
// keep its clock from advancing. Each request takes a millisecond of that clock.
type direct struct{ http.Handler }

func (d direct) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	time.Sleep(time.Millisecond)
	w := httptest.NewRecorder()
	in := httptest.NewRequestWithContext(r.Context(), r.Method, r.URL.RequestURI(), r.Body)
	in.Header = r.Header
	d.ServeHTTP(w, in)
	return w.Result(), nil
}

// setting is what most runs have; its connections call the handler.
func setting(h http.Handler) Config {
	return Config{
		URL: "http://sluice.test", Accounts: 10, Connections: 2, Duration: time.Second, Batch: 1,
		Commit: 1, Transport: direct{h},
	}
}

// mustRun runs and returns the report.
func mustRun(t *testing.T, c Config) *Report {
	t.Helper()
	r, err := Run(t.Context(), c, Progress{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// newServer is a real server with accounts such as n/a-00, all with the same policy.
func newServer(accounts int, p limiter.Policy) (http.Handler, *limiter.Limiter) {
	l := limiter.New(memory.New(memory.Options{}))
	for i := range accounts {
		if _, err := l.Apply(context.Background(), key(i), "uid", p); err != nil {
			panic(err)
		}
	}
	l.MarkLoaded()
	return server.New(server.Options{Limiter: l}), l
}

func key(i int) limiter.Key {
	return limiter.Key{Namespace: "n", Name: fmt.Sprintf("a-%02d", i)}
}

func perMinute(
	n int64,
) limiter.Policy {
	return limiter.Policy{Limits: limitertest.Limits(n, 0, 0)}
}

// fake is a server of one account with a limit per minute that it does not keep. Its fields say
// what it answers.
type fake struct {
	limit int64
	// decide answers the n-th check; nil allows all.
	decide func(n int) string
	// forgets lets the usage be 0, whatever was committed. surplus is added to it.
	forgets bool
	surplus int64

	mu     sync.Mutex
	checks int
	used   int64
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(f.answer(path.Base(r.URL.Path)))
}

func (f *fake) answer(call string) any {
	switch call {
	case "check":
		f.mu.Lock()
		f.checks++
		n := f.checks
		f.mu.Unlock()
		d := httpv1.CheckResponse{Decision: httpv1.Allow, Reservation: &httpv1.Reservation{}}
		if f.decide != nil {
			d.Decision = f.decide(n)
		}
		return d
	case "commit":
		f.mu.Lock()
		defer f.mu.Unlock()
		f.used++
		return httpv1.CommitResponse{Outcome: httpv1.Committed}
	case "release":
		return httpv1.ReleaseResponse{Outcome: httpv1.Released}
	}
	return httpv1.ListResponse{Accounts: []httpv1.Usage{{Namespace: "n", Name: "a",
		Windows: []httpv1.WindowUsage{f.usage()}}}}
}

func (f *fake) usage() httpv1.WindowUsage {
	f.mu.Lock()
	defer f.mu.Unlock()
	w := httpv1.WindowUsage{Window: "minute", Limit: &f.limit, Used: f.used + f.surplus}
	if f.checks == 0 || f.forgets {
		w.Used = 0
	}
	return w
}

func deny(int) string { return httpv1.Defer }
