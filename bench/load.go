package bench

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// load is one run.
type load struct {
	config   Config
	client   *client
	accounts []*account
	pacer    *pacer
	tally    *tally
	// run makes the ids of this run its own.
	run string
	// asked and allowed count checks.
	asked, allowed atomic.Int64

	mu      sync.Mutex
	endings []ending // of allowed checks, to be sent before another check
	notes   []string
}

// Run sends load until the duration is over or the context ends, and reports. That limits were exceeded is no error of Run,
// but one of [Report.Err].
func Run(ctx context.Context, config Config, progress Progress) (*Report, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	l := &load{config: config, client: newClient(&config), tally: newTally(), run: fmt.Sprintf("bench-%08x-", rand.Uint32())}
	defer l.client.http.CloseIdleConnections()
	if err := l.find(ctx); err != nil {
		return nil, err
	}
	l.pacer = startPacer(config.Rate, config.Duration)
	stop := l.show(progress)
	l.work(ctx)
	elapsed := time.Since(l.pacer.start)
	stop()
	if err := ctx.Err(); err != nil {
		l.note("Interrupted after %s of %s.", elapsed.Round(time.Millisecond), config.Duration)
	}
	limits := l.judge(context.WithoutCancel(ctx))
	return l.report(elapsed, limits), nil
}

// note adds a sentence to the report.
func (l *load) note(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.notes = append(l.notes, fmt.Sprintf(format, args...))
}

// work uses all connections until the run is over and every allowed check has ended.
func (l *load) work(ctx context.Context) {
	var group sync.WaitGroup
	for range l.config.Connections {
		group.Go(func() { l.connection(ctx) })
	}
	group.Wait()
}

// pauseAfterFailure keeps a generator without a rate from spinning while there is no server.
const pauseAfterFailure = 100 * time.Millisecond

// connection sends one request after the other. What is under way when the context ends is finished.
func (l *load) connection(ctx context.Context) {
	requests := context.WithoutCancel(ctx)
	for {
		t, more := l.pacer.next(ctx)
		if !more {
			break
		}
		if answered := l.send(requests, t); answered || l.config.Rate > 0 {
			continue
		}
		select {
		case <-ctx.Done():
		case <-time.After(pauseAfterFailure):
		}
	}
	for e, ok := l.nextEnding(); ok; e, ok = l.nextEnding() {
		l.finish(requests, turn{}, e)
	}
}

// send sends what is due: an ending if there is one, and a check otherwise. It says whether it was answered.
func (l *load) send(ctx context.Context, t turn) (answered bool) {
	if e, ok := l.nextEnding(); ok {
		return l.finish(ctx, t, e)
	}
	return l.check(ctx, t)
}

func (l *load) nextEnding() (e ending, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.endings) == 0 {
		return e, false
	}
	e = l.endings[0]
	l.endings = l.endings[1:]
	return e, true
}

// end queues the commit or release of allowed checks.
func (l *load) end(e ending) {
	if len(e.mails) == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.endings = append(l.endings, e)
}

// Progress is where and how often to tell of a run while it goes on. Its zero value tells nothing.
type Progress struct {
	To    io.Writer
	Every time.Duration
}
