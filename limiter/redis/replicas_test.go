package redis_test

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-mail/sluice/limiter"
	"github.com/sluice-mail/sluice/limiter/limitertest"
	"github.com/sluice-mail/sluice/limiter/redis"
)

var ctx = context.Background()

// replicas are limiters of one store, each with a client of its own, in the server's time.
func replicas(t *testing.T, n int) (all []*limiter.Limiter, prefix string) {
	t.Helper()
	o := options(t)
	o.TimeOfCalls = false
	for range n {
		l := limiter.New(redis.New(newClient(t), o))
		l.MarkLoaded()
		all = append(all, l)
	}
	return all, o.Prefix
}

func apply(t *testing.T, all []*limiter.Limiter, uid string, p limiter.Policy) {
	t.Helper()
	for _, l := range all {
		limitertest.Apply(t, l, account, uid, p)
	}
}

func ask(id string) limiter.Ask { return limiter.Ask{ID: id, Cost: 1, TTL: time.Minute} }

// far is the clock of a replica that is wrong: no decision may depend on it.
var far = limiter.Instant{Mono: int64(time.Hour), Wall: int64(time.Hour)}

func check(t *testing.T, l *limiter.Limiter, id string) limiter.Decision {
	t.Helper()
	d, err := l.Check(ctx, far, account, ask(id))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestReplicasShareOneLimit has three replicas ask 1,000 times at once, while scripts get lost.
func TestReplicasShareOneLimit(t *testing.T) {
	all, _ := replicas(t, 3)
	const limit = 321
	apply(t, all, "uid", limiter.Policy{Limits: limitertest.Limits(0, 0, limit)})
	var allowed atomic.Int64
	var wg sync.WaitGroup
	for n := range 1000 {
		wg.Go(func() {
			id, l := fmt.Sprint(n), all[n%len(all)]
			d, err := l.Check(ctx, far, account, ask(id))
			switch {
			case err != nil:
				t.Error(err)
			case d.Verdict == limiter.Allowed:
				allowed.Add(1)
				// Another replica commits.
				if _, err := all[(n+1)%len(all)].Commit(ctx, far, account, id, 0); err != nil {
					t.Error(err)
				}
			}
			if n%100 == 0 {
				command(t, "SCRIPT", "FLUSH")
			}
		})
	}
	wg.Wait()
	if n := allowed.Load(); n != limit {
		t.Errorf("%d were allowed, want %d", n, limit)
	}
	u, err := all[0].Usage(ctx, far, account)
	if used := u.Window(limiter.Cost, limiter.Day).Used; err != nil || used != limit {
		t.Errorf("%d are used, %v", used, err)
	}
}

// TestServersTime wants durations to be those of the server's clock, whatever the replicas' say.
func TestServersTime(t *testing.T) {
	all, _ := replicas(t, 2)
	apply(t, all, "uid", limiter.Policy{Limits: limitertest.Limits(1, 0, 0)})
	near := func(got, want time.Duration) bool {
		return got > want-10*time.Second && got < want+5*time.Second
	}
	if d := check(t, all[0], "a"); d.Verdict != limiter.Allowed || !near(d.ExpiresIn, time.Minute) {
		t.Errorf("%+v", d)
	}
	if _, err := all[1].Commit(ctx, limiter.Instant{}, account, "a", 0); err != nil {
		t.Error(err)
	}
	d := check(t, all[1], "b")
	if d.Verdict != limiter.Deferred || !near(d.RetryAfter, time.Minute) {
		t.Errorf("%+v", d)
	}
}

// TestPurgeCannotBeUndone has a replica that is slow to hear of it use an account that was deleted.
func TestPurgeCannotBeUndone(t *testing.T) {
	all, prefix := replicas(t, 3)
	p := limiter.Policy{Limits: limitertest.Limits(0, 0, 9)}
	apply(t, all, "uid-1", p)
	check(t, all[0], "a")
	check(t, all[1], "b")
	if n := limitertest.Purge(t, all[0], account); n != 2 {
		t.Errorf("%d entries were purged", n)
	}
	gone := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, limiter.ErrAccountNotFound) {
			t.Errorf("%s of what was purged: %v", what, err)
		}
	}
	for n, slow := range all[1:] { // one that has called before, and one that has not
		_, err := slow.Check(ctx, far, account, ask("c"))
		gone("a check", err)
		_, err = slow.Commit(ctx, far, account, "a", 0)
		gone("a commit", err)
		_, err = slow.Release(ctx, far, account, "b")
		gone("a release", err)
		_, err = slow.Usage(ctx, far, account)
		gone("the usage", err)
		if keys := commandKeys(t, prefix+":*"); len(keys) != 1 {
			t.Errorf("replica %d left %q", n, keys)
		}
	}
	if n := limitertest.Purge(t, all[1], account); n != 0 {
		t.Errorf("the second purge found %d entries", n)
	}
	// The same name again, with another uid and then with one that was here before.
	for _, uid := range []string{"uid-2", "uid-1"} {
		limitertest.Apply(t, all[0], account, uid, p)
		limitertest.Apply(t, all[1], account, uid, p)
		if d := check(t, all[0], "a"); d.Verdict != limiter.Allowed || d.Remaining != 8 {
			t.Errorf("the new %s begins with %+v", uid, d)
		}
		if d := check(t, all[1], "b"); d.Remaining != 7 {
			t.Errorf("another replica sees %+v", d)
		}
		_, err := all[2].Check(ctx, far, account, ask("c")) // still at the first life
		gone("a check", err)
		limitertest.Purge(t, all[0], account)
		limitertest.Purge(t, all[1], account)
	}
	limitertest.Apply(t, all[0], account, "uid-1", p)
	check(t, all[0], "a")
	limitertest.Purge(t, all[2], account) // of the first life, which is long over
	if d := check(t, all[0], "b"); d.Verdict != limiter.Allowed || d.Remaining != 7 {
		t.Errorf("after a late purge of an earlier life: %+v", d)
	}
	limitertest.Apply(t, all[2], account, "uid-1", p)
	if d := check(t, all[2], "c"); d.Remaining != 6 {
		t.Errorf("the slow replica sees %+v", d)
	}
}

