package limitertest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	"github.com/sluice-mail/sluice/limiter"
)

func (s suite) testG5MemoryIsBounded(t *testing.T) {
	l := s.open(t, Options{})
	l.Apply(account, "uid", limiter.Policy{})
	at := limiter.Instant{Mono: 1}
	for i := range 16384 + 1 {
		if _, err := l.Commit(at, account, fmt.Sprint(i), 1); err != nil {
			t.Fatal(err)
		}
	}
	usage := func() int64 {
		u, err := l.Usage(at, account)
		if err != nil {
			t.Fatal(err)
		}
		return u.Window(limiter.Cost, limiter.Minute).Used
	}
	before := usage()
	for _, c := range []struct {
		id    string
		added int64
		// The oldest was forgotten, and counts again: more, never less.
	}{{"16384", 0}, {"1", 0}, {"0", 1}} {
		if _, err := l.Commit(at, account, c.id, 1); err != nil {
			t.Fatal(err)
		}
		if added := usage() - before; added != c.added {
			t.Errorf("repeating commit %s added %d, want %d", c.id, added, c.added)
		}
	}
}

// testG5EndedIDsAreRemembered compares what is remembered with a list, as ids end, are forgotten
// and come again, at paces between a few and more than can be remembered in 15 minutes.
func (s suite) testG5EndedIDsAreRemembered(t *testing.T) {
	const seed = 1
	random := rand.New(rand.NewPCG(seed, seed))
	l := s.open(t, Options{})
	l.Apply(account, "uid", limiter.Policy{})
	type end struct {
		id string
		at int64
	}
	var remembered []end
	is := map[string]bool{}
	var now limiter.Instant
	const many = 40_000 // of which more than 16,384 are different ids
	for _, phase := range []struct {
		pace  time.Duration
		steps int
	}{{10 * time.Millisecond, many}, {time.Second, 6_000}, {5 * time.Minute, 100}} {
		for range phase.steps {
			now.Mono += random.Int64N(int64(2 * phase.pace))
			for len(remembered) > 0 &&
				(len(remembered) > 16384 || remembered[0].at+int64(15*time.Minute) <= now.Mono) {
				delete(is, remembered[0].id)
				remembered = remembered[1:]
			}
			id := strconv.Itoa(random.IntN(30_000))
			want := limiter.ErrReservationNotFound
			if is[id] {
				want = limiter.ErrReservationEnded
			}
			if _, err := l.Release(now, account, id); !errors.Is(err, want) {
				t.Fatalf(
					"at %v, with %d remembered, release of %s: %v, want %v",
					time.Duration(now.Mono),
					len(remembered),
					id,
					err,
					want,
				)
			}
			if _, err := l.Commit(now, account, id, 1); err != nil {
				t.Fatal(err)
			}
			if !is[id] {
				is[id] = true
				remembered = append(remembered, end{id, now.Mono})
			}
			if random.IntN(1000) == 0 {
				l.Sweep(now)
			}
		}
	}
}
