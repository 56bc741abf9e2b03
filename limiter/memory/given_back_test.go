package memory_test

import (
	"fmt"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/sluice-mail/sluice/limiter"
	"github.com/sluice-mail/sluice/limiter/limitertest"
)

// burst is what an account does before it falls idle. Each takes hundreds of kilobytes.
type burst func(t *testing.T, l *limitertest.Harness, k limiter.Key)

// sends are as many as the history keeps apart, a millisecond each.
func sends(t *testing.T, l *limitertest.Harness, k limiter.Key) {
	for i := range 28_000 {
		commitAt(t, l, k, time.Duration(i)*time.Millisecond, "")
	}
}

// ids are as many as are remembered, all at one instant, which is one stamp in the history.
func ids(t *testing.T, l *limitertest.Harness, k limiter.Key) {
	for i := range 16_384 {
		commitAt(t, l, k, 0, strconv.Itoa(i))
	}
}

// reservations are released, so that there is no send, but an id to remember for each.
func reservations(t *testing.T, l *limitertest.Harness, k limiter.Key) {
	outstanding(t, l, k)
	for i := range 20_000 {
		if _, err := l.Release(limiter.Instant{}, k, strconv.Itoa(i)); err != nil {
			t.Fatal(err)
		}
	}
}

// outstanding reservations are left to expire, all at one instant.
func outstanding(t *testing.T, l *limitertest.Harness, k limiter.Key) {
	for i := range 20_000 {
		checkAt(t, l, k, 0, strconv.Itoa(i), time.Minute)
	}
}

// little is what may come after a burst.
type little func(t *testing.T, l *limitertest.Harness, k limiter.Key, at time.Duration)

func fewSends(t *testing.T, l *limitertest.Harness, k limiter.Key, at time.Duration) {
	for i := range time.Duration(few) {
		commitAt(t, l, k, at+i, "")
	}
}

func fewIDs(t *testing.T, l *limitertest.Harness, k limiter.Key, at time.Duration) {
	for i := range time.Duration(few) {
		commitAt(t, l, k, at+i, fmt.Sprint(i))
	}
}

func fewReservations(t *testing.T, l *limitertest.Harness, k limiter.Key, at time.Duration) {
	for i := range time.Duration(few) {
		checkAt(t, l, k, at+i, fmt.Sprint(i), time.Minute)
	}
}

const few = 3

func commitAt(t *testing.T, l *limitertest.Harness, k limiter.Key, at time.Duration, id string) {
	t.Helper()
	if _, err := l.Commit(limiter.Instant{Mono: int64(at)}, k, id, 1); err != nil {
		t.Fatal(err)
	}
}

func checkAt(
	t *testing.T,
	l *limitertest.Harness,
	k limiter.Key,
	at time.Duration,
	id string,
	ttl time.Duration,
) {
	t.Helper()
	ask := limiter.Ask{ID: id, Cost: 1, TTL: ttl}
	d, err := l.Check(limiter.Instant{Mono: int64(at)}, k, ask)
	if err != nil || d.Verdict != limiter.Allowed {
		t.Fatal(d, err)
	}
}

// TestG9SweepGivesBack wants a sweep, and nothing else, to give back what a burst has needed, once
// it is of no more use: when nothing is left of it, and also when a little has come since. That
// must then still be there.
func TestG9SweepGivesBack(t *testing.T) {
	for name, c := range map[string]struct {
		burst burst
		after time.Duration // when the little comes, and the sweep
		rest  little
		want  string // the day's use and what is in flight, after the sweep
	}{
		"sends, and nothing since":                 {sends, 25 * time.Hour, nil, "0 + 0"},
		"sends, and a few since":                   {sends, 25 * time.Hour, fewSends, "3 + 0"},
		"remembered ids, and nothing since":        {ids, 25 * time.Hour, nil, "0 + 0"},
		"remembered ids, and a few since":          {ids, time.Hour, fewIDs, "16387 + 0"},
		"remembered ids, and reservations since":   {ids, time.Hour, fewReservations, "16384 + 3"},
		"released reservations, and nothing since": {reservations, time.Hour, nil, "0 + 0"},
		"released reservations, and a few since": {
			reservations, time.Hour, fewReservations, "0 + 3",
		},
		"reservations that expire unnoticed": {outstanding, time.Hour, nil, "20000 + 0"},
	} {
		t.Run(name, func(t *testing.T) {
			l, keys := crowd(t, 0, 1)
			at := c.after
			var peak int64
			bytes, _ := heapOf(func() any {
				peak, _ = heapOf(func() any { c.burst(t, l, keys[0]); return nil })
				if c.rest != nil {
					c.rest(t, l, keys[0], at)
					at += few
				}
				l.Sweep(limiter.Instant{Mono: int64(at)})
				return nil
			})
			if peak < 256<<10 {
				t.Errorf("the burst took %d bytes: too few to say whether they come back", peak)
			}
			if bytes > 32<<10 {
				t.Errorf("the burst took %d bytes, and %d are left", peak, bytes)
			}
			u, err := l.Usage(limiter.Instant{Mono: int64(at)}, keys[0])
			got := fmt.Sprint(u.Window(limiter.Cost, limiter.Day).Used, " + ", u.InFlight)
			if err != nil || got != c.want {
				t.Errorf("the usage is %s, %v, want %s", got, err, c.want)
			}
			runtime.KeepAlive(l)
		})
	}
}

// TestG9OnceUsedIsAsGoodAsNew wants an account that has sent once, a day ago, to cost no more than
// one that never has.
func TestG9OnceUsedIsAsGoodAsNew(t *testing.T) {
	const n = 20_000
	cost := func(use bool) int64 {
		bytes, kept := heapOf(func() any {
			l, keys := crowd(t, 0, n)
			for _, k := range keys {
				if use {
					commitAt(t, l, k, 0, "once")
				}
			}
			l.Sweep(limiter.Instant{Mono: int64(25 * time.Hour)})
			return l
		})
		runtime.KeepAlive(kept)
		return bytes / n
	}
	if never, once := cost(false), cost(true); once > never+8 {
		t.Errorf("an account that was used costs %d bytes, one that never was %d", once, never)
	}
}

// TestG9AccountsThatComeAndGo wants many accounts, of which there is never more than one at a time,
// to leave nothing behind.
func TestG9AccountsThatComeAndGo(t *testing.T) {
	l, _ := crowd(t, 0, 10)
	bytes, _ := heapOf(func() any {
		for i := range 200_000 {
			k := limiter.Key{Namespace: "guests", Name: fmt.Sprint(i)}
			l.Apply(k, "uid", limiter.Policy{})
			l.Purge(k)
		}
		return nil
	})
	if bytes > 64<<10 {
		t.Errorf("%d bytes are left of accounts that are gone", bytes)
	}
	runtime.KeepAlive(l)
}