// TestKeysExpireADayAfterTheirLastUse looks at all keys after each kind of use.
func TestKeysExpireADayAfterTheirLastUse(t *testing.T) {
	all, prefix := replicas(t, 1)
	apply(t, all, "uid", limiter.Policy{})
	for _, use := range []func() error{
		func() error { _, err := all[0].Check(ctx, far, account, ask("a")); return err },
		func() error { _, err := all[0].Commit(ctx, far, account, "a", 0); return err },
		func() error { _, err := all[0].Commit(ctx, far, account, "x", 0); return err },
		func() error { _, err := all[0].Check(ctx, far, account, ask("b")); return err },
		func() error { _, err := all[0].Release(ctx, far, account, "b"); return err },
		func() error {
			for n := range 100 {
				if _, err := all[0].Commit(ctx, far, account, "", int64(n+1)); err != nil {
					return err
				}
			}
			return nil
		},
		func() error { _, err := all[0].Purge(ctx, account); return err },
	} {
		if err := use(); err != nil {
			t.Fatal(err)
		}
		keys := commandKeys(t, prefix+":*")
		if len(keys) == 0 {
			t.Fatal("there are no keys")
		}
		for _, key := range keys {
			left, err := command(t, "TTL", key).AsInt64()
			if err != nil || left < 24*3600 || left > 27*3600 {
				t.Errorf("%s expires in %d s, %v", key, left, err)
			}
		}
	}
}

// TestOneRoundTrip counts what the server is asked to do, and what a denial writes.
func TestOneRoundTrip(t *testing.T) {
	all, _ := replicas(t, 1)
	apply(t, all, "uid", limiter.Policy{Limits: limitertest.Limits(1, 1, 1)})
	check(t, all[0], "first") // the scripts are loaded
	_, _ = all[0].Commit(ctx, far, account, "first", 0)
	_, _ = all[0].Usage(ctx, far, account)
	calls, changes := serverCount(t, `cmdstat_evalsha:calls=(\d+)`),
		serverCount(t, `rdb_changes_since_last_save:(\d+)`)
	evals := serverCount(t, `cmdstat_eval:calls=(\d+)`)
	const readsPattern = `total_reads_processed:(\d+)`
	reads := serverCount(t, readsPattern)
	for range 10 {
		if d := check(t, all[0], "b"); d.Verdict != limiter.Deferred {
			t.Error(d)
		}
		_, _ = all[0].Commit(ctx, far, account, "first", 0)
		_, _ = all[0].Usage(ctx, far, account)
	}
	// One is that of this question, and connections that nobody uses may ask whether they hold.
	if n := serverCount(t, readsPattern) - reads; n < 30 || n >= 45 {
		t.Errorf("for 30 calls the server read %d times", n)
	}
	if n := serverCount(t, `cmdstat_evalsha:calls=(\d+)`) - calls; n != 30 {
		t.Errorf("30 calls were %d round trips", n)
	}
	if n := serverCount(t, `cmdstat_eval:calls=(\d+)`) - evals; n != 0 {
		t.Errorf("%d scripts were sent in full", n)
	}
	if n := serverCount(t, `rdb_changes_since_last_save:(\d+)`) - changes; n != 0 {
		t.Errorf("denials and repeated calls made %d changes", n)
	}
}

// TestBusiestHistoryIsBounded measures what the server keeps of an account.
func TestBusiestHistoryIsBounded(t *testing.T) {
	o := options(t)
	l := limiter.New(redis.New(client(t), o))
	l.MarkLoaded()
	limitertest.Apply(t, l, account, "uid", limiter.Policy{})
	for n := range 40_000 {
		at := limiter.Instant{Mono: int64(n) * int64(time.Millisecond)}
		if _, err := l.Commit(ctx, at, account, fmt.Sprint(n), 1); err != nil {
			t.Fatal(err)
		}
	}
	for key, bound := range map[string]int64{
		"": 2 << 20, ":s": 641 << 10, ":e": 512 << 10, ":o": 512,
	} {
		key = o.Prefix + ":{marketing}:newsletter:uid" + key
		size, err := command(t, "MEMORY", "USAGE", key, "SAMPLES", "0").AsInt64()
		t.Logf("%s: %d bytes", key, size)
		if err != nil || size > bound {
			t.Errorf("%s takes %d bytes, want at most %d; %v", key, size, bound, err)
		}
	}
}

func commandKeys(t *testing.T, pattern string) []string {
	t.Helper()
	keys, err := command(t, "KEYS", pattern).AsStrSlice()
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// serverCount is a number of INFO.
func serverCount(t testing.TB, pattern string) int64 {
	t.Helper()
	text, err := command(t, "INFO", "everything").ToString()
	if err != nil {
		t.Fatal(err)
	}
	match := regexp.MustCompile(pattern).FindStringSubmatch(text)
	if match == nil {
		return 0
	}
	n, err := strconv.ParseInt(match[1], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
