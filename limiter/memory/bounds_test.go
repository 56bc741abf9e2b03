package memory_test

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	limiter "github.com/sluice-mail/sluice/limiter/memory"
)

// G9: what the limiter may cost, and what it gives up for that.

// heapOf is how many bytes of heap are live after build, beyond those before it.
func heapOf(build func() any) (bytes int64, kept any) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	kept = build()
	runtime.GC()
	runtime.ReadMemStats(&after)
	return int64(after.HeapAlloc) - int64(before.HeapAlloc), kept
}

func TestG9IdleAccountsAreSmall(t *testing.T) {
	const n = 1_000_000
	bytes, kept := heapOf(func() any {
		l := limiter.New(limiter.Options{})
		l.MarkLoaded()
		for i := range n {
			key := limiter.Key{Namespace: "marketing", Name: fmt.Sprintf("mailbox-%08d", i)}
			l.Apply(key, fmt.Sprintf("5e1f3b0a-7c1d-4c39-9a54-%012d", i), perMinute(30))
			// One mail each, a day and a sweep ago: an account that was used is idle again.
			if _, err := l.Commit(limiter.Instant{}, key, "once", 1); err != nil {
				t.Fatal(err)
			}
		}
		l.Sweep(limiter.Instant{Mono: int64(25 * time.Hour)})
		return l
	})
	if each := bytes / n; each > 400 {
		t.Errorf("an idle account costs %d bytes, want at most 400", each)
	} else {
		t.Logf("an idle account costs %d bytes", each)
	}
	runtime.KeepAlive(kept)
}

// TestFirstMailCosts is what an account needs from its first check and commit on, until a sweep
// finds it idle for a day: what docs/operations.md reckons with.
func TestFirstMailCosts(t *testing.T) {
	const n = 100_000
	l, keys := crowd(0, n)
	bytes, _ := heapOf(func() any {
		for _, k := range keys {
			checkAndCommitAt(t, l, k, limiter.Instant{}, "once")
		}
		return l
	})
	if each := bytes / n; each > 1024 {
		t.Errorf("the first mail costs an account %d bytes, want at most 1024", each)
	} else {
		t.Logf("the first mail costs an account %d bytes", each)
	}
	runtime.KeepAlive(l)
}

func TestG9BusyHistoryIsBounded(t *testing.T) {
	l := limiter.New(limiter.Options{})
	l.MarkLoaded()
	l.Apply(account, "uid", limiter.Policy{})
	now := int64(0)
	commit := func(pause time.Duration) {
		now += int64(pause)
		if _, err := l.Commit(limiter.Instant{Mono: now}, account, "", 1); err != nil {
			t.Fatal(err)
		}
	}
	bytes, _ := heapOf(func() any {
		for range 2_000_000 { // a day at 23 a second, all at different instants
			commit(43_200*time.Microsecond - 13)
		}
		for range 500_000 { // then 8,000 a second for a minute
			commit(125 * time.Microsecond)
		}
		return l
	})
	if bytes > 512<<10 {
		t.Errorf("a history of 2,500,000 sends costs %d bytes, want at most %d", bytes, 512<<10)
	} else {
		t.Logf("a history of 2,500,000 sends costs %d bytes", bytes)
	}
	runtime.KeepAlive(l)
}

// TestG9MergingFreesLateNeverEarly compares a history far beyond what is kept apart with the exact
// count, along a whole day after a day: never less than the exact one, never more than the exact
// one 1/8192 of a window ago.
func TestG9MergingFreesLateNeverEarly(t *testing.T) {
	l := limiter.New(limiter.Options{})
	l.MarkLoaded()
	l.Apply(account, "uid", limiter.Policy{})
	var sent []int64 // in time order, cost 1 each
	now := int64(0)
	countSince := func(since int64) int64 { // how many were sent after since
		lo, hi := 0, len(sent)
		for lo < hi {
			if m := (lo + hi) / 2; sent[m] > since {
				hi = m
			} else {
				lo = m + 1
			}
		}
		return int64(len(sent) - lo)
	}
	for i := range 600_000 {
		switch {
		case i%100_000 < 20_000:
			now += int64(time.Millisecond) // bursts of 1,000 a second
		case i%1000 == 0:
			now += int64(7 * time.Minute)
		default:
			now += 197_000_003
		}
		if _, err := l.Commit(limiter.Instant{Mono: now}, account, "", 1); err != nil {
			t.Fatal(err)
		}
		sent = append(sent, now)
		if i%97 != 0 {
			continue
		}
		u, err := l.Usage(limiter.Instant{Mono: now}, account)
		if err != nil {
			t.Fatal(err)
		}
		for w := range limiter.Window(3) {
			length := int64(w.Length())
			got, exact, late := u.Windows[w].Used, countSince(now-length), countSince(now-length-length/8192)
			if got < exact || got > late {
				t.Fatalf("after %d sends the %s counts %d, want %d to %d", i, w, got, exact, late)
			}
		}
	}
}

