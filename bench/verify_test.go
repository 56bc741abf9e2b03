package bench

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-mail/sluice/api/httpv1"
	"github.com/sluice-mail/sluice/limiter"
	"github.com/sluice-mail/sluice/limiter/limitertest"
)

// TestALongRunFillsEveryWindow goes through three minutes: no less than the limit, and no more.
func TestALongRunFillsEveryWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _ := newServer(3, limiter.Policy{Limits: limitertest.Limits(10, 25, 0)})
		c := setting(h)
		c.Rate, c.Duration = 50, 3*time.Minute
		r := mustRun(t, c)
		if err := r.Err(); err != nil || r.Decisions[httpv1.Allow] != 3*25 {
			t.Errorf("%v, allowed %d, want 3*25", err, r.Decisions[httpv1.Allow])
		}
		if diff := cmp.Diff(Limits{Windows: 6, Accounts: 3, Fullest: 1, Exceeded: []Violation{}},
			r.Limits); diff != "" {
			t.Errorf("want -, got +:\n%s", diff)
		}
	})
}

// TestTooMuchIsFound runs against servers that allow too much, or are going to.
func TestTooMuchIsFound(t *testing.T) {
	violation := func(what string, count int64) []Violation {
		return []Violation{{Namespace: "n", Name: "a", Window: "minute", Limit: 5, What: what,
			Count: count}}
	}
	for name, c := range map[string]struct {
		server *fake
		commit float64
		want   []Violation
	}{
		"it allows everything": {&fake{limit: 5}, 1,
			append(violation(Used, 1000), violation(Granted, 1000)...)},
		"it allows one too much": {&fake{limit: 5, decide: first(6)}, 1,
			append(violation(Used, 6), violation(Granted, 6)...)},
		"it allows one too much, and does not count it": {
			&fake{limit: 5, decide: first(6), surplus: -1}, 1,
			append(violation(Forgotten, 6), violation(Granted, 6)...)},
		"it forgets what was committed": {&fake{limit: 5, decide: first(5), forgets: true}, 1,
			violation(Forgotten, 5)},
		"it counts more than it may": {&fake{limit: 5, decide: first(5), surplus: 1}, 1,
			violation(Used, 6)},
		"it allows as much as it may":            {&fake{limit: 5, decide: first(5)}, 1, []Violation{}},
		"it denies everything":                   {&fake{limit: 5, decide: deny}, 1, []Violation{}},
		"what was released may be allowed again": {&fake{limit: 5}, 0, []Violation{}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				config := setting(c.server)
				config.Commit = c.commit
				r := mustRun(t, config)
				if diff := cmp.Diff(c.want, r.Limits.Exceeded); diff != "" {
					t.Errorf("want -, got +:\n%s", diff)
				}
				if err := r.Err(); (err != nil) != (len(c.want) > 0) {
					t.Errorf("the error is %v", err)
				}
			})
		})
	}
}

// first allows the first n checks.
func first(n int) func(int) string {
	return func(k int) string {
		if k <= n {
			return httpv1.Allow
		}
		return httpv1.Defer
	}
}

// TestAFixedWindowIsFound: a counter that starts again with each minute of the clock lets nearly
// twice as much through around it.
func TestAFixedWindowIsFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		allowed := map[int]int{}
		f := &fake{limit: 5, decide: func(int) string {
			minute := time.Now().Minute()
			if allowed[minute]++; allowed[minute] <= 5 {
				return httpv1.Allow
			}
			return httpv1.Defer
		}}
		time.Sleep(50*time.Second - time.Duration(time.Now().Second())*time.Second)
		c := setting(f)
		c.Connections, c.Duration = 1, 20*time.Second
		if r := mustRun(t, c); len(r.Limits.Exceeded) == 0 || r.Limits.Fullest != 2 {
			t.Errorf("the limits are %+v", r.Limits)
		}
	})
}

// TestARestartIsFound: a server that forgets everything halfway.
func TestARestartIsFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, l := newServer(1, perMinute(10))
		time.AfterFunc(500*time.Millisecond, func() {
			limitertest.Purge(t, l, key(0))
			limitertest.Apply(t, l, key(0), "uid", perMinute(10))
		})
		if r := mustRun(t, setting(h)); r.Limits.Fullest != 2 || r.Err() == nil {
			t.Errorf("the limits are %+v", r.Limits)
		}
	})
}

// TestALimitThatChangesIsNotVerified: nobody knows which one held when.
func TestALimitThatChangesIsNotVerified(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, l := newServer(2, perMinute(10))
		time.AfterFunc(500*time.Millisecond, func() {
			limitertest.Apply(t, l, key(0), "uid", perMinute(100))
			limitertest.Purge(t, l, key(1))
		})
		r := mustRun(t, setting(h))
		if r.Err() != nil || r.Limits.Windows != 0 || len(r.Notes) < 3 {
			t.Errorf("%+v, %q", r.Limits, r.Notes)
		}
	})
}
