package redis

import (
	"testing"
	"time"
)

// TestBeats has the store go back by less and by more than what is told anew, under a replica that
// is young, and one that is not.
func TestBeats(t *testing.T) {
	for name, c := range map[string]struct {
		seconds    int64 // of which each had a beat, of two replicas
		count      int64 // at the end
		back, lost bool
	}{
		"it goes on":                     {300, 601, false, false},
		"the last beat is gone":          {300, 599, true, false},
		"half a minute is gone":          {300, 540, true, false},
		"a little less than a minute is": {300, 484, true, false},
		"two minutes are gone":           {300, 360, true, true},
		"all is gone":                    {300, 1, true, true},
		"a young replica does not judge": {20, 1, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			var b beats
			for n := range c.seconds {
				if back, lost := b.see(beat{2*n + 1, time.Duration(n) * time.Second}); back || lost {
					t.Fatal(n, back, lost)
				}
			}
			after := time.Duration(c.seconds) * time.Second
			for range 3 { // a loss stays one until it is accepted
				back, lost := b.see(beat{c.count, after})
				if back != c.back || lost != c.lost {
					t.Fatalf("%t, %t, want %t, %t", back, lost, c.back, c.lost)
				}
				if !lost {
					break
				}
				c.count++
				after += time.Second
			}
			b.forget()
			if back, lost := b.see(beat{1, after}); back || lost || len(b.all) != 1 {
				t.Error(back, lost, b.all)
			}
		})
	}
	var b beats
	for n := range int64(1000) {
		b.see(beat{n, time.Duration(n) * time.Second})
	}
	if n := len(b.all); n > 63 {
		t.Errorf("%d are remembered", n)
	}
}
