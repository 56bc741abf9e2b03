package memory_test

import (
	"fmt"
	"testing"

	"github.com/sluice-mail/sluice/limiter"
	"github.com/sluice-mail/sluice/limiter/limitertest"
	"github.com/sluice-mail/sluice/limiter/memory"
)

// BenchmarkList compares a page of 100 from the middle of 300,000 accounts with the same from
// 1,000.
func BenchmarkList(b *testing.B) {
	pages := func(accounts int) func(n int) {
		l, keys := crowd(b, 0, accounts)
		middle := keys[accounts/2]
		return func(n int) {
			for range n {
				page, more, err := l.List(limiter.Instant{}, "", middle, 100)
				if err != nil || !more || len(page) != 100 {
					b.Fatal(len(page), more, err)
				}
			}
		}
	}
	sideBySide(b, pages(1000), pages(300_000))
}

// TestListPagesThroughChange pages through accounts of which others come and go meanwhile: those
// that stay are listed once each, in order.
func TestListPagesThroughChange(t *testing.T) {
	l := limitertest.New(t, memory.New(memory.Options{}))
	key := func(i int) limiter.Key {
		return limiter.Key{Namespace: "n", Name: fmt.Sprintf("%05d", i)}
	}
	const n = 3000
	for i := range n {
		l.Apply(key(i), "uid", limiter.Policy{})
	}
	var after limiter.Key
	stays := 0
	for more := true; more; {
		var page []limiter.Usage
		var err error
		if page, more, err = l.List(limiter.Instant{}, "n", after, 100); err != nil {
			t.Fatal(err)
		}
		for i := range page {
			if page[i].Key.Name <= after.Name {
				t.Fatalf("%v came after %v", page[i].Key, after)
			}
			after = page[i].Key
			if after == key(3*stays) {
				stays++
			}
		}
		for i := range n { // of three accounts one stays, one goes, and one comes and goes
			switch i % 3 {
			case 1:
				l.Purge(key(i))
			case 2:
				l.Purge(key(i))
				l.Apply(key(i), "uid", limiter.Policy{})
			}
		}
	}
	if stays != n/3 {
		t.Errorf("%d of %d accounts that stay were listed in order", stays, n/3)
	}
}
