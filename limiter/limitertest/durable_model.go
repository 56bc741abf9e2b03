package limitertest

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sluice-mail/sluice/limiter"
)

// clone returns a copy that nothing changes with the model.
func (m *model) clone() *model {
	return &model{
		limits: m.limits, sends: slices.Clone(m.sends), held: slices.Clone(m.held),
		ended: maps.Clone(m.ended), past: maps.Clone(m.past),
	}
}

// cloneAll returns copies of models.
func cloneAll(models []*model) (copies []*model) {
	for _, m := range models {
		copies = append(copies, m.clone())
	}
	return copies
}

func newModel() *model { return &model{ended: map[string]string{}, past: map[string]held{}} }

// doubtful is an account of which is known what it may hold. While its process lives that is one
// state; after a kill it is one of several, until answers tell which.
type doubtful struct {
	key    limiter.Key
	life   int
	limits limiter.Limits
	// may are the states that it may be in.
	may []*model
	// lost are those that it may be in after a kill, as the calls since may be lost.
	lost []*model
}

func (a *doubtful) uid() string { return fmt.Sprint("uid-", a.life) }

// expect plays a call to each state that the account may be in, and keeps those that give the
// answer that the store gave. It returns the answers that the states give.
func (a *doubtful) expect(got string, call func(m *model) string) (wanted []string) {
	var before, after []*model
	changed := 0
	for _, m := range a.may {
		was := m.clone()
		want := call(m)
		wanted = append(wanted, want)
		if want != got {
			continue
		}
		before, after = append(before, was), append(after, m)
		if !reflect.DeepEqual(was, m) {
			changed++
		}
	}
	a.may = after
	switch {
	case changed == 0: // nothing was written that could be lost, nor waited for
	case !durableAnswers[got]:
		a.lost = append(a.lost, before...)
	case changed == len(after):
		a.lost = nil
	}
	return wanted
}

// durableAnswers are those that are given once the change, and all before it, is not forgotten any
// more.
var durableAnswers = map[string]bool{"allow": true, "late": true, "unreserved": true}

// doubt adds the states that calls may have led to whose answers nobody heard.
func (a *doubtful) doubt(call func(m *model) string) {
	a.lost = append(a.lost, cloneAll(a.may)...)
	for _, m := range a.may {
		call(m)
	}
}

// killed has the account be in any state since what was durable.
func (a *doubtful) killed(now int64) {
	var different []*model
	for _, m := range append(a.may, a.lost...) {
		m.limits = a.limits
		m.expire(now)
		for i := range m.held {
			m.held[i].doubtful = true // a commit that was told of may be lost
		}
		if !slices.ContainsFunc(different, func(o *model) bool { return reflect.DeepEqual(m, o) }) {
			different = append(different, m)
		}
	}
	a.may, a.lost = different, nil
}

// fresh begins another life of the account.
func (a *doubtful) fresh() {
	a.life++
	a.may, a.lost = []*model{newModel()}, nil
	a.may[0].limits = a.limits
}

// durableRun is a random history of a durable store.
type durableRun struct {
	*process
	now, generationEnd int64
	generation         int
	accounts           []*doubtful
}

// testModel plays random calls and kills against the limiter and the model, and wants the same
// answers, to the nanosecond. After a kill the store may be in any state since the last answer that
// is not to be forgotten, and what was in doubt may have happened or not.
func (s durableSuite) testModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := &durableRun{process: s.start(t), generationEnd: int64(10 * time.Minute)}
		for _, name := range []string{"a", "b"} {
			a := &doubtful{key: limiter.Key{Namespace: "n", Name: name}}
			r.accounts = append(r.accounts, a)
			a.fresh()
			r.drawLimits(t, a)
		}
		t.Repeat(map[string]func(*rapid.T){
			"wait":      func(t *rapid.T) { r.pass(upTo(25*time.Second).Draw(t, "wait")) },
			"wait long": func(t *rapid.T) { r.waitLong(t) },
			"check":     func(t *rapid.T) { r.answered(t, r.drawCheck(t)) },
			"again":     func(t *rapid.T) { r.answered(t, r.drawCheck(t)) },
			"commit":    func(t *rapid.T) { r.answered(t, r.drawCommit(t)) },
			"release":   func(t *rapid.T) { r.answered(t, r.drawRelease(t)) },
			"limits":    func(t *rapid.T) { r.drawLimits(t, r.account(t)) },
			"delete":    func(t *rapid.T) { r.replace(t) },
			"kill":      func(t *rapid.T) { r.drawKill(t) },
			"kill two":  func(t *rapid.T) { r.drawKill(t); r.drawKill(t) },
		})
	})
}

