package bench

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-mail/sluice/api/httpv1"
)

// TestLatency stalls a server once, for 300 ms of a run of 2 s. All requests that were due
// meanwhile have waited.
func TestLatency(t *testing.T) {
	for name, c := range map[string]struct {
		rate             float64
		p50, p90, max    time.Duration
		from             string
		requests, unsent int64
	}{
		// 30 of 200 requests wait 300 ms, 291, 282, …: they are due every 10 ms, and are caught up with
		// every millisecond.
		"at a rate, the wait for a connection counts": {100, time.Millisecond, 121 * time.Millisecond,
			300 * time.Millisecond, Due, 200, 0},
		// 1 of 1,700 takes long.
		"in a closed loop nobody waits": {0, time.Millisecond, time.Millisecond, 300 * time.Millisecond,
			Sent, 1701, 0},
		// It is the end of the run that is missing.
		"at a rate that is never reached": {1000, 307 * time.Millisecond, 308 * time.Millisecond,
			308 * time.Millisecond, Due, 1701, 299},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &fake{limit: 5, decide: func(n int) string {
					if n == 10 {
						time.Sleep(299 * time.Millisecond) // and one as any
					}
					return httpv1.Defer
				}}
				config := setting(f)
				config.Connections, config.Rate, config.Duration = 1, c.rate, 2*time.Second
				r := mustRun(t, config)
				l := r.Latency["check"]
				for what, is := range map[string][2]float64{
					"p50": {l.P50, micros64(c.p50)}, "p90": {l.P90, micros64(c.p90)},
					"max": {l.Max, micros64(c.max)},
				} {
					if got, want := is[0], is[1]; got < want*0.95 || got > want*1.05 {
						t.Errorf("%s is %.0f µs, want %.0f", what, got, want)
					}
				}
				if r.LatencyFrom != c.from || l.Count != c.requests || r.Unsent != c.unsent {
					t.Errorf("from %s, %d requests, %d unsent; want %s, %d, %d", r.LatencyFrom, l.Count, r.Unsent,
						c.from, c.requests, c.unsent)
				}
			})
		})
	}
}

func micros64(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
