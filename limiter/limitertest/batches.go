package limitertest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-mail/sluice/limiter"
)

// testBatchesAreSingleCalls makes random calls on two stores, in batches on one and one by one on
// the other: every answer must be the same.
func (s suite) testBatchesAreSingleCalls(t *testing.T) {
	for seed := range uint64(20) {
		o := Options{MaxReservationsPerAccount: 30}
		b := batches{random: rand.New(rand.NewPCG(seed, 1))}
		batched, single := s.open(t, o), s.open(t, o)
		for n := range 60 {
			if n%6 == 0 {
				b.changePolicies(batched, single)
			}
			b.now.Mono += b.random.Int64N(int64(20 * time.Second))
			b.now.Wall = b.now.Mono + 12_500_000_001
			CompareBatch(t, batched, single, b.now, b.batch())
		}
		if b.verbs == 0 || b.mixed == 0 {
			t.Error("there were not both kinds of batches")
		}
	}
}

// CompareBatch makes calls at once on one limiter and one by one on the other, and wants the same
// answers.
func CompareBatch(t TB, batched, single *Harness, now limiter.Instant, calls []limiter.Call) {
	t.Helper()
	want := append([]limiter.Call(nil), calls...)
	for i := range want {
		if c := &want[i]; c.Verb == limiter.ToUsage {
			c.Usage, calls[i].Usage = new(limiter.Usage), new(limiter.Usage)
		}
	}
	if err := batched.Do(context.Background(), now, calls); err != nil {
		t.Fatal(err)
	}
	for i := range want {
		c := &want[i]
		switch c.Verb {
		case limiter.ToCheck:
			c.Decision, c.Err = single.Check(now, c.Key, c.Ask)
		case limiter.ToCommit:
			c.Outcome, c.Err = single.Commit(now, c.Key, c.Ask.ID, c.Ask.Cost)
		case limiter.ToRelease:
			c.Outcome, c.Err = single.Release(now, c.Key, c.Ask.ID)
		case limiter.ToUsage:
			*c.Usage, c.Err = single.Usage(now, c.Key)
		}
		got, wantErr := calls[i], c.Err
		gotErr := got.Err
		got.Err, c.Err = nil, nil
		if diff := cmp.Diff(*c, got); diff != "" || !errors.Is(gotErr, wantErr) {
			t.Fatalf("call %d of %d, %+v: %v, want %v\n%s",
				i, len(calls), c.Ask, gotErr, wantErr, diff)
		}
	}
}

// batches draws batches of calls on a few accounts.
type batches struct {
	random       *rand.Rand
	now          limiter.Instant
	ids          int
	verbs, mixed int // batches of one verb, and of several
}

func (b *batches) key() limiter.Key {
	return limiter.Key{
		Namespace: fmt.Sprint("n", b.random.IntN(2)), Name: fmt.Sprint("a", b.random.IntN(4)),
	}
}

// changePolicies gives one account another policy, or takes it away.
func (b *batches) changePolicies(all ...*Harness) {
	for range 3 {
		k, p := b.key(), limiter.Policy{Behavior: limiter.Behavior(b.random.IntN(2))}
		p.Limits[limiter.Cost][limiter.Minute] = b.random.Int64N(20)
		p.Limits[limiter.Messages][limiter.Hour] = b.random.Int64N(100)
		p.Suspended = b.random.IntN(10) == 0
		purge := b.random.IntN(4) == 0
		for _, l := range all {
			if purge {
				l.Purge(k)
			} else {
				l.Apply(k, "uid", p)
			}
		}
	}
}

func (b *batches) batch() []limiter.Call {
	calls := make([]limiter.Call, b.random.IntN(60))
	verb := limiter.Verb(b.random.IntN(5)) // none: each call has another
	if verb == 0 {
		b.mixed++
	} else {
		b.verbs++
	}
	for i := range calls {
		calls[i] = b.call(verb)
	}
	return calls
}

func (b *batches) call(verb limiter.Verb) limiter.Call {
	r := b.random
	if verb == 0 {
		verb = limiter.Verb(1 + r.IntN(4))
	}
	c := limiter.Call{Key: b.key(), Verb: verb}
	if r.IntN(12) > 0 {
		c.Ask.ID = fmt.Sprint(max(0, b.ids-r.IntN(60)))
	}
	switch verb {
	case limiter.ToCheck:
		if r.IntN(4) > 0 {
			b.ids++
			c.Ask.ID = fmt.Sprint(b.ids)
		}
		c.Ask.Cost = r.Int64N(4) // 0 is invalid
		c.Ask.TTL = time.Duration(1+r.IntN(90)) * time.Second
	case limiter.ToCommit:
		c.Ask.Cost = r.Int64N(4) - r.Int64N(40)/39 // -1 is invalid
	case limiter.ToRelease, limiter.ToUsage:
	}
	return c
}
