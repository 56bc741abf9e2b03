package server_test

import (
	"fmt"
	"os/exec"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-mail/sluice/limiter/redis/redistest"
)

// newBenchRedis is a redis-server on the core of the loads.
func newBenchRedis(b *testing.B) *redistest.Server {
	b.Helper()
	var o redistest.Options
	if taskset, err := exec.LookPath("taskset"); err == nil {
		o.Wrapper = []string{taskset, "-c", "1"}
	}
	return redistest.New(b, o)
}

var benchPrefixes atomic.Int64

// newBenchPrefix is that of the keys of a store that nobody has used.
func newBenchPrefix() string { return fmt.Sprint("b", benchPrefixes.Add(1)) }

// BenchmarkShared compares a replica on the shared store with a bare net/http handler that calls a
// script which returns 1, once for each request. With commits=false, reservations expire after a
// second, so that a check also makes sends of those that are due.
func BenchmarkShared(b *testing.B) {
	const accounts = 1000
	redis := newBenchRedis(b)
	for _, c := range []struct {
		connections int
		commits     bool
	}{{16, true}, {64, true}, {64, false}} {
		b.Run(fmt.Sprintf("check=allow/connections=%d/commits=%v", c.connections, c.commits),
			func(b *testing.B) {
				s := benchSetup{
					kind: "evalsha", decision: "allow", accounts: accounts,
					connections: c.connections, commits: c.commits, redis: redis,
				}
				shared := s
				shared.kind = "redis"
				compare(b, s, shared)
			})
	}
}

// BenchmarkSharedDenials compares a replica on the shared store with the store in memory, where
// accounts are exhausted: it remembers the denials.
func BenchmarkSharedDenials(b *testing.B) {
	for _, accounts := range []int{1, 1000} {
		b.Run(fmt.Sprintf("accounts=%d", accounts), func(b *testing.B) {
			compare(b, benchSetup{kind: "memory", decision: "deny", accounts: accounts}, benchSetup{
				kind: "redis", decision: "deny", accounts: accounts, redis: newBenchRedis(b),
				warmUp: 8, // until all accounts were denied more than once
			})
		})
	}
}

// BenchmarkReplicas compares two replicas on one Redis with one. As they share core 0, each gets a
// third of it: an endless loop takes the rest, and one more in the turn of a single replica. The
// metrics are
//
//	ref-checks/s  of one replica, each check with its commit
//	checks/s      of two, until the slower one has done its slice
//	ratio         the median, over the slices, of one to the other
//	ref-µs/check, ref-redis-µs/check, µs/check, redis-µs/check  as above
func BenchmarkReplicas(b *testing.B) {
	b.Run("replicas=2/ref-replicas=1", func(b *testing.B) {
		s := benchSetup{
			kind: "redis", decision: "allow", accounts: 1000, connections: 64, commits: true,
			redis: newBenchRedis(b), prefix: newBenchPrefix(),
		}
		other := s
		other.first = s.connections
		all := []*benched{startServer(b, s), startServer(b, other)}
		loops := []*child{startLoop(b), startLoop(b)}
		alone, together := &usedBy{redis: s.redis}, &usedBy{redis: s.redis}
		for _, r := range all {
			defer r.stop(b)
			r.load(b)
		}
		loops[1].say(b, "run")
		b.ResetTimer()
		var ratios []float64
		for alone.checks < b.N {
			loops[0].say(b, "run")
			one := alone.measure(b, all[alone.checks/benchSlice%2])
			loops[0].say(b, "pause")
			two := together.measure(b, all...)
			ratios = append(ratios, 2*one.Seconds()/two.Seconds())
		}
		b.ReportMetric(0, "ns/op") // both together: says nothing
		b.ReportMetric(median(ratios), "ratio")
		alone.report(b, "ref-")
		together.report(b, "")
	})
}

// startLoop starts a process that keeps core 0 busy from one line to the next.
func startLoop(b *testing.B) *child {
	b.Helper()
	c := startChild(b, "0", nil, "SLUICE_BENCH_SERVER=loop")
	b.Cleanup(func() {
		_ = c.in.Close()
		_ = c.cmd.Wait()
	})
	return c
}

// usedBy is what some replicas have used together.
type usedBy struct {
	redis               *redistest.Server
	checks              int
	took, cpu, redisCPU time.Duration
}

// measure has each replica do a slice of checks at the same time, and returns how long that took.
func (u *usedBy) measure(b *testing.B, replicas ...*benched) time.Duration {
	b.Helper()
	var took time.Duration
	u.redisCPU -= u.redis.CPU(b)
	for _, r := range replicas {
		u.cpu -= r.busy(b)
		r.loader.say(b, benchSlice)
	}
	for _, r := range replicas {
		took = max(took, r.loaded(b))
	}
	for _, r := range replicas {
		u.cpu += r.busy(b)
	}
	u.redisCPU += u.redis.CPU(b)
	u.checks += len(replicas) * benchSlice
	u.took += took
	return took
}

func (u *usedBy) report(b *testing.B, prefix string) {
	b.Helper()
	checks := float64(u.checks)
	b.ReportMetric(checks/u.took.Seconds(), prefix+"checks/s")
	b.ReportMetric(float64(u.cpu.Microseconds())/checks, prefix+"µs/check")
	b.ReportMetric(float64(u.redisCPU.Microseconds())/checks, prefix+"redis-µs/check")
}
