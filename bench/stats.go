package bench

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/sluice-mail/sluice/api/httpv1"
	"github.com/sluice-mail/sluice/client/sluice"
)

// verb is what a request asks for.
type verb int

const (
	check verb = iota
	commit
	release
	verbs
)

func (v verb) String() string { return [...]string{"check", "commit", "release"}[v] }

// stats counts what happened. Its methods may be called concurrently, once it is made.
type stats struct {
	mu        sync.Mutex
	latency   [verbs]*hdrhistogram.Histogram
	timerLate *hdrhistogram.Histogram
	checks    int64
	requests  [verbs]int64
	decisions map[string]int64
	outcomes  map[string]int64
	problems  map[string]int64
	example   error // the first problem

	exceeded atomic.Int64 // how many limits were
}

// Latencies are kept in nanoseconds with three digits, up to far more than an answer is waited for.
const longestLatency = time.Hour

func newStats() *stats {
	s := &stats{
		timerLate: newHistogram(),
		decisions: map[string]int64{},
		outcomes:  map[string]int64{},
		problems:  map[string]int64{},
	}
	for v := range s.latency {
		s.latency[v] = newHistogram()
	}
	return s
}

func newHistogram() *hdrhistogram.Histogram { return hdrhistogram.New(1, int64(longestLatency), 3) }

func record(h *hdrhistogram.Histogram, d time.Duration) {
	_ = h.RecordValue(int64(min(max(d, 0), longestLatency))) // refuses only what is out of bounds
}

// checked counts the n checks of one request.
func (s *stats) checked(e *exchange, n int, results []httpv1.CheckItemResponse) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.checks += int64(n)
	s.request(check, e)
	for _, r := range results {
		if r.Problem != nil {
			s.problem(r.Problem)
		} else {
			s.decisions[r.Decision]++
		}
	}
}

// ended counts the commits or releases of one request.
func (s *stats) ended(e *exchange, v verb, results []result) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.request(v, e)
	for _, r := range results {
		if r.problem != nil {
			s.problem(r.problem)
		} else {
			s.outcomes[r.outcome]++
		}
	}
}

// request counts one. The caller holds the lock.
func (s *stats) request(v verb, e *exchange) {
	s.requests[v]++
	from := e.sent
	if !e.turn.due.IsZero() {
		from = e.turn.due
	}
	if e.turn.timerLate > 0 {
		record(s.timerLate, e.turn.timerLate)
	}
	// One without an answer took at least as long as it was waited for.
	record(s.latency[v], e.received.Sub(from))
	if e.err != nil {
		s.problem(e.err)
	}
}

// problem counts one. The caller holds the lock.
func (s *stats) problem(err error) {
	s.problems[kind(err)]++
	if s.example == nil {
		s.example = err
	}
}

// kind names an error for the count of problems: the type of the problem, or what came instead.
func kind(err error) string {
	if p, ok := errors.AsType[*httpv1.Problem](err); ok {
		return strings.TrimPrefix(p.Type, httpv1.ProblemBase)
	}
	if s, ok := errors.AsType[*sluice.StatusError](err); ok {
		return fmt.Sprintf("status %d", s.Status)
	}
	if errors.Is(err, sluice.ErrUnreadable) {
		return "unreadable answer"
	}
	return "no answer"
}

// soFar is the counts that change while a run goes on.
type soFar struct {
	checks, requests, allowed, problems int64
}

func (s *stats) soFar() (p soFar) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p.checks, p.allowed = s.checks, s.decisions[httpv1.Allow]
	for _, n := range s.requests {
		p.requests += n
	}
	for _, n := range s.problems {
		p.problems += n
	}
	return p
}

// percentiles summarizes latencies.
func percentiles(h *hdrhistogram.Histogram) Percentiles {
	micros := func(nanos int64) float64 { return float64(nanos/100) / 10 }
	return Percentiles{
		Count: h.TotalCount(),
		P50:   micros(h.ValueAtQuantile(50)),
		P90:   micros(h.ValueAtQuantile(90)),
		P99:   micros(h.ValueAtQuantile(99)),
		P999:  micros(h.ValueAtQuantile(99.9)),
		Max:   micros(h.Max()),
	}
}

// Percentiles are latencies in microseconds.
type Percentiles struct {
	Count int64   `json:"count"`
	P50   float64 `json:"p50Micros"`
	P90   float64 `json:"p90Micros"`
	P99   float64 `json:"p99Micros"`
	P999  float64 `json:"p999Micros"`
	Max   float64 `json:"maxMicros"`
}

// micros writes microseconds as people read them.
func micros(n float64) string {
	switch {
	case n < 1000:
		return fmt.Sprintf("%.0f µs", n)
	case n < 1_000_000:
		return fmt.Sprintf("%.2f ms", n/1000)
	}
	return fmt.Sprintf("%.2f s", n/1_000_000)
}
