package redis_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/valkey-io/valkey-go"

	"github.com/sluice-mail/sluice/limiter"
	"github.com/sluice-mail/sluice/limiter/limitertest"
	"github.com/sluice-mail/sluice/limiter/redis"
)

// ownServer is a server that only this test uses, and a limiter of one account on it.
func ownServer(t *testing.T) (*server, *limiter.Limiter) {
	t.Helper()
	s := bareServer(t)
	return s, limiterOn(t, redis.Connection{URL: "redis://" + s.address()})
}

// bareServer is a server that only this test uses.
func bareServer(t *testing.T, arguments ...string) *server {
	t.Helper()
	s, err := startServer(arguments...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.stop)
	return s
}

func limiterOn(t *testing.T, c redis.Connection) *limiter.Limiter {
	t.Helper()
	l := limiter.New(open(t, redis.Options{Connection: c, Timeout: patience}))
	l.MarkLoaded()
	limitertest.Apply(t, l, account, "uid", limiter.Policy{Limits: limitertest.Limits(0, 0, 9)})
	return l
}

// patience is how long calls wait in these tests.
const patience = 500 * time.Millisecond

// say sends a command to the test's own server.
func (s *server) say(t *testing.T, words ...string) valkey.ValkeyResult {
	t.Helper()
	c, err := s.connect()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	r := c.Do(ctx, c.B().Arbitrary(words...).Build())
	if err := r.Error(); err != nil && !valkey.IsValkeyNil(err) {
		t.Fatal(words, err)
	}
	return r
}

// sayWith is say, with a password.
func (s *server) sayWith(t *testing.T, password string, words ...string) {
	t.Helper()
	c, err := redis.Connect(redis.Connection{URL: "redis://:" + password + "@" + s.address()})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Do(ctx, c.B().Arbitrary(words...).Build()).Error(); err != nil {
		t.Fatal(words, err)
	}
}

// wantUnavailable wants all calls refused, in time, and nothing allowed.
func wantUnavailable(t *testing.T, l *limiter.Limiter) {
	t.Helper()
	for verb, call := range map[string]func() error{
		"check": func() error {
			d, err := l.Check(ctx, far, account, ask("refused"))
			if d.Verdict == limiter.Allowed {
				t.Error("it allows")
			}
			return err
		},
		"commit":    func() error { _, err := l.Commit(ctx, far, account, "refused", 0); return err },
		"commit ''": func() error { _, err := l.Commit(ctx, far, account, "", 1); return err },
		"release":   func() error { _, err := l.Release(ctx, far, account, "a"); return err },
		"repeated":  func() error { _, err := l.Commit(ctx, far, account, "a", 0); return err },
		"usage":     func() error { _, err := l.Usage(ctx, far, account); return err },
	} {
		start := time.Now()
		if err := call(); !errors.Is(err, limiter.ErrStoreUnavailable) {
			t.Errorf("%s: %v", verb, err)
		}
		if took := time.Since(start); took > patience+500*time.Millisecond {
			t.Errorf("%s took %s", verb, took)
		}
	}
}

