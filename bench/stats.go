package bench

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/sluice-mail/sluice/api/httpv1"
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

// stats counts what happened. Its methods may be called concurrently.
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
	s := &stats{timerLate: newHistogram(), decisions: map[string]int64{}, outcomes: map[string]int64{}, problems: map[string]int64{}}
	for v := range s.latency {
		s.latency[v] = newHistogram()
	}
	return s
}

func newHistogram() *hdrhistogram.Histogram { return hdrhistogram.New(1, int64(longestLatency), 3) }

func record(h *hdrhistogram.Histogram, d time.Duration) {
	_ = h.RecordValue(int64(min(max(d, 0), longestLatency))) // refuses only what is out of bounds
}

// checked counts the checks of one request.
func (s *stats) checked(due turn, a *answer, n int, results []httpv1.CheckItemResponse, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.checks += int64(n)
	s.request(check, due, a, err)
	for _, r := range results {
		switch {
		case r.Problem != nil:
			s.problem(r.Problem)
		case r.CheckResponse != nil:
			s.decisions[r.CheckResponse.Decision]++
		}
	}
}

// ended counts the commits or releases of one request.
func (s *stats) ended(due turn, a *answer, v verb, results []httpv1.CommitItemResponse, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.request(v, due, a, err)
	for _, r := range results {
		switch {
		case r.Problem != nil:
			s.problem(r.Problem)
		case r.CommitResponse != nil:
			s.outcomes[r.Outcome]++
		}
	}
}

// request counts one. The caller holds the lock.
func (s *stats) request(v verb, due turn, a *answer, err error) {
	s.requests[v]++
	from := a.sent
	if !due.due.IsZero() {
		from = due.due
	}
	if due.timerLate > 0 {
		record(s.timerLate, due.timerLate)
	}
	// One without an answer took at least as long as it was waited for.
	record(s.latency[v], a.received.Sub(from))
	if err != nil {
		s.problem(err)
	}
}

// problem counts one. The caller holds the lock.
func (s *stats) problem(err error) {
	s.problems[kind(err)]++
	if s.example == nil {
		s.example = err
	}
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
