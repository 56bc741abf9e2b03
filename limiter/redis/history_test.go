package redis_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-mail/sluice/limiter"
	"github.com/sluice-mail/sluice/limiter/memory"
	"github.com/sluice-mail/sluice/limiter/redis"
)

var account = limiter.Key{Namespace: "marketing", Name: "newsletter"}

// twins are an account in memory and the same one in Redis, which several replicas use in turn.
// Each call goes to both, and the answers must be the same in full.
type twins struct {
	t        *testing.T
	random   *rand.Rand
	memory   limiter.Account
	replicas []limiter.Account
	policy   limiter.CurrentPolicy
	now      limiter.Instant
	ids      int
	calls    int
	punctual bool // no caller comes late with its reading of the clock
}

func newTwins(t *testing.T, seed uint64, start int64, perAccount int) *twins {
	tw := &twins{t: t, random: rand.New(rand.NewPCG(seed, 0)), now: limiter.Instant{Mono: start}}
	tw.memory = memory.New(memory.Options{MaxReservationsPerAccount: perAccount}).
		Open(account, "uid")
	o := options(t)
	o.MaxReservationsPerAccount = perAccount
	for range 3 {
		tw.replicas = append(tw.replicas, redis.New(client(t), o).Open(account, "uid"))
	}
	tw.policy.Store(&limiter.Policy{})
	return tw
}

// same compares what both said, and returns it.
func same[A any](tw *twins, what string, call func(limiter.Account) (A, error)) A {
	tw.t.Helper()
	tw.calls++
	want, wantErr := call(tw.memory)
	got, err := call(tw.replicas[tw.random.IntN(len(tw.replicas))])
	if diff := cmp.Diff(want, got); diff != "" || !errors.Is(err, wantErr) {
		tw.t.Fatalf("call %d, at %d, %s: %v, want %v\n%s",
			tw.calls, tw.now.Mono, what, err, wantErr, diff)
	}
	return got
}

// reading is what a caller reads on the clock: mostly the present.
func (tw *twins) reading() limiter.Instant {
	at := tw.now
	if !tw.punctual && tw.random.IntN(8) == 0 {
		at.Mono -= tw.random.Int64N(int64(3 * time.Second))
	}
	at.Wall = at.Mono + 12_500_000_001
	return at
}

func (tw *twins) check(id string, cost int64, ttl time.Duration) {
	at := tw.reading()
	ask := limiter.Ask{ID: id, Cost: cost, TTL: ttl}
	same(tw, fmt.Sprintf("check %+v", ask), func(a limiter.Account) (limiter.Decision, error) {
		return a.Check(context.Background(), at, &tw.policy, ask)
	})
}

func (tw *twins) commit(id string, cost int64) {
	at := tw.reading()
	same(tw, "commit "+id, func(a limiter.Account) (limiter.Outcome, error) {
		return a.Commit(context.Background(), at, id, cost)
	})
}

func (tw *twins) release(id string) {
	at := tw.reading()
	same(tw, "release "+id, func(a limiter.Account) (limiter.Outcome, error) {
		return a.Release(context.Background(), at, id)
	})
}

func (tw *twins) usage() limiter.Usage {
	at := tw.reading()
	return same(tw, "usage", func(a limiter.Account) (limiter.Usage, error) {
		return a.Usage(context.Background(), at, &tw.policy)
	})
}

// limits draws another policy: of windows that nearly are full, or have room, or no limit.
func (tw *twins) limits() {
	r := tw.random
	var p limiter.Policy
	u := tw.usage()
	for unit := range p.Limits {
		for w := range p.Limits[unit] {
			used := u.Window(limiter.Unit(unit), limiter.Window(w)).Used
			switch r.IntN(4) {
			case 0:
				p.Limits[unit][w] = 1 + used + u.InFlight + r.Int64N(6)
			case 1:
				p.Limits[unit][w] = 1 + r.Int64N(used+10)
			}
		}
	}
	p.Behavior = limiter.Behavior(r.IntN(2))
	p.DeferTo = limiter.DeferTo(r.IntN(8) / 7)
	p.Suspended = r.IntN(40) == 0
	tw.policy.Store(&p)
}

func (tw *twins) oldID() string {
	if tw.random.IntN(6) == 0 {
		return ""
	}
	return fmt.Sprint(max(0, tw.ids-tw.random.IntN(40)))
}

// step makes one random call.
func (tw *twins) step(pace time.Duration) {
	r := tw.random
	switch r.IntN(5) {
	case 0: // the same instant
	case 1:
		tw.now.Mono += 1 + r.Int64N(3)
	default:
		tw.now.Mono += r.Int64N(2 * int64(pace))
	}
	ttl := []time.Duration{1, time.Second, time.Minute, 2 * time.Minute, 15 * time.Minute}[r.IntN(5)]
	switch n := r.IntN(100); {
	case n < 35:
		tw.ids++
		tw.check(fmt.Sprint(tw.ids), 1+r.Int64N(1+3*r.Int64N(2)), ttl)
	case n < 40:
		tw.check(fmt.Sprint(max(0, tw.ids-r.IntN(40))), 1+r.Int64N(2), ttl)
	case n < 65:
		tw.commit(fmt.Sprint(tw.ids), 0)
	case n < 75:
		tw.commit(tw.oldID(), r.Int64N(4))
	case n < 85:
		tw.release(tw.oldID())
	case n < 95:
		tw.usage()
	case n < 99:
		tw.limits()
	default:
		tw.now.Mono += []int64{
			int64(time.Second), int64(time.Minute), int64(15 * time.Minute), int64(16 * time.Minute),
			int64(time.Hour), int64(24 * time.Hour), int64(400 * 24 * time.Hour),
		}[r.IntN(7)] + r.Int64N(2) - 1
	}
}

