package redis_test

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-mail/sluice/limiter"
	"github.com/sluice-mail/sluice/limiter/limitertest"
	"github.com/sluice-mail/sluice/limiter/memory"
	"github.com/sluice-mail/sluice/limiter/redis"
)

// turns is a proxy that counts round trips: it forwards what a side has said once that side has
// been silent for a while, and counts how often the client spoke.
type turns struct {
	net.Listener
	to    string
	count atomic.Int64
}

// silence is longer than a client takes within one pipeline.
const silence = 100 * time.Millisecond

func countTurns(t *testing.T, to string) *turns {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	p := &turns{Listener: l, to: to}
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", to)
			if err != nil {
				_ = client.Close()
				continue
			}
			go forward(client, server, &p.count)
			go forward(server, client, new(atomic.Int64))
		}
	}()
	return p
}

func forward(from, to net.Conn, count *atomic.Int64) {
	defer func() { _, _ = from.Close(), to.Close() }()
	var said []byte
	buffer := make([]byte, 64<<10)
	for {
		deadline := time.Time{}
		if len(said) > 0 {
			deadline = time.Now().Add(silence)
		}
		_ = from.SetReadDeadline(deadline)
		n, err := from.Read(buffer)
		said = append(said, buffer[:n]...)
		var timeout net.Error
		switch {
		case err == nil:
		case errors.As(err, &timeout) && timeout.Timeout():
			count.Add(1)
			if _, err := to.Write(said); err != nil {
				return
			}
			said = said[:0]
		default:
			if !errors.Is(err, io.EOF) {
				return
			}
			_, _ = to.Write(said)
			return
		}
	}
}

// crowd applies a policy to accounts in several namespaces.
func crowd(t *testing.T, l *limiter.Limiter, n int, p limiter.Policy) (keys []limiter.Key) {
	t.Helper()
	for i := range n {
		k := limiter.Key{Namespace: fmt.Sprint("n", i%3), Name: fmt.Sprintf("a%03d", i)}
		limitertest.Apply(t, l, k, "uid", p)
		keys = append(keys, k)
	}
	return keys
}

// TestABatchIsOneRoundTrip counts what goes over the wire for 1,000 calls, and for a page of a
// list.
func TestABatchIsOneRoundTrip(t *testing.T) {
	client(t)
	proxy := countTurns(t, sharedServer.address())
	c, err := redis.Connect(redis.Connection{
		URL: "redis://" + proxy.Addr().String(), Timeout: 10 * time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	l := limiter.New(redis.New(c, options(t)))
	l.MarkLoaded()
	keys := crowd(t, l, 250, limiter.Policy{Limits: limitertest.Limits(3, 0, 0)})
	now := limiter.Instant{Mono: since1970}
	batch := func(verb limiter.Verb) func() error {
		return func() error {
			calls := make([]limiter.Call, 1000)
			for i := range calls {
				calls[i] = limiter.Call{Key: keys[i%len(keys)], Verb: verb, Ask: ask(fmt.Sprint(i))}
			}
			return l.Do(ctx, now, calls)
		}
	}
	list := func() error {
		page, _, err := l.List(ctx, now, "", limiter.Key{}, 250)
		if len(page) != 250 {
			t.Errorf("the page has %d accounts", len(page))
		}
		return err
	}
	for _, c := range []struct {
		name  string
		do    func() error
		calls int64
	}{
		{"checks", batch(limiter.ToCheck), 1000},
		{"commits", batch(limiter.ToCommit), 1000},
		{"releases", batch(limiter.ToRelease), 1000},
		{"a list", list, 250},
	} {
		command(t, "SCRIPT", "FLUSH")
		if err := c.do(); err != nil { // loads the script
			t.Fatal(err)
		}
		calls := serverCount(t, `cmdstat_evalsha:calls=(\d+)`)
		evals, before := serverCount(t, `cmdstat_eval:calls=(\d+)`), proxy.count.Load()
		if err := c.do(); err != nil {
			t.Fatal(err)
		}
		calls = serverCount(t, `cmdstat_evalsha:calls=(\d+)`) - calls
		evals = serverCount(t, `cmdstat_eval:calls=(\d+)`) - evals
		if n := proxy.count.Load() - before; n != 1 || calls != c.calls || evals != 0 {
			t.Errorf("%s: %d round trips, with %d scripts by hash and %d in full",
				c.name, n, calls, evals)
		}
	}
}

// TestRandomBatchesAreThoseOfMemory makes random batches of each verb, while the server forgets the
// scripts, also in the middle of a batch.
func TestRandomBatchesAreThoseOfMemory(t *testing.T) {
	o := options(t)
	batched := limitertest.New(t, redis.New(client(t), o))
	single := limitertest.New(t, memory.New(memory.Options{}))
	p := limiter.Policy{Limits: limitertest.Limits(40, 100, 0)}
	keys := crowd(t, batched.Limiter, 20, p)
	crowd(t, single.Limiter, 20, p)
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-done:
				return
			case <-time.After(time.Millisecond):
				command(t, "SCRIPT", "FLUSH")
			}
		}
	})
	evals := serverCount(t, `cmdstat_eval:calls=(\d+)`)
	r, now := rand.New(rand.NewPCG(5, 5)), limiter.Instant{Mono: since1970}
	const rounds = 150
	for n := range rounds {
		now.Mono += r.Int64N(int64(10 * time.Second))
		calls := make([]limiter.Call, 400)
		for i := range calls {
			calls[i] = limiter.Call{
				Key: keys[r.IntN(len(keys))], Verb: limiter.Verb(1 + n%4),
				Ask: limiter.Ask{ID: fmt.Sprint(r.IntN(3000)), Cost: 1 + r.Int64N(3), TTL: time.Minute},
			}
		}
		limitertest.CompareBatch(t, batched, single, now, calls)
	}
	close(done)
	wg.Wait()
	if evals = serverCount(t, `cmdstat_eval:calls=(\d+)`) - evals; evals < rounds/10 {
		t.Errorf("scripts were missing only %d times", evals)
	}
}

