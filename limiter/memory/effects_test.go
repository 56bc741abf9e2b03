package memory_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/sluice-mail/sluice/limiter"
	"github.com/sluice-mail/sluice/limiter/memory"
)

// hashID is a hash that two stores share.
func hashID(id string) memory.IDHash {
	h := fnv.New128a()
	_, _ = h.Write([]byte(id))
	return memory.ReadIDHash(h.Sum(nil))
}

// twins are an account, one to which its effects are replayed, and one that now and then is made of
// the image of the second.
type twins struct {
	t                          limiterTB
	policy                     limiter.CurrentPolicy
	stores                     [3]*memory.Store
	real, replayed, restored   *memory.Account
	effects                    []memory.Effect
	replayedUntil, restoredEnd int
}

// limiterTB is what a *testing.T and a *rapid.T both have.
type limiterTB interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

func newTwins(t limiterTB, p limiter.Policy) *twins {
	tw := &twins{t: t}
	for i := range tw.stores {
		tw.stores[i] = memory.New(memory.Options{HashID: hashID})
	}
	tw.policy.Store(&p)
	tw.real = tw.stores[0].OpenRecorded(func(e memory.Effect) { tw.effects = append(tw.effects, e) })
	silent := func(e memory.Effect) { t.Fatalf("a replay records %+v", e) }
	tw.replayed = tw.stores[1].OpenRecorded(silent)
	tw.restored = tw.stores[2].OpenRecorded(silent)
	return tw
}

// compare replays what happened, and wants all three to hold the same at an instant.
func (tw *twins) compare(now limiter.Instant) {
	tw.t.Helper()
	tw.replay(tw.replayed, &tw.replayedUntil)
	tw.replay(tw.restored, &tw.restoredEnd)
	var want any
	for i, a := range []*memory.Account{tw.real, tw.replayed, tw.restored} {
		if _, err := a.Usage(context.Background(), now, &tw.policy); err != nil {
			tw.t.Fatal(err)
		}
		got := held(tw.t, a)
		if i == 0 {
			want = got
		} else if diff := cmp.Diff(want, got); diff != "" {
			tw.t.Fatalf("at %s, twin %d after %d effects (-calls +replay):\n%s",
				time.Duration(now.Mono), i, len(tw.effects), diff)
		}
	}
	for _, s := range tw.stores[1:] {
		if s.Reservations() != tw.stores[0].Reservations() {
			tw.t.Fatalf("%d are outstanding, want %d", s.Reservations(), tw.stores[0].Reservations())
		}
	}
}

func (tw *twins) replay(a *memory.Account, until *int) {
	for _, e := range tw.effects[*until:] {
		if err := a.Replay(e); err != nil {
			tw.t.Fatal(err)
		}
	}
	*until = len(tw.effects)
}

// restore makes the third account anew, of an image of the second.
func (tw *twins) restore() {
	tw.t.Helper()
	_ = tw.restored.Replay(memory.Effect{Kind: memory.Purged})
	tw.restored = tw.stores[2].OpenRecorded(nil)
	if err := tw.restored.Restore(imageOf(tw.replayed)); err != nil {
		tw.t.Fatal(err)
	}
	tw.restoredEnd = tw.replayedUntil
}

func imageOf(a *memory.Account) []byte {
	var i memory.Image
	a.Copy(&i, func() {})
	return i.AppendTo(nil)
}

// content is what an account holds. Messages that are not told apart are those of cost.
type content struct {
	Now         int64
	Stamps      [][3]int64
	Outstanding []entry
	Ended       []entry
}

type entry struct {
	ID    [16]byte
	Cost  uint64
	At    int64
	State byte
}

// held reads the image of an account.
func held(t limiterTB, a *memory.Account) (c content) {
	t.Helper()
	b := imageOf(a)
	varint := func() int64 {
		n, size := binary.Varint(b)
		b = b[size:]
		return n
	}
	uvarint := func() uint64 {
		n, size := binary.Uvarint(b)
		b = b[size:]
		return n
	}
	one := func() byte { first := b[0]; b = b[1:]; return first }
	id := func() (id [16]byte) { b = b[copy(id[:], b):]; return id }
	c.Now = varint()
	stamps, withMessages := uvarint(), one()
	for range stamps {
		s := [3]int64{varint(), int64(uvarint()), 0}
		if s[2] = s[1]; withMessages == 1 {
			s[2] = int64(uvarint())
		}
		c.Stamps = append(c.Stamps, s)
	}
	for range uvarint() {
		c.Outstanding = append(c.Outstanding, entry{id(), uvarint(), varint(), 0})
	}
	for range uvarint() {
		e := entry{ID: id(), At: varint()}
		e.Cost, e.State = uvarint(), one()
		c.Ended = append(c.Ended, e)
	}
	if len(b) > 0 {
		t.Fatalf("%d bytes are left of an image", len(b))
	}
	return c
}

