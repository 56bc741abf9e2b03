package redis_test

import (
	"context"
	"fmt"
	"math/bits"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/valkey-io/valkey-go"

	"github.com/sluice-mail/sluice/limiter"
	"github.com/sluice-mail/sluice/limiter/limitertest"
	"github.com/sluice-mail/sluice/limiter/redis"
	"github.com/sluice-mail/sluice/limiter/redis/redistest"
)

// A subject and a reference ask one server in turns, so that whatever else the machine does slows
// both. Callers and server share the machine's cores. The metrics are
//
//	ref-µs/op   the CPU time that the server takes for an operation of the reference
//	µs/op       the same of the subject
//	cpu-ratio   the median, over the turns, of one to the other
//	ref-op/s    operations of the reference per second
//	op/s        the same of the subject
//	ratio       the median, over the turns, of one to the other

// turn is how many operations one side does before it is the other's turn.
const turn = 2000

// side is one side of a comparison. An operation may be several decisions.
type side struct {
	callers   int
	decisions int
	do        func()

	cpu  float64 // microseconds of the server
	took time.Duration
}

func (s *side) take(b *testing.B, used func() float64) (cpu float64, took time.Duration) {
	b.Helper()
	before, start := used(), time.Now()
	var wg sync.WaitGroup
	var next atomic.Int64
	for range s.callers {
		wg.Go(func() {
			for next.Add(1) <= turn {
				s.do()
			}
		})
	}
	wg.Wait()
	took = time.Since(start)
	cpu = used() - before
	s.cpu, s.took = s.cpu+cpu, s.took+took
	return cpu, took
}

// inTurns has both sides do b.N operations each.
func inTurns(b *testing.B, reference, subject side) {
	b.Helper()
	used := func() float64 { return serverCPU(b) }
	for _, s := range []*side{&reference, &subject} {
		s.take(b, used) // warms up
		s.cpu, s.took = 0, 0
	}
	var ratios, cpuRatios []float64
	operations := 0
	b.ResetTimer()
	for ; operations < b.N; operations += turn {
		refCPU, refTook := reference.take(b, used)
		cpu, took := subject.take(b, used)
		cpuRatios = append(cpuRatios,
			cpu/float64(subject.decisions)*float64(reference.decisions)/refCPU)
		ratios = append(ratios, refTook.Seconds()*float64(subject.decisions)/
			(took.Seconds()*float64(reference.decisions)))
	}
	b.ReportMetric(0, "ns/op") // both together: says nothing
	b.ReportMetric(median(cpuRatios), "cpu-ratio")
	b.ReportMetric(median(ratios), "ratio")
	reference.report(b, "ref-", operations)
	subject.report(b, "", operations)
}

func (s *side) report(b *testing.B, prefix string, operations int) {
	b.Helper()
	done := float64(operations * s.decisions)
	b.ReportMetric(s.cpu/done, prefix+"µs/op")
	b.ReportMetric(done/s.took.Seconds(), prefix+"op/s")
}

func median(of []float64) float64 {
	slices.Sort(of)
	return of[len(of)/2]
}

// most is a limit that is never reached.
const most = 1 << 30

var noLimit = limiter.Policy{Limits: limitertest.Limits(most, most, most)}

// inUse returns the mails of a limiter as a replica has it, with accounts in as many namespaces.
func inUse(b *testing.B, url string, namespaces, accounts int) func() {
	b.Helper()
	l := limiter.New(open(b, redis.Options{
		Connection: redis.Connection{URL: url}, Prefix: options(b).Prefix, Timeout: 30 * time.Second,
	}))
	l.MarkLoaded()
	all := make([]limiter.Key, accounts)
	for n := range all {
		all[n] = limiter.Key{
			Namespace: fmt.Sprint("namespace-", n%namespaces), Name: fmt.Sprint("account-", n),
		}
		limitertest.Apply(b, l, all[n], "uid", noLimit)
	}
	serversTime := func() limiter.Instant { return far }
	return mail(b, l, serversTime, func(n int64) limiter.Key { return all[int(n)%accounts] })
}

// mail is a check and its commit.
func mail(
	b *testing.B, l *limiter.Limiter, at func() limiter.Instant, key func(n int64) limiter.Key,
) func() {
	return func() {
		n, now := benchIDs.Add(1), at()
		id := fmt.Sprint(n)
		d, err := l.Check(context.Background(), now, key(n), ask(id))
		if err != nil || d.Verdict != limiter.Allowed {
			b.Error(d, err)
		}
		if _, err := l.Commit(context.Background(), now, key(n), id, 0); err != nil {
			b.Error(err)
		}
	}
}

// connections is a client of the shared server with so many: a power of two.
func connections(b *testing.B, n int) valkey.Client {
	b.Helper()
	client(b)
	o := valkey.ClientOption{
		InitAddress: []string{sharedServer.address()}, DisableCache: true,
		PipelineMultiplex: bits.Len(uint(n)) - 1, ConnWriteTimeout: 30 * time.Second,
	}
	if n == 1 {
		o.PipelineMultiplex = -1 // 0 is the default
	}
	c, err := valkey.NewClient(o)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(c.Close)
	return c
}

// counting is a script that counts in a fixed window.
func counting(b *testing.B, c valkey.Client) func() {
	script := valkey.NewLuaScript(`local n = redis.call('INCR', KEYS[1])
		redis.call('EXPIRE', KEYS[1], 60)
		return n`)
	return func() {
		key := fmt.Sprint("counting", benchIDs.Add(1)%100)
		if err := script.Exec(context.Background(), c, []string{key}, nil).Error(); err != nil {
			b.Error(err)
		}
	}
}

