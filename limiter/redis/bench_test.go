package redis_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/valkey-io/valkey-go"

	"github.com/sluice-mail/sluice/limiter"
	"github.com/sluice-mail/sluice/limiter/limitertest"
	"github.com/sluice-mail/sluice/limiter/redis"
)

// callers is how many goroutines call at a time.
const callers = 64

// inParallel has 64 callers do something b.N times, and reports the CPU that the server took.
func inParallel(b *testing.B, decisions int, do func()) {
	b.Helper()
	before := serverCPU(b)
	b.ReportAllocs()
	b.ResetTimer()
	var wg sync.WaitGroup
	var next atomic.Int64
	for range callers {
		wg.Go(func() {
			for next.Add(1) <= int64(b.N) {
				do()
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	total := float64(b.N * decisions)
	b.ReportMetric((serverCPU(b)-before)/total, "server-µs/decision")
	b.ReportMetric(total/b.Elapsed().Seconds(), "decisions/s")
}

// serverCPU is the CPU time of the server, in microseconds.
func serverCPU(b *testing.B) float64 {
	b.Helper()
	text, err := command(b, "INFO", "cpu").ToString()
	if err != nil {
		b.Fatal(err)
	}
	var sum float64
	for _, name := range []string{"used_cpu_sys_main_thread:", "used_cpu_user_main_thread:"} {
		var seconds float64
		if _, err := fmt.Sscanf(after(text, name), "%f", &seconds); err != nil {
			b.Fatal(err)
		}
		sum += seconds * 1e6
	}
	return sum
}

func after(text, name string) string {
	for n := range text {
		if len(text) > n+len(name) && text[n:n+len(name)] == name {
			return text[n+len(name):]
		}
	}
	return ""
}

// BenchmarkBareScript is what any script costs: one that returns a number, and one that counts in a
// fixed window.
func BenchmarkBareScript(b *testing.B) {
	c := client(b)
	for name, text := range map[string]string{
		"return": `return 1`,
		"INCR+PEXPIRE": `local n = redis.call('INCR', KEYS[1])
			if n == 1 then redis.call('PEXPIRE', KEYS[1], 60000) end
			return n`,
		"INCR+PEXPIRE always": `local n = redis.call('INCR', KEYS[1])
			redis.call('PEXPIRE', KEYS[1], 60000)
			return n`,
	} {
		b.Run(name, func(b *testing.B) {
			script := valkey.NewLuaScript(text)
			var n atomic.Int64
			inParallel(b, 1, func() {
				key := fmt.Sprint("bare", n.Add(1)%100)
				if err := script.Exec(context.Background(), c, []string{key}, nil).Error(); err != nil {
					b.Error(err)
				}
			})
		})
	}
}

// sent is a limiter whose accounts have sent so often within the last day. It is in the time of the
// calls, so that the day need not pass.
func sent(b *testing.B, accounts, sends int, p limiter.Policy) (*limiter.Limiter, *atomic.Int64) {
	b.Helper()
	o := options(b)
	l := limiter.New(redis.New(client(b), o))
	l.MarkLoaded()
	now := new(atomic.Int64)
	now.Store(int64(time.Hour))
	pace := int64(23*time.Hour) / int64(sends)
	for n := range accounts {
		limitertest.Apply(b, l, benchKey(n), "uid", p)
	}
	var wg sync.WaitGroup
	var next atomic.Int64
	for range callers {
		wg.Go(func() {
			for next.Add(1) <= int64(sends) {
				at := limiter.Instant{Mono: now.Add(pace)}
				for n := range accounts {
					if _, err := l.Commit(context.Background(), at, benchKey(n), "", 1); err != nil {
						b.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	return l, now
}

func benchKey(n int) limiter.Key {
	return limiter.Key{Namespace: "marketing", Name: fmt.Sprint("account-", n)}
}

var benchIDs atomic.Int64

// BenchmarkCheckCommit is a check and its commit, of accounts that have sent 10, 10,000 and
// 1,000,000 mails in the last day.
func BenchmarkCheckCommit(b *testing.B) {
	const most = 1 << 30
	p := limiter.Policy{Limits: limitertest.Limits(most, most, most)}
	for _, c := range []struct{ accounts, sends int }{
		{20, 10}, {20, 10_000}, {1, 10}, {1, 1_000_000},
	} {
		l, now := sent(b, c.accounts, c.sends, p)
		b.Run(fmt.Sprintf("%d sends, %d accounts", c.sends, c.accounts), func(b *testing.B) {
			inParallel(b, 2, func() {
				at := limiter.Instant{Mono: now.Add(int64(20 * time.Microsecond))}
				n := benchIDs.Add(1)
				key, id := benchKey(int(n)%c.accounts), fmt.Sprint(n)
				d, err := l.Check(context.Background(), at, key, ask(id))
				if err != nil || d.Verdict != limiter.Allowed {
					b.Error(d, err)
				}
				if _, err := l.Commit(context.Background(), at, key, id, 0); err != nil {
					b.Error(err)
				}
			})
		})
	}
}

// BenchmarkCheck is the same where the check alone is measured: the account is never committed to,
// and the same id comes again or is denied.
func BenchmarkCheck(b *testing.B) {
	for _, sends := range []int{10, 1_000_000} {
		for name, limit := range map[string]int64{"denied": 5, "repeated": 1 << 30} {
			p := limiter.Policy{Limits: limitertest.Limits(0, 0, limit)}
			l, now := sent(b, 1, sends, p)
			at := limiter.Instant{Mono: now.Load()}
			_, _ = l.Check(context.Background(), at, benchKey(0), ask("a"))
			b.Run(fmt.Sprintf("%s, %d sends", name, sends), func(b *testing.B) {
				inParallel(b, 1, func() {
					_, err := l.Check(context.Background(), at, benchKey(0), ask("a"))
					if err != nil {
						b.Error(err)
					}
				})
			})
		}
	}
}

// BenchmarkMerge is the CPU that the server takes to merge a full history: no script runs longer.
func BenchmarkMerge(b *testing.B) {
	const full, day = 32_256, int64(24 * time.Hour)
	l := limiter.New(redis.New(client(b), options(b)))
	l.MarkLoaded()
	limitertest.Apply(b, l, benchKey(0), "uid", limiter.Policy{})
	var used float64
	merges := 0
	for ; b.Loop(); merges++ {
		for n := range int64(full + 1) {
			at := limiter.Instant{Mono: int64(merges)*2*day + n*int64(time.Second)}
			before := 0.0
			if n == full {
				before = serverCPU(b)
			}
			if _, err := l.Commit(context.Background(), at, benchKey(0), "", 1); err != nil {
				b.Fatal(err)
			}
			if n == full {
				used += serverCPU(b) - before
			}
		}
	}
	b.ReportMetric(used/float64(merges), "server-µs/merge")
}