func (r *durableRun) account(t *rapid.T) *doubtful {
	return rapid.SampledFrom(r.accounts).Draw(t, "account")
}

func (r *durableRun) drawLimits(t *rapid.T, a *doubtful) {
	for _, row := range rows {
		a.limits[row.unit][row.window] = rapid.Int64Range(0, 6).Draw(t, row.String())
	}
	r.Apply(a.key, a.uid(), limiter.Policy{Limits: a.limits})
	for _, m := range append(a.may, a.lost...) {
		m.limits = a.limits
	}
}

// pass lets time pass. The limiter forgets an id after 15 minutes, and the model never: after 10,
// other ids are used.
func (r *durableRun) pass(wait int64) {
	if r.now += wait; r.now > r.generationEnd {
		r.generation, r.generationEnd = r.generation+1, r.now+int64(10*time.Minute)
	}
	for _, a := range r.accounts {
		for _, m := range a.may {
			m.expire(r.now)
		}
	}
}

func (r *durableRun) waitLong(t *rapid.T) {
	r.generationEnd = 0
	r.pass(int64(15*time.Minute) + upTo(6*time.Hour).Draw(t, "wait"))
	if rapid.Bool().Draw(t, "sweep") {
		r.Sweep(limiter.Instant{Mono: r.now})
	}
}

// action is a call to the limiter, and the same to the model.
type action struct {
	what  string
	on    *doubtful
	real  func() string
	model func(m *model) string
}

func (r *durableRun) drawID(t *rapid.T) string {
	return fmt.Sprint(r.generation, "-",
		rapid.SampledFrom([]string{"a", "b", "c", "d", "e", "f"}).Draw(t, "id"))
}

func (r *durableRun) drawCheck(t *rapid.T) action {
	a, id, now := r.account(t), r.drawID(t), r.now
	cost, ttl := rapid.Int64Range(1, 3).Draw(t, "cost"), 1+upTo(90*time.Second).Draw(t, "ttl")
	return action{"check " + id, a, func() string {
		ask := limiter.Ask{ID: id, Cost: cost, TTL: time.Duration(ttl)}
		d, err := r.Check(limiter.Instant{Mono: now}, a.key, ask)
		if d.Verdict == limiter.Allowed && err == nil {
			return "allow"
		}
		return describe(d, err)
	}, func(m *model) string { return m.check(now, id, cost, ttl) }}
}

func (r *durableRun) drawCommit(t *rapid.T) action {
	a, id, now := r.account(t), r.drawID(t), r.now
	return action{"commit " + id, a, func() string {
		return outcome(r.Commit(limiter.Instant{Mono: now}, a.key, id, 0))
	}, func(m *model) string { return m.commit(now, id) }}
}

func (r *durableRun) drawRelease(t *rapid.T) action {
	a, id, now := r.account(t), r.drawID(t), r.now
	return action{"release " + id, a, func() string {
		return outcome(r.Release(limiter.Instant{Mono: now}, a.key, id))
	}, func(m *model) string { return m.release(id) }}
}

// answered makes a call, and compares its answer and the usage with the model's.
func (r *durableRun) answered(t *rapid.T, c action) {
	got := c.real()
	if wanted := c.on.expect(got, c.model); len(c.on.may) == 0 {
		t.Fatalf("at %s: %s of %s: got %q, want %q",
			time.Duration(r.now), c.what, c.on.key.Name, got, wanted)
	}
	r.compareUsage(t, c.on)
}

