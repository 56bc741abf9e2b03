package limitertest

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-mail/sluice/limiter"
)

// testConcurrentCallers has many goroutines at a few accounts, which come and go meanwhile. The
// race detector watches them, and the accounts that stay are never over.
func (s suite) testConcurrentCallers(t *testing.T) {
	l := s.open(t, Options{})
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
				d, err := l.Check(
					limiter.Instant{Mono: int64(i)},
					keys[k],
					limiter.Ask{ID: fmt.Sprint(g, i), Cost: 1, TTL: time.Minute},
				)
				if err != nil {
					t.Error(err)
				}
				if d.Verdict == limiter.Allowed {
					allowed[k].Add(1)
					if i%2 == 0 {
						_, err = l.Commit(
							limiter.Instant{Mono: int64(i)},
							keys[k],
							fmt.Sprint(g, i),
							0,
						)
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

func (s suite) testListPagesInOrder(t *testing.T) {
	l := s.open(t, Options{})
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