// BenchmarkAgainstCounting compares a decision, which is a check or a commit, with a script of INCR
// and EXPIRE. The reference has one connection, as a replica has, or four, as its client has by
// default.
func BenchmarkAgainstCounting(b *testing.B) {
	client(b)
	for _, callers := range []int{1, 16, 64} {
		for _, n := range []int{1, 4} {
			b.Run(fmt.Sprintf("callers=%d/ref-connections=%d", callers, n), func(b *testing.B) {
				do := inUse(b, "redis://"+sharedServer.address(), 1, 100)
				inTurns(b, side{callers: callers, decisions: 1, do: counting(b, connections(b, n))},
					side{callers: callers, decisions: 2, do: do})
			})
		}
	}
}

// BenchmarkAgainstItsHistory compares the mails of an account that has sent a million in the last
// day with those of one that has sent ten.
func BenchmarkAgainstItsHistory(b *testing.B) {
	sides := [2]side{}
	for i, sends := range []int{10, 1_000_000} {
		l, now := sent(b, 1, sends, noLimit)
		at := func() limiter.Instant {
			return limiter.Instant{Mono: now.Add(int64(20 * time.Microsecond))}
		}
		key := func(int64) limiter.Key { return benchKey(0) }
		sides[i] = side{callers: callers, decisions: 2, do: mail(b, l, at, key)}
	}
	b.Run("sends=1000000/ref-sends=10", func(b *testing.B) { inTurns(b, sides[0], sides[1]) })
}

// BenchmarkAgainstFixedWindows compares a mail, which is a check and its commit, with what
// envoyproxy/ratelimit does for one request with three limits: it counts each in a fixed window,
// with INCRBY and EXPIRE in one pipeline. Where a request has several limits, it first reads them
// all, in a pipeline of its own (src/redis/fixed_cache_impl.go at 0184b1abc6e7).
func BenchmarkAgainstFixedWindows(b *testing.B) {
	c := connections(b, 4)
	for _, read := range []bool{false, true} {
		b.Run(fmt.Sprintf("ref-reads=%v", read), func(b *testing.B) {
			do := inUse(b, "redis://"+sharedServer.address(), 1, 100)
			inTurns(b, side{callers: callers, decisions: 1, do: fixedWindows(b, c, read)},
				side{callers: callers, decisions: 1, do: do})
		})
	}
}

func fixedWindows(b *testing.B, c valkey.Client, read bool) func() {
	do := func(commands []valkey.Completed) {
		for _, r := range c.DoMulti(context.Background(), commands...) {
			if err := r.Error(); err != nil && !valkey.IsValkeyNil(err) {
				b.Error(err)
			}
		}
	}
	return func() {
		account := fmt.Sprint("fixed", benchIDs.Add(1)%100)
		var reads, counts []valkey.Completed
		for _, seconds := range []int64{60, 3600, 86400} {
			key := fmt.Sprint(account, ":", seconds)
			reads = append(reads, c.B().Get().Key(key).Build())
			counts = append(counts, c.B().Incrby().Key(key).Increment(1).Build(),
				c.B().Expire().Key(key).Seconds(seconds).Build())
		}
		if read {
			do(reads)
		}
		do(counts)
	}
}

// BenchmarkCluster compares the busiest of a cluster's three nodes with a single server, where the
// mails are of 30 namespaces: each namespace is on one node. Its CPU time bounds how many decisions
// per second there can be on machines that are large enough. There are 64 callers for each node, so
// that as many calls share a system call. The metrics are
//
//	ref-µs/op   the CPU time that the single server takes for a decision
//	µs/op       the same of all three nodes together
//	busiest     the part of it that the busiest node takes
//	gain        how many times as many decisions the nodes can take
func BenchmarkCluster(b *testing.B) {
	b.Run("nodes=3/namespaces=30", func(b *testing.B) {
		single := redistest.New(b, redistest.Options{})
		cluster := redistest.NewCluster(b, redistest.Options{})
		of := func(url string, callers int) side {
			return side{callers: callers, decisions: 2, do: inUse(b, url, 30, 300)}
		}
		reference, subject := of(single.URL(), callers), of(cluster.URL(), 3*callers)
		none := func() float64 { return 0 }
		cpu := func() (all []float64) {
			for _, node := range append([]*redistest.Server{single}, cluster.Nodes...) {
				all = append(all, float64(node.CPU(b).Microseconds()))
			}
			return all
		}
		reference.take(b, none) // warms up
		subject.take(b, none)
		before, operations := cpu(), 0
		b.ResetTimer()
		for ; operations < b.N; operations += turn {
			reference.take(b, none)
			subject.take(b, none)
		}
		used := cpu()
		for n := range used {
			used[n] = (used[n] - before[n]) / float64(2*operations)
		}
		nodes := used[1:]
		busiest, total := slices.Max(nodes), nodes[0]+nodes[1]+nodes[2]
		b.ReportMetric(0, "ns/op") // both together: says nothing
		b.ReportMetric(used[0], "ref-µs/op")
		b.ReportMetric(total, "µs/op")
		b.ReportMetric(busiest/total, "busiest")
		b.ReportMetric(used[0]/busiest, "gain")
	})
}