// TestReplayIsTheSame makes random calls, and wants a replay of their effects to hold the same.
func TestReplayIsTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tw := newTwins(t, limiter.Policy{Limits: limiter.Limits{
			limiter.Cost: {limiter.Minute: 6, limiter.Day: 20},
		}})
		ctx, now, n := context.Background(), limiter.Instant{Mono: 1}, int64(0)
		ids := rapid.SampledFrom([]string{"a", "b", "c", "d", "e", ""})
		for range rapid.IntRange(1, 60).Draw(t, "calls") {
			// Deadlines never fall together: then the order of two would be another one.
			n++
			now.Mono += 1000 * rapid.SampledFrom([]int64{
				0, 0, 1, 1e6, 20e6, 60e6, 5 * 60e6, 15 * 60e6, 3600e6, 8 * 3600e6,
			}).Draw(t, "wait")
			id := ids.Draw(t, "id")
			cost := rapid.SampledFrom([]int64{1, 1, 1, 2, 3}).Draw(t, "cost")
			switch rapid.IntRange(0, 7).Draw(t, "call") {
			case 0, 1, 2:
				if id != "" {
					ttl := 1000*rapid.SampledFrom([]int64{1, 1e6, 30e6, 120e6}).Draw(t, "ttl") + n
					_, _ = tw.real.Check(ctx, now, &tw.policy,
						limiter.Ask{ID: id, Cost: cost, TTL: time.Duration(ttl)})
				}
			case 3, 4:
				_, _ = tw.real.Commit(ctx, now, id, cost-1)
			case 5:
				_, _ = tw.real.Release(ctx, now, id)
			case 6:
				tw.stores[0].Sweep(now)
				tw.stores[0].Expire(now)
			case 7:
				tw.compare(now)
				if rapid.Bool().Draw(t, "restore") {
					tw.restore()
				}
			}
		}
		tw.compare(now)
	})
}

// TestReplayOfFullHistories has a history merge, by sends and by denials, and many ids end: replays
// and images are the same along the way.
func TestReplayOfFullHistories(t *testing.T) {
	t.Parallel()
	for name, cost := range map[string]int64{"costs of 1": 1, "messages apart from cost": 3} {
		t.Run(name, func(t *testing.T) {
			tw := newTwins(t, limiter.Policy{Limits: limiter.Limits{
				limiter.Cost: {limiter.Second: 1}, // all checks are denied
			}})
			ctx := context.Background()
			kinds := map[memory.EffectKind]int{}
			now := limiter.Instant{Mono: 1}
			for i := range 90_000 {
				now.Mono += int64(time.Millisecond)
				if i%30_000 == 20_000 {
					now.Mono += int64(time.Hour)
				}
				id := ""
				if i > 60_000 {
					id = fmt.Sprint(i)
				}
				if _, err := tw.real.Commit(ctx, now, id, 1+int64(i)%cost); err != nil {
					t.Fatal(err)
				}
				if i%5 == 0 {
					_, _ = tw.real.Check(ctx, now, &tw.policy,
						limiter.Ask{ID: "denied", Cost: 1, TTL: time.Minute})
				}
				if i%7001 == 0 {
					tw.compare(now)
					tw.restore()
				}
			}
			tw.compare(now)
			for _, e := range tw.effects {
				kinds[e.Kind]++
			}
			now.Mono += int64(20 * time.Hour)
			tw.compare(now)
			if kinds[memory.Merged] == 0 {
				t.Error("no denial merged")
			}
		})
	}
}

// TestReplayRefuses wants effects that cannot have happened to be refused, and not to be guessed
// at.
func TestReplayRefuses(t *testing.T) {
	t.Parallel()
	a, b := hashID("a"), hashID("b")
	grant := memory.Effect{Kind: memory.Granted, ID: a, At: 1, Cost: 1, Deadline: 100}
	for name, e := range map[string]memory.Effect{
		"the same grant twice":         grant,
		"a grant of an ended id":       {Kind: memory.Granted, ID: b, At: 3, Cost: 1, Deadline: 9},
		"a grant of nothing":           {Kind: memory.Granted, ID: hashID("c"), At: 3, Deadline: 9},
		"a commit of nothing":          {Kind: memory.Committed, ID: hashID("c"), At: 3, Cost: 1},
		"a commit of what has ended":   {Kind: memory.Committed, ID: b, At: 3, Cost: 1},
		"a late commit of what is not": {Kind: memory.CommittedLate, ID: a, At: 3, Cost: 1},
		"an unreserved one of what is": {Kind: memory.CommittedUnreserved, ID: a, At: 3, Cost: 1},
		"a cost below nothing":         {Kind: memory.Committed, ID: a, At: 3, Cost: -1},
		"a cost beyond all":            {Kind: memory.Committed, ID: a, At: 3, Cost: limiter.MaxCost + 1},
		"a release of nothing":         {Kind: memory.Released, ID: hashID("c"), At: 3},
		"no kind":                      {At: 3},
	} {
		account := memory.New(memory.Options{}).OpenRecorded(nil)
		for _, before := range []memory.Effect{
			grant, {Kind: memory.CommittedUnreserved, ID: b, At: 2, Cost: 1},
		} {
			if err := account.Replay(before); err != nil {
				t.Fatal(err)
			}
		}
		if account.Replay(e) == nil {
			t.Errorf("%s is replayed", name)
		}
	}
}

