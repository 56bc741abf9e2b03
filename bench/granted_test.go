package bench

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// TestWindowCountsWhatIsCertain: a timeline of grants, each asked for and answered at some second.
func TestWindowCountsWhatIsCertain(t *testing.T) {
	type call struct {
		asked, answered int
		cost            int64 // negative: given back
	}
	for name, c := range map[string]struct {
		grants []call
		most   int64
	}{
		"nothing":                        {nil, 0},
		"just a window apart":            {[]call{{0, 1, 1}, {58, 59, 1}}, 2},
		"answered a window after":        {[]call{{0, 1, 1}, {58, 60, 1}}, 1},
		"the first may have been before": {[]call{{0, 10, 1}, {65, 66, 1}}, 1},
		"it slides": {
			[]call{{0, 1, 1}, {40, 41, 1}, {70, 71, 1}, {98, 99, 1}}, 3},
		"costs add up":                        {[]call{{0, 1, 2}, {2, 3, 3}}, 5},
		"answered in another order":           {[]call{{5, 6, 1}, {4, 7, 1}, {3, 8, 1}}, 3},
		"answered too late to count":          {[]call{{50, 51, 1}, {70, 71, 1}, {5, 72, 1}}, 2},
		"given back, then granted to another": {[]call{{0, 1, 1}, {0, 0, -1}, {2, 3, 1}}, 1},
		"given back after it dropped out": {
			[]call{{0, 1, 1}, {70, 71, 1}, {0, 0, -1}, {72, 73, 1}}, 2},
		"given back, one of those asked together": {
			[]call{{3, 4, 1}, {3, 5, 1}, {3, 0, -1}, {6, 7, 1}}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			w := window{length: time.Minute, limit: 100}
			for _, g := range c.grants {
				if g.cost < 0 {
					w.remove(seconds(g.asked), -g.cost)
				} else {
					w.add(seconds(g.asked), seconds(g.answered), g.cost)
				}
			}
			if w.most != c.most {
				t.Errorf("the most is %d, want %d", w.most, c.most)
			}
		})
	}
}

func seconds(n int) time.Duration { return time.Duration(n) * time.Second }

func TestWindowTellsOnce(t *testing.T) {
	w := window{length: time.Minute, limit: 2}
	var told []bool
	for i := range 4 {
		told = append(told, w.add(seconds(i), seconds(i), 1))
	}
	if !slices.Equal(told, []bool{false, false, true, false}) {
		t.Errorf("got %v, want the third alone to say so", told)
	}
}

// TestWindowAgainstTrying compares with a count that tries every first request and every last
// answer.
func TestWindowAgainstTrying(t *testing.T) {
	for seed := range uint64(200) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 0))
			type call struct{ asked, answered time.Duration }
			all := make([]call, 1+random.IntN(60))
			for i := range all {
				asked := time.Duration(random.IntN(200)) * time.Second
				all[i] = call{asked, asked + time.Duration(random.IntN(20))*time.Second}
			}
			slices.SortFunc(all, func(a, b call) int { return cmp.Compare(a.answered, b.answered) })
			w := window{length: time.Minute, limit: 100}
			for _, g := range all {
				w.add(g.asked, g.answered, 1)
			}
			var most int64
			for _, first := range all {
				for _, last := range all {
					var n int64
					for _, g := range all {
						if g.asked >= first.asked && g.answered <= last.answered &&
							last.answered-first.asked < time.Minute {
							n++
						}
					}
					most = max(most, n)
				}
			}
			if w.most != most {
				t.Errorf("the most is %d, want %d", w.most, most)
			}
		})
	}
}

// TestWindowIsBounded: what merges counts less, never more, and not much.
func TestWindowIsBounded(t *testing.T) {
	const perMinute = 50_000
	w := window{length: time.Minute, limit: perMinute}
	largest := 0
	for i := range 3 * perMinute {
		at := time.Duration(i) * time.Minute / perMinute
		w.add(at, at, 1)
		largest = max(largest, cap(w.grants))
	}
	if w.most > perMinute || w.most < perMinute*99/100 {
		t.Errorf("the most is %d of %d", w.most, perMinute)
	}
	if largest > 8*resolution {
		t.Errorf("there were up to %d grants", largest)
	}
}
