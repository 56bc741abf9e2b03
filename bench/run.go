package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-mail/sluice/client/sluice"
)

// run is one run of the load generator.
type run struct {
	config   Config
	client   *sluice.Client
	accounts []*account
	pacer    *pacer
	stats    *stats
	idPrefix string // of the ids of its checks, so that no other run has the same

	asked, allowed atomic.Int64 // how many checks

	mu      sync.Mutex
	endings []ending // of allowed checks, to be sent before another check
	notes   []string
}

// Run sends load until the duration is over or the context ends, and reports. If limits were
// exceeded, [Report.Err] returns an error, and Run does not.
func Run(ctx context.Context, config Config, progress Progress) (*Report, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	client, err := newClient(&config)
	if err != nil {
		return nil, err
	}
	defer client.CloseIdleConnections()
	r := &run{
		config: config, client: client, stats: newStats(),
		//nolint:gosec // tells runs apart, and is no secret
		idPrefix: fmt.Sprintf("bench-%08x-", rand.Uint32()),
	}
	if err := r.find(ctx); err != nil {
		return nil, err
	}
	r.pacer = startPacer(config.Rate, config.Duration)
	stop := r.show(progress)
	r.work(ctx)
	elapsed := time.Since(r.pacer.start)
	stop()
	if err := ctx.Err(); err != nil {
		r.note("Interrupted after %s of %s.", elapsed.Round(time.Millisecond), config.Duration)
	}
	limits := r.verify(context.WithoutCancel(ctx))
	return r.report(elapsed, limits), nil
}

// newClient returns a client that sends every request once: a problem is to be counted, not mended.
func newClient(c *Config) (*sluice.Client, error) {
	transport := c.Transport
	if transport == nil {
		own, err := newTransport(c)
		if err != nil {
			return nil, err
		}
		transport = own
	}
	return sluice.New(c.URL, sluice.Options{
		Transport: transport,
		TokenFile: c.TokenFile,
		UserAgent: "sluice-bench",
		Retry:     sluice.Retry{MaxAttempts: 1},
	})
}

// newTransport returns a transport that keeps a connection for each request that may be under way.
func newTransport(c *Config) (*http.Transport, error) {
	t := &http.Transport{
		Proxy:              http.ProxyFromEnvironment,
		IdleConnTimeout:    time.Minute,
		DisableCompression: true, // the load should not be spent on that
	}
	if c.CAFile != "" {
		var err error
		if t, err = sluice.NewTransport(c.CAFile); err != nil {
			return nil, fmt.Errorf("--ca-file: %w", err)
		}
	}
	t.MaxIdleConnsPerHost, t.MaxConnsPerHost = c.Connections, c.Connections
	return t, nil
}

// note adds a sentence to the report.
func (r *run) note(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.notes = append(r.notes, fmt.Sprintf(format, args...))
}

// work uses all connections until the run is over and every allowed check has ended.
func (r *run) work(ctx context.Context) {
	var group sync.WaitGroup
	for range r.config.Connections {
		group.Go(func() { r.connection(ctx) })
	}
	group.Wait()
}

// pauseAfterFailure keeps a generator without a rate from spinning while there is no server.
const pauseAfterFailure = 100 * time.Millisecond

// connection sends one request after the other. When the context ends, it finishes what it began.
func (r *run) connection(ctx context.Context) {
	requests := context.WithoutCancel(ctx)
	for {
		t, more := r.pacer.next(ctx)
		if !more {
			break
		}
		if answered := r.send(requests, t); answered || r.config.Rate > 0 {
			continue
		}
		select {
		case <-ctx.Done():
		case <-time.After(pauseAfterFailure):
		}
	}
	for e, ok := r.nextEnding(); ok; e, ok = r.nextEnding() {
		r.finish(requests, turn{}, e)
	}
}

// send sends an ending if there is one, and a check otherwise. It reports whether there was an
// answer.
func (r *run) send(ctx context.Context, t turn) (answered bool) {
	if e, ok := r.nextEnding(); ok {
		return r.finish(ctx, t, e)
	}
	return r.check(ctx, t)
}

func (r *run) nextEnding() (e ending, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.endings) == 0 {
		return e, false
	}
	e = r.endings[0]
	r.endings = r.endings[1:]
	return e, true
}

// queue queues an ending.
func (r *run) queue(e ending) {
	if len(e.mails) == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.endings = append(r.endings, e)
}