// TestABatchAfterManyDeadlines has more reservations due than the first calls of a batch expire:
// those are repeated, and in the end everything counts that counts in memory.
func TestABatchAfterManyDeadlines(t *testing.T) {
	batched := limitertest.New(t, redis.New(client(t), options(t)))
	single := limitertest.New(t, memory.New(memory.Options{}))
	keys := crowd(t, batched.Limiter, 2, limiter.Policy{})
	crowd(t, single.Limiter, 2, limiter.Policy{})
	calls := make([]limiter.Call, 1000)
	for i := range calls {
		calls[i] = limiter.Call{Key: keys[i/500], Verb: limiter.ToCheck, Ask: ask(fmt.Sprint(i))}
		calls[i].Ask.TTL += time.Duration(i)
	}
	now := limiter.Instant{Mono: since1970}
	limitertest.CompareBatch(t, batched, single, now, calls)
	now.Mono += int64(2 * time.Minute)
	for i := range calls { // each is late, whatever their order
		calls[i] = limiter.Call{
			Key: keys[i/500], Verb: limiter.ToCommit, Ask: limiter.Ask{ID: fmt.Sprint(i)},
		}
	}
	limitertest.CompareBatch(t, batched, single, now, calls[300:])
	usages := []limiter.Call{
		{Key: keys[0], Verb: limiter.ToUsage}, {Key: keys[1], Verb: limiter.ToUsage},
	}
	for range 40 { // each send counts from the same instant
		now.Mono += int64(45 * time.Minute)
		limitertest.CompareBatch(t, batched, single, now, usages)
	}
}

// TestABatchWithoutAStore wants each call to say that the store is away, in time, and no error for
// all of them; and the next batch to work.
func TestABatchWithoutAStore(t *testing.T) {
	s, l := ownServer(t)
	calls := func() []limiter.Call {
		nobody := limiter.Key{Name: "nobody"}
		return []limiter.Call{
			{Key: account, Verb: limiter.ToCheck, Ask: ask("a")},
			{Key: nobody, Verb: limiter.ToCheck, Ask: ask("a")},
			{Key: account, Verb: limiter.ToCheck, Ask: ask("b")},
		}
	}
	s.signal(t, syscall.SIGSTOP)
	start := time.Now()
	got := calls()
	if err := l.Do(ctx, far, got); err != nil {
		t.Error(err)
	}
	if took := time.Since(start); took > patience+500*time.Millisecond {
		t.Errorf("it took %s", took)
	}
	for i, want := range []error{
		limiter.ErrStoreUnavailable, limiter.ErrAccountNotFound, limiter.ErrStoreUnavailable,
	} {
		if d := got[i].Decision.Verdict; !errors.Is(got[i].Err, want) || d != limiter.Undecided {
			t.Errorf("call %d: %v, %v", i, d, got[i].Err)
		}
	}
	s.signal(t, syscall.SIGCONT)
	for range 50 {
		got = calls()
		if err := l.Do(ctx, far, got); err != nil {
			t.Error(err)
		}
		if got[0].Err == nil && got[2].Err == nil && got[2].Decision.Verdict == limiter.Allowed {
			wantUsed(t, l, 0, 2)
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Error("it does not recover")
}