// TestG9FewStampsAreExact fills the history with older sends until it merges, while the last hour
// holds no more than it keeps apart, all of them in one of its cells.
func TestG9FewStampsAreExact(t *testing.T) {
	l := limiter.New(limiter.Options{})
	l.MarkLoaded()
	l.Apply(account, "uid", limiter.Policy{})
	commit := func(at time.Duration) {
		if _, err := l.Commit(limiter.Instant{Mono: int64(at)}, account, "", 1); err != nil {
			t.Fatal(err)
		}
	}
	const few, older = 8192, 24_000
	for i := range older {
		commit(time.Duration(i) * time.Second)
	}
	const start, pause = (older + 3600) * time.Second, 50 * time.Microsecond
	for i := range few {
		commit(start + time.Duration(i)*pause)
	}
	for i := range few { // each leaves at its own instant
		at := start + time.Duration(i)*pause + time.Hour
		u, err := l.Usage(limiter.Instant{Mono: int64(at)}, account)
		if err != nil || u.Windows[limiter.Hour].Used != int64(few-1-i) {
			t.Fatalf("after send %d left, the hour holds %d, %v", i, u.Windows[limiter.Hour].Used, err)
		}
	}
}

func TestG9UnknownNamesAllocateNothing(t *testing.T) {
	l := limiter.New(limiter.Options{})
	l.MarkLoaded()
	key := limiter.Key{Namespace: "marketing", Name: "nobody"}
	if n := testing.AllocsPerRun(100, func() {
		_, _ = l.Check(limiter.Instant{}, key, limiter.Ask{ID: "x", Cost: 1, TTL: 1})
		_, _ = l.Commit(limiter.Instant{}, key, "x", 1)
		_, _ = l.Release(limiter.Instant{}, key, "x")
	}); n != 0 {
		t.Errorf("calls for a name that is no account allocate %v times", n)
	}
}

// TestConcurrentCallers has many goroutines at a few accounts, which come and go meanwhile. The
// race detector watches them, and the accounts that stay are never over.
func TestConcurrentCallers(t *testing.T) {
	l := limiter.New(limiter.Options{})
	l.MarkLoaded()
	const limit = 50
	keys := make([]limiter.Key, 4)
	for i := range keys {
		keys[i] = limiter.Key{Namespace: "n", Name: fmt.Sprint(i)}
		l.Apply(keys[i], "uid", perMinute(limit))
	}
	var allowed [4]atomic.Int64
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 500 {
				k := (g + i) % len(keys)
				d, err := l.Check(limiter.Instant{Mono: int64(i)}, keys[k], limiter.Ask{ID: fmt.Sprint(g, i), Cost: 1, TTL: time.Minute})
				if err != nil {
					t.Error(err)
				}
				if d.Verdict == limiter.Allowed {
					allowed[k].Add(1)
					if i%2 == 0 {
						_, err = l.Commit(limiter.Instant{Mono: int64(i)}, keys[k], fmt.Sprint(g, i), 0)
					}
					if err != nil {
						t.Error(err)
					}
				}
			}
		})
		wg.Go(func() {
			for i := range 500 {
				key := limiter.Key{Namespace: "n", Name: fmt.Sprint("guest-", g, "-", i)}
				l.Apply(key, "uid", perMinute(1))
				l.Apply(keys[0], "uid", perMinute(limit))
				if i%3 == 0 {
					l.Purge(key)
				}
				if i%100 == 0 {
					l.Sweep(limiter.Instant{})
				}
			}
		})
	}
	wg.Wait()
	for k := range keys {
		if n := allowed[k].Load(); n != limit {
			t.Errorf("account %d allowed %d, want %d", k, n, limit)
		}
	}
	if n := l.Stats().Accounts; n != len(keys)+8*333 {
		t.Errorf("%d accounts are left, want %d", n, len(keys)+8*333)
	}
}

func TestListPagesInOrder(t *testing.T) {
	l := limiter.New(limiter.Options{})
	l.MarkLoaded()
	var want []limiter.Key
	for _, namespace := range []string{"a", "b", "c"} {
		for i := range 40 {
			want = append(want, limiter.Key{Namespace: namespace, Name: fmt.Sprintf("%02d", i)})
		}
	}
	for i := range want { // in another order
		l.Apply(want[(i*37)%len(want)], "uid", perMinute(1))
	}
	for _, c := range []struct {
		namespace string
		want      []limiter.Key
	}{{"", want}, {"b", want[40:80]}, {"z", nil}} {
		var got []limiter.Key
		for after, more := (limiter.Key{}), true; more; {
			var page []limiter.Usage
			var err error
			if page, more, err = l.List(limiter.Instant{}, c.namespace, after, 7); err != nil {
				t.Fatal(err)
			}
			for _, u := range page {
				got = append(got, u.Key)
				after = u.Key
			}
		}
		if fmt.Sprint(got) != fmt.Sprint(c.want) {
			t.Errorf("the pages of namespace %q hold\n%v, want\n%v", c.namespace, got, c.want)
		}
	}
}