// compareUsage keeps the states that have the usage of the store.
func (r *durableRun) compareUsage(t *rapid.T, a *doubtful) {
	u, err := r.Usage(limiter.Instant{Mono: r.now}, a.key)
	if err != nil {
		t.Fatal(err)
	}
	before := a.may
	a.may = slices.DeleteFunc(slices.Clone(a.may), func(m *model) bool {
		return u.InFlight != m.inFlight().cost ||
			slices.ContainsFunc(u.Windows, func(w limiter.WindowUsage) bool {
				row := row{w.Unit, w.Window}
				return w.Limit != a.limits[w.Unit][w.Window] ||
					w.Used != row.used(m.sends, r.now) || w.InFlight != row.of(m.inFlight())
			})
	})
	if len(a.may) == 0 {
		t.Fatalf("at %s: the usage of %s is %+v, which fits none of %+v",
			time.Duration(r.now), a.key.Name, u, before)
	}
}

// replace deletes an account and creates it again.
func (r *durableRun) replace(t *rapid.T) {
	a := r.account(t)
	if rapid.Bool().Draw(t, "the deletion is noticed") {
		r.Purge(a.key)
	}
	a.fresh()
	r.Apply(a.key, a.uid(), limiter.Policy{Limits: a.limits})
	r.compareUsage(t, a)
}

// drawKill kills the process while some calls run, one after the other, and starts another.
func (r *durableRun) drawKill(t *rapid.T) {
	var calls []action
	for range rapid.IntRange(0, 3).Draw(t, "calls") {
		draw := rapid.SampledFrom([]func(*rapid.T) action{
			r.drawCheck, r.drawCommit, r.drawRelease,
		}).Draw(t, "call")
		calls = append(calls, draw(t))
	}
	replaced := rapid.SliceOfN(rapid.IntRange(0, 3), 2, 2).Draw(t, "replaced if 0")
	wait := upTo(rapid.SampledFrom([]time.Duration{0, 25 * time.Second, 9 * time.Minute}).
		Draw(t, "down")).Draw(t, "down for")
	n := rapid.IntRange(0, 10).Draw(t, "step")
	if n == 10 {
		n = rapid.IntRange(10, 200).Draw(t, "late step")
	}
	r.kill(t, n, func(func() bool) {
		for _, c := range calls {
			c.real()
		}
	}, func() {
		for _, c := range calls {
			c.on.doubt(c.model)
		}
		r.now += wait
		for i, a := range r.accounts {
			a.killed(r.now)
			if replaced[i] == 0 {
				a.fresh()
				r.exist[a.key] = object{a.uid(), limiter.Policy{Limits: a.limits}}
			}
		}
	})
	r.pass(0)
	for _, a := range r.accounts {
		r.compareUsage(t, a)
	}
}

// testLostIsLaterAndMore kills after random calls, and then follows the usage to the end of the
// day: what is lost may count more, and later, than what was answered, and never less.
func (s durableSuite) testLostIsLaterAndMore(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := &durableRun{process: s.start(t), generationEnd: int64(10 * time.Minute)}
		a := &doubtful{key: account}
		r.accounts = []*doubtful{a}
		a.fresh()
		r.Apply(a.key, a.uid(), limiter.Policy{})
		for range rapid.IntRange(1, 20).Draw(t, "calls") {
			r.pass(upTo(5*time.Second).Draw(t, "wait"))
			draw := rapid.SampledFrom([]func(*rapid.T) action{
				r.drawCheck, r.drawCheck, r.drawCommit, r.drawRelease,
			}).Draw(t, "call")
			r.answered(t, draw(t))
		}
		r.kill(t, 0, nil, nil)
		edges := []int64{r.now}
		end := a.may[0].clone()
		for _, h := range end.held {
			edges = append(edges, h.deadline-1, h.deadline)
		}
		end.expire(r.now + int64(2*time.Minute))
		for _, sent := range end.sends {
			for w := range limiter.Window(limiter.Windows) {
				left := sent.at + int64(w.Length())
				edges = append(edges, left-1, left)
			}
		}
		slices.Sort(edges)
		for _, at := range edges[1:] {
			if at < r.now {
				continue
			}
			full := a.may[0].clone() // as if nothing were lost
			full.expire(at)
			u, err := r.Usage(limiter.Instant{Mono: at}, account)
			if err != nil {
				t.Fatal(err)
			}
			for _, w := range u.Windows {
				want := row{w.Unit, w.Window}.used(full.sends, at) + full.inFlight().cost
				if got := w.Used + w.InFlight; got < want {
					t.Fatalf("at %s: the %v counts %d, but %d was answered",
						time.Duration(at), w.Window, got, want)
				}
			}
		}
	})
}
