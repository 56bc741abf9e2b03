package limitertest

import (
	"testing"

	"github.com/sluice-mail/sluice/limiter"
)

// Durable is a store under test whose process can be killed. It is for one goroutine.
type Durable interface {
	// Open opens the store, for a process that was just started.
	Open(t TB) limiter.Store
	// Kill runs calls, and kills the process at one of its steps meanwhile: the n-th thing that it
	// does to its disk, or after all. What the calls return after killed has become true was heard
	// by nobody. The store that was open is closed in the end.
	Kill(t TB, n int, calls func(killed func() bool))
}

// NewDurable makes a durable store that holds nothing, for a test.
type NewDurable func(t TB, o Options) Durable

// durableSuite runs its tests on one kind of durable store.
type durableSuite struct{ newDurable NewDurable }

// RunDurable runs the tests for stores that outlive their process, each on stores of its own:
// whenever it is killed, nothing that was answered is forgotten, but for commits and releases whose
// loss counts more.
func RunDurable(t *testing.T, newDurable NewDurable) {
	s := durableSuite{newDurable}
	for _, c := range []struct {
		name string
		test func(*testing.T)
	}{
		{"AllowIsDurable", s.testAllowIsDurable},
		{"CommittedIsNotReleased", s.testCommittedIsNotReleased},
		{"DeadlinesPassWhileDown", s.testDeadlinesPassWhileDown},
		{"DeletedStaysDeleted", s.testDeletedStaysDeleted},
		{"EndedIDsAreRemembered", s.testEndedIDsAreRemembered},
		{"Batch", s.testBatch},
		{"Model", s.testModel},
		{"LostIsLaterAndMore", s.testLostIsLaterAndMore},
		{"Observer", s.testObserver},
		{"ConcurrentCallers", s.testConcurrentCallers},
	} {
		t.Run(c.name, c.test)
	}
}

// process is a limiter over a durable store, in one process after the other.
type process struct {
	*Harness
	durable Durable
	// exist are the accounts that there are, whoever is running to know it.
	exist map[limiter.Key]object
}

// object is an account as the cluster has it.
type object struct {
	uid    string
	policy limiter.Policy
}

func (s durableSuite) start(t TB) *process {
	p := &process{durable: s.newDurable(t, Options{}), exist: map[limiter.Key]object{}}
	p.begin(t)
	return p
}

// begin starts a process: it opens the store, is told of all accounts, and then that this was all.
func (p *process) begin(t TB) {
	t.Helper()
	store := p.durable.Open(t)
	l := limiter.New(store)
	for k, o := range p.exist {
		Apply(t, l, k, o.uid, o.policy)
	}
	l.MarkLoaded()
	p.Harness = &Harness{l, store, t}
}

// Apply creates an account, or changes it.
func (p *process) Apply(k limiter.Key, uid string, policy limiter.Policy) (changed bool) {
	p.t.Helper()
	p.exist[k] = object{uid, policy}
	return p.Harness.Apply(k, uid, policy)
}

// Purge deletes an account.
func (p *process) Purge(k limiter.Key) (entries int) {
	p.t.Helper()
	delete(p.exist, k)
	return p.Harness.Purge(k)
}

// kill kills the process at the n-th step that it does while calls run, and starts another. What
// else happens, happens while none runs.
func (p *process) kill(t TB, n int, calls func(killed func() bool), meanwhile func()) {
	t.Helper()
	if calls == nil {
		calls = func(func() bool) {}
	}
	p.durable.Kill(t, n, calls)
	if meanwhile != nil {
		meanwhile()
	}
	p.begin(t)
}