// wantUsed wants so much to count.
func wantUsed(t *testing.T, l *limiter.Limiter, used, inFlight int64) {
	t.Helper()
	for range 50 { // until the connection is there again
		u, err := l.Usage(ctx, far, account)
		if err == nil {
			if got := u.Window(limiter.Cost, limiter.Day).Used; got != used || u.InFlight != inFlight {
				t.Errorf("%d + %d count, want %d + %d", got, u.InFlight, used, inFlight)
			}
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Error("it does not recover")
}

// TestNoAnswerIsUnavailable has the server unable to answer in every way, and then able again.
func TestNoAnswerIsUnavailable(t *testing.T) {
	for name, c := range map[string]struct {
		fail, recover func(t *testing.T, s *server)
		used          int64 // afterwards
	}{
		"it is stopped": {
			func(t *testing.T, s *server) { s.signal(t, syscall.SIGSTOP) },
			func(t *testing.T, s *server) { s.signal(t, syscall.SIGCONT) },
			-1, // the calls come to it when it goes on
		},
		"it is a replica that one may not write to": {
			func(t *testing.T, s *server) { s.say(t, "REPLICAOF", "127.0.0.1", "1") },
			func(t *testing.T, s *server) { s.say(t, "REPLICAOF", "NO", "ONE") },
			1,
		},
		"it wants a password": {
			func(t *testing.T, s *server) {
				s.say(t, "CONFIG", "SET", "requirepass", "secret")
				s.sayWith(t, "secret", "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
			},
			func(t *testing.T, s *server) { s.sayWith(t, "secret", "CONFIG", "SET", "requirepass", "") },
			1,
		},
		"a key is of another kind": {
			func(t *testing.T, s *server) {
				s.say(t, "RENAME", "sl:{marketing}:newsletter:uid", "kept")
				s.say(t, "SET", "sl:{marketing}:newsletter:uid", "x")
			},
			func(t *testing.T, s *server) { s.say(t, "RENAME", "kept", "sl:{marketing}:newsletter:uid") },
			1,
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, l := ownServer(t)
			check(t, l, "a")
			if _, err := l.Commit(ctx, far, account, "a", 0); err != nil {
				t.Fatal(err)
			}
			c.fail(t, s)
			wantUnavailable(t, l)
			c.recover(t, s)
			if c.used >= 0 {
				wantUsed(t, l, c.used, 0)
			}
			for n := range 50 {
				d, err := l.Check(ctx, far, account, ask(fmt.Sprint("b", n)))
				if err == nil && d.Verdict == limiter.Allowed {
					return
				}
				time.Sleep(100 * time.Millisecond)
			}
			t.Error("it does not recover")
		})
	}
}

// TestFullServerLosesNothing has the server refuse writes for want of memory: a check is refused
// and changes nothing, a denial and a release still are answered.
func TestFullServerLosesNothing(t *testing.T) {
	s, l := ownServer(t)
	check(t, l, "a")
	s.say(t, "CONFIG", "SET", "maxmemory", "1")
	for verb, call := range map[string]func() error{
		"check":  func() error { _, err := l.Check(ctx, far, account, ask("b")); return err },
		"commit": func() error { _, err := l.Commit(ctx, far, account, "a", 0); return err },
	} {
		if err := call(); !errors.Is(err, limiter.ErrStoreUnavailable) {
			t.Errorf("%s: %v", verb, err)
		}
	}
	wantUsed(t, l, 0, 1)
	if _, err := l.Release(ctx, far, account, "a"); err != nil {
		t.Errorf("release: %v", err)
	}
	s.say(t, "CONFIG", "SET", "maxmemory", "0")
	wantUsed(t, l, 0, 0)
}

// TestContextBoundsCalls has a caller give up before the store does.
func TestContextBoundsCalls(t *testing.T) {
	s, l := ownServer(t)
	check(t, l, "a")
	s.signal(t, syscall.SIGSTOP)
	defer s.signal(t, syscall.SIGCONT)
	soon, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	start := time.Now()
	_, err := l.Check(soon, far, account, ask("b"))
	if took := time.Since(start); !errors.Is(err, limiter.ErrStoreUnavailable) || took > patience {
		t.Errorf("%v after %s", err, took)
	}
}

// lossy is a proxy that can lose what the server replies: it cuts the connection instead.
type lossy struct {
	net.Listener
	to   string
	lose atomic.Int64 // how many replies
	lost atomic.Int64
}

func newLossy(t *testing.T, to string) *lossy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &lossy{Listener: l, to: to}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			from, err := l.Accept()
			if err != nil {
				return
			}
			go p.serve(from)
		}
	}()
	return p
}

func (p *lossy) serve(from net.Conn) {
	to, err := net.Dial("tcp", p.to)
	if err != nil {
		_ = from.Close()
		return
	}
	var once sync.Once
	hangUp := func() { once.Do(func() { _, _ = from.Close(), to.Close() }) }
	go func() { defer hangUp(); _, _ = io.Copy(to, from) }()
	defer hangUp()
	b := make([]byte, 1<<16)
	for {
		n, err := to.Read(b)
		if err != nil {
			return
		}
		// Replies of scripts are strings; what else comes is of the handshake.
		if bytes.HasPrefix(b[:n], []byte("$")) && p.lose.Load() > 0 {
			p.lose.Add(-1)
			p.lost.Add(1)
			return
		}
		if _, err := from.Write(b[:n]); err != nil {
			return
		}
	}
}

// TestLostRepliesCountOnce loses the first replies to each verb: what is repeated is answered, and
// counts once, also where the caller gave no id.
func TestLostRepliesCountOnce(t *testing.T) {
	s, direct := ownServer(t)
	p := newLossy(t, s.address())
	l := limiter.New(open(t, redis.Options{
		Connection: redis.Connection{URL: "redis://" + p.Addr().String()}, Timeout: 5 * time.Second,
	}))
	l.MarkLoaded()
	limitertest.Apply(t, l, account, "uid", limiter.Policy{Limits: limitertest.Limits(0, 0, 9)})
	check(t, l, "warm") // the scripts are known, so that the next reply is the one that matters
	for _, verb := range []func() error{
		func() error { _, err := l.Commit(ctx, far, account, "warm", 0); return err },
		func() error { _, err := l.Release(ctx, far, account, "none"); return err },
		func() error { _, err := l.Usage(ctx, far, account); return err },
	} {
		_ = verb()
	}
	wantUsed(t, direct, 1, 0)

	p.lose.Store(2)
	if d := check(t, l, "a"); d.Verdict != limiter.Allowed || d.Remaining != 7 {
		t.Errorf("check: %+v", d)
	}
	wantUsed(t, direct, 1, 1)
	p.lose.Store(2)
	o, err := l.Commit(ctx, far, account, "a", 0)
	if o != limiter.Committed || err != nil {
		t.Errorf("commit: %v, %v", o, err)
	}
	wantUsed(t, direct, 2, 0)
	check(t, l, "b")
	p.lose.Store(2)
	if o, err := l.Release(ctx, far, account, "b"); o != limiter.Released || err != nil {
		t.Errorf("release: %v, %v", o, err)
	}
	wantUsed(t, direct, 2, 0)
	p.lose.Store(2)
	if o, err := l.Commit(ctx, far, account, "", 1); o != limiter.Unreserved || err != nil {
		t.Errorf("commit without an id: %v, %v", o, err)
	}
	wantUsed(t, direct, 3, 0)
	p.lose.Store(1)
	limitertest.Purge(t, l, account)
	if p.lost.Load() != 9 {
		t.Errorf("%d replies were lost", p.lost.Load())
	}
}