// since1970 is an instant as production has them.
const since1970 = 1_795_968_015_123_456_789

// TestRandomHistoriesAreThoseOfMemory compares call by call, while the server forgets the scripts
// now and then.
func TestRandomHistoriesAreThoseOfMemory(t *testing.T) {
	t.Parallel()
	calls := 0
	for seed := range short(60) {
		start := []int64{0, since1970}[seed%2]
		tw := newTwins(t, seed, start, 25)
		pace := []time.Duration{
			time.Millisecond, 100 * time.Millisecond, 3 * time.Second, time.Minute,
		}[tw.random.IntN(4)]
		for n := range 1500 {
			tw.step(pace)
			if n%500 == 250 {
				command(t, "SCRIPT", "FLUSH")
			}
		}
		calls += tw.calls
	}
	t.Logf("%d calls had the same answers", calls)
}

// TestMergedHistoriesAreThoseOfMemory fills histories until they merge, some of them in all
// windows, and compares what is promised of them.
func TestMergedHistoriesAreThoseOfMemory(t *testing.T) {
	t.Parallel()
	long(t)
	for seed, paces := range [][]time.Duration{
		{80 * time.Microsecond},
		{3 * time.Second, 2500 * time.Millisecond, 40 * time.Millisecond, time.Microsecond},
		{time.Second, 300 * time.Millisecond, 5 * time.Millisecond},
	} {
		tw := newTwins(t, uint64(seed), since1970, 1000)
		phase := 40_000
		if len(paces) > 1 {
			phase = 20_000
		}
		for round := range phase * len(paces) {
			tw.now.Mono += tw.random.Int64N(2 * int64(paces[round/phase]))
			switch {
			case round%5000 == 4999:
				for range 20 {
					tw.limits()
					tw.ids++
					tw.check(fmt.Sprint(tw.ids), 1+tw.random.Int64N(3), time.Minute)
				}
			case round%100 == 99:
				tw.ids++
				tw.check(fmt.Sprint(tw.ids), 2, []time.Duration{1, time.Minute}[round/100%2])
				tw.commit(fmt.Sprint(tw.ids-round/100%3), 0)
			default:
				tw.commit("", 1+tw.random.Int64N(1+int64(round/20_000)))
			}
		}
		tw.usage()
	}
}

// TestMergesAtTheEdgesOfCells has stamps at the very ends of cells, and a window with exactly as
// many as stay exact.
func TestMergesAtTheEdgesOfCells(t *testing.T) {
	t.Parallel()
	long(t)
	const cell = int64(time.Second) / 8192
	tw := newTwins(t, 1, 0, 1000)
	tw.punctual = true
	tw.now.Mono = since1970 - since1970%(cell*86400)
	var p limiter.Policy
	p.Limits[limiter.Cost][limiter.Second] = 1 << 40 // so that the usage lists it
	tw.policy.Store(&p)
	for n := range 40_000 {
		tw.commit("", 1)
		if n > 32_200 && n < 32_300 { // what is promised of a full history holds
			tw.limits()
			tw.check(fmt.Sprint(n), 1, time.Minute)
			tw.policy.Store(&p)
		}
		tw.now.Mono += cell / 2
	}
	for range 200 {
		tw.now.Mono += 25 * cell
		tw.usage()
	}
	tw.now.Mono += int64(24 * time.Hour)
	for range 32_256 - 8192 {
		tw.commit("", 1)
		tw.now.Mono += int64(2 * time.Second)
	}
	tw.now.Mono += int64(time.Hour)
	for range 8192 + 1 {
		tw.commit("", 1)
		tw.now.Mono += int64(10 * time.Microsecond)
	}
	tw.now.Mono += int64(time.Hour) - int64(82*time.Millisecond)
	for range 300 {
		tw.usage()
		tw.now.Mono += int64(300 * time.Microsecond)
	}
}

// TestManyDeadlinesExpireExactly has far more deadlines pass than one call expires.
func TestManyDeadlinesExpireExactly(t *testing.T) {
	tw := newTwins(t, 7, since1970, 100_000)
	for range 2345 {
		tw.now.Mono += tw.random.Int64N(int64(time.Millisecond))
		tw.ids++
		ttl := time.Duration(1 + tw.random.Int64N(int64(15*time.Minute)))
		tw.check(fmt.Sprint(tw.ids), 1+tw.random.Int64N(3), ttl)
		if tw.random.IntN(50) == 0 {
			tw.commit("", 0) // the oldest, though its deadline may be far
		}
	}
	tw.now.Mono += int64(7 * time.Minute)
	tw.usage()
	tw.commit("", 0)
	tw.now.Mono += int64(9 * time.Minute)
	tw.limits()
	for id := 0; id <= tw.ids; id += 10 {
		tw.commit(fmt.Sprint(id), 0)
	}
	for range 70 {
		tw.now.Mono += int64(time.Minute)
		tw.usage()
	}
}

// TestEndedIDsAreThoseOfMemory ends more ids than are remembered.
func TestEndedIDsAreThoseOfMemory(t *testing.T) {
	t.Parallel()
	long(t)
	tw := newTwins(t, 3, since1970, 1000)
	for range 40_000 {
		tw.now.Mono += tw.random.Int64N(int64(60 * time.Millisecond))
		tw.commit(fmt.Sprint(tw.random.IntN(22_000)), 1)
	}
	tw.now.Mono += int64(14 * time.Minute)
	for id := range 22_000 {
		tw.now.Mono += int64(10 * time.Millisecond)
		if id%7 == 0 {
			tw.release(fmt.Sprint(id))
		}
	}
	tw.usage()
}