// TestReplayKeepsTheBound replays more reservations than the bound is: no other one is granted
// until there are fewer.
func TestReplayKeepsTheBound(t *testing.T) {
	t.Parallel()
	const bound, granted = 3, 7
	s := memory.New(memory.Options{HashID: hashID, MaxReservations: bound})
	ctx, now := context.Background(), limiter.Instant{Mono: 5}
	var p limiter.CurrentPolicy
	p.Store(&limiter.Policy{})
	a := s.OpenRecorded(nil)
	for i := range granted {
		e := memory.Effect{
			Kind: memory.Granted, ID: hashID(fmt.Sprint(i)), At: 1, Cost: 1, Deadline: int64(time.Hour),
		}
		if err := a.Replay(e); err != nil {
			t.Fatal(err)
		}
	}
	for i := range granted {
		if n := s.Reservations(); n != granted-i {
			t.Errorf("%d are outstanding, want %d", n, granted-i)
		}
		_, err := a.Check(ctx, now, &p, limiter.Ask{ID: "more", Cost: 1, TTL: time.Minute})
		if full := granted-i >= bound; full != errors.Is(err, limiter.ErrOverloaded) {
			t.Errorf("with %d outstanding, one more: %v", granted-i, err)
		}
		if err == nil {
			_, _ = a.Release(ctx, now, "more")
			break
		}
		if _, err := a.Commit(ctx, now, fmt.Sprint(i), 0); err != nil {
			t.Fatal(err)
		}
	}
}

// A cost is kept in 32 bits. One beyond them would be restored as another, and often as less.
func TestRestoreTakesNoCostBeyondAll(t *testing.T) {
	t.Parallel()
	for cost, takes := range map[uint64]bool{
		1: true, limiter.MaxCost: true, limiter.MaxCost + 1: false, 1<<32 + 1: false,
	} {
		image := []byte{0, 0, 0, 0, 1} // now, no stamps, no messages, none outstanding, one ended
		image = hashID("a").AppendTo(image)
		image = binary.AppendVarint(image, 0)
		image = binary.AppendUvarint(image, cost)
		image = append(image, 1) // its state
		err := memory.New(memory.Options{}).OpenRecorded(nil).Restore(image)
		if (err == nil) != takes {
			t.Errorf("an ended id of cost %d is restored with the error %v", cost, err)
		}
	}
}

// FuzzRestore restores an account of any bytes. It then works, and has an image of its own.
func FuzzRestore(f *testing.F) {
	s := memory.New(memory.Options{HashID: hashID})
	ctx, now := context.Background(), limiter.Instant{Mono: int64(time.Hour)}
	var p limiter.CurrentPolicy
	p.Store(&limiter.Policy{Limits: limiter.Limits{
		limiter.Cost:     {limiter.Minute: 5, limiter.Day: 5},
		limiter.Messages: {limiter.Hour: 5},
	}})
	a := s.OpenRecorded(nil)
	f.Add(imageOf(a))
	for i, id := range []string{"a", "b", "c", "d"} {
		_, _ = a.Check(ctx, now, &p, limiter.Ask{ID: id, Cost: 1, TTL: time.Duration(i+1) * time.Minute})
	}
	_, _ = a.Commit(ctx, now, "a", 3)
	_, _ = a.Release(ctx, now, "b")
	f.Add(imageOf(a))
	f.Fuzz(func(t *testing.T, image []byte) {
		s := memory.New(memory.Options{HashID: hashID})
		a := s.OpenRecorded(nil)
		if a.Restore(image) != nil {
			_ = a.Replay(memory.Effect{Kind: memory.Purged})
			if n := s.Reservations(); n != 0 {
				t.Errorf("%d reservations are left of what was refused", n)
			}
			return
		}
		want := held(t, a)
		again := memory.New(memory.Options{HashID: hashID}).OpenRecorded(nil)
		if err := again.Restore(imageOf(a)); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, held(t, again)); diff != "" {
			t.Error(diff)
		}
		for _, now := range []int64{want.Now, want.Now + int64(time.Hour)} {
			at := limiter.Instant{Mono: now}
			_, _ = a.Check(ctx, at, &p, limiter.Ask{ID: "x", Cost: 1, TTL: time.Minute})
			_, _ = a.Commit(ctx, at, "", 2)
			_, _ = a.Release(ctx, at, "")
			_, _ = a.Usage(ctx, at, &p)
			s.Sweep(at)
			s.Expire(at)
		}
	})
}
