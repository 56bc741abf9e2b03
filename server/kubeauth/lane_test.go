package kubeauth

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestLaneIsSharedOut has one who wants all of a lane, and another who comes later.
func TestLaneIsSharedOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLane(8)
		var hog, other share
		hog.init(2, 50)
		other.init(2, 50)
		var shed atomic.Int32
		use := func(s *share) {
			release, err := l.acquire(t.Context(), s)
			if err != nil {
				shed.Add(1)
				return
			}
			time.Sleep(time.Second)
			release()
		}
		for range 100 {
			go use(&hog)
		}
		synctest.Wait()
		if n := shed.Load(); n != 48 {
			t.Errorf("%d of 100 are shed, want all but 2 and 50", n)
		}
		began := time.Now()
		use(&other)
		if took := time.Since(began); took != time.Second {
			t.Errorf("another waited for %s", took-time.Second)
		}
		time.Sleep(time.Minute)
	})
}

func TestLaneGivesBackWhatItCannotUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLane(1)
		var a, b share
		a.init(1, 1)
		b.init(1, 1)
		release, err := l.acquire(t.Context(), &a)
		if err != nil {
			t.Fatal(err)
		}
		soon, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := l.acquire(soon, &b); err == nil {
			t.Fatal("a lane of one has two")
		}
		release()
		for range 3 {
			release, err := l.acquire(t.Context(), &b)
			if err != nil {
				t.Fatal(err)
			}
			release()
		}
	})
}
