package limitertest

import (
	"slices"
	"testing"
	"time"

	"github.com/sluice-mail/sluice/limiter"
)

// testG9MergingFreesLateNeverEarly compares a history far beyond what is kept apart with the exact
// count, in each row of the table, along a whole day after a day: never less than the exact one,
// never more than the exact one 1/8192 of a window ago.
func (s suite) testG9MergingFreesLateNeverEarly(t *testing.T) {
	l := s.open(t, Options{})
	var p limiter.Policy
	for _, r := range rows {
		p.Limits[r.unit][r.window] = 1 << 40 // so that the usage lists it
	}
	l.Apply(account, "uid", p)
	var sent []int64   // when, in time order
	sums := []int64{0} // of the costs before each
	now := int64(0)
	countSince := func(r row, since int64) int64 { // how much was sent after since
		n, _ := slices.BinarySearch(sent, since+1)
		if r.unit == limiter.Messages {
			return int64(len(sent) - n)
		}
		return sums[len(sent)] - sums[n]
	}
	times := 150_000
	if testing.Short() {
		times = 100_000
	}
	for i := range times {
		switch {
		case i%100_000 < 20_000:
			now += int64(time.Millisecond) // bursts of 1,000 a second
		case i%100_000 < 50_000:
			now += int64(50 * time.Microsecond) // and of 20,000 a second
		case i%1000 == 0:
			now += int64(7 * time.Minute)
		default:
			now += 197_000_003
		}
		cost := int64(1)
		if i > 100_000 && i%3 == 0 {
			cost = 5
		}
		if _, err := l.Commit(limiter.Instant{Mono: now}, account, "", cost); err != nil {
			t.Fatal(err)
		}
		sent, sums = append(sent, now), append(sums, sums[i]+cost)
		if i%97 != 0 {
			continue
		}
		u, err := l.Usage(limiter.Instant{Mono: now}, account)
		if err != nil || len(u.Windows) != len(rows) {
			t.Fatal(u, err)
		}
		for _, w := range u.Windows {
			r, length := row{w.Unit, w.Window}, int64(w.Window.Length())
			exact, late := countSince(r, now-length), countSince(r, now-length-length/8192)
			if w.Used < exact || w.Used > late {
				t.Fatalf("after %d sends the %v counts %d, want %d to %d", i+1, r, w.Used, exact, late)
			}
		}
	}
}

// testG9FewStampsAreExact fills the history with older sends until it merges, while the last hour
// holds no more than it keeps apart, all of them in one of its cells.
func (s suite) testG9FewStampsAreExact(t *testing.T) {
	l := s.open(t, Options{})
	l.Apply(account, "uid", limiter.Policy{})
	commit := func(at time.Duration) {
		if _, err := l.Commit(limiter.Instant{Mono: int64(at)}, account, "", 1); err != nil {
			t.Fatal(err)
		}
	}
	const few, older = 8192, 28_000
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
		if err != nil || u.Window(limiter.Cost, limiter.Hour).Used != int64(few-1-i) {
			t.Fatalf(
				"after send %d left, the hour holds %d, %v",
				i,
				u.Window(limiter.Cost, limiter.Hour).Used,
				err,
			)
		}
	}
}
