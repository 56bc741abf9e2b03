package limitertest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/sluice-mail/sluice/limiter"
)

// lives plays a script in one process after the other: each but the first after a kill, with all
// that was answered on the disk or not, as the store promises.
func (s durableSuite) lives(t *testing.T, p limiter.Policy, scripts ...string) {
	t.Helper()
	l := s.start(t)
	l.Apply(account, "uid-1", p)
	for i, script := range scripts {
		if i > 0 {
			l.kill(t, 0, nil, nil)
		}
		(&timeline{t: t, l: l.Harness}).play(script)
	}
}

// testAllowIsDurable kills after each kind of answer that must not be forgotten.
func (s durableSuite) testAllowIsDurable(t *testing.T) {
	for name, scripts := range map[string][]string{
		"an allowed check": {`
			0s  check a          -> allow 2`, `
			1s  usage            -> 0/0/0 + 1
			1s  check a          -> allow 2
			2s  commit a         -> committed`},
		"a repeated check": {`
			0s  check a          -> allow 2
			0s  check a          -> allow 2`, `
			1s  usage            -> 0/0/0 + 1`},
		"a commit that no reservation stands for": {`
			0s  commit a         -> unreserved
			1s  commit cost=2    -> unreserved`, `
			2s  usage            -> 3/3/3 + 0
			2s  commit a         -> unreserved
			2s  usage            -> 3/3/3 + 0
			59s usage            -> 3/3/3 + 0
			60s usage            -> 2/3/3 + 0
			61s usage            -> 0/3/3 + 0`},
		"a late commit": {`
			0s  check a ttl=10s  -> allow 2
			20s commit a         -> late`, `
			69s usage            -> 1/1/1 + 0
			70s usage            -> 1/1/1 + 0
			80s usage            -> 0/1/1 + 0
			80s commit a         -> late
			80s usage            -> 0/1/1 + 0`},
		"a commit that cost more than was reserved": {`
			0s  check a          -> allow 2
			1s  commit a cost=3  -> committed`, `
			2s  usage            -> 3/3/3 + 0
			2s  check b          -> defer 59s`},
		"a commit of what was released": {`
			0s  check a          -> allow 2
			1s  release a        -> released
			2s  commit a         -> unreserved`, `
			3s  usage            -> 1/1/1 + 0
			3s  commit a         -> unreserved
			3s  usage            -> 1/1/1 + 0`},
		"what was there before another kill": {`
			0s  check a          -> allow 2`, `
			0s  check b          -> allow 1`, ``, `
			1s  usage            -> 0/0/0 + 2
			1s  check c          -> allow 0`, `
			1s  check d          -> defer 1m0s`},
	} {
		t.Run(name, func(t *testing.T) { s.lives(t, perMinute(3), scripts...) })
	}
}

// testCommittedIsNotReleased releases what may have been committed before a kill that lost the
// commit: the mail has left.
func (s durableSuite) testCommittedIsNotReleased(t *testing.T) {
	s.lives(t, perMinute(3), `
		0s    check a ttl=100s  -> allow 2
		0s    check b ttl=100s  -> allow 1
		1s    commit a          -> committed`, `
		2s    release a         -> ended
		2s    release b         -> ended
		2s    release           -> ended
		2s    check c           -> allow 0
		2s    release c         -> released
		3s    commit a          -> committed
		3s    commit b          -> committed
		4s    usage             -> 2/2/2 + 0`, `
		123s  release           -> no reservation`)
}

// testDeadlinesPassWhileDown is G4 across a kill: a reservation counts at its deadline, also if
// nobody was there then, and at none other.
func (s durableSuite) testDeadlinesPassWhileDown(t *testing.T) {
	s.lives(t, perMinute(3), `
		0s            check a ttl=10s   -> allow 2
		0s            check b ttl=30s   -> allow 1`, `
		20s           usage             -> 1/1/1 + 1
		20s           release a         -> ended
		69.999999999s usage             -> 2/2/2 + 0
		70s           usage             -> 1/2/2 + 0`, `
		70s           check c ttl=5s    -> allow 1
		89.999999999s usage             -> 2/3/3 + 0
		90s           usage             -> 1/3/3 + 0
		91s           commit c          -> late
		135s          usage             -> 1/3/3 + 0
		150.999999999s usage            -> 1/3/3 + 0
		151s          usage             -> 0/3/3 + 0`)
}

// testDeletedStaysDeleted is G11 across kills: whenever the account was deleted, and created again
// or not, nothing is left of it.
func (s durableSuite) testDeletedStaysDeleted(t *testing.T) {
	other := limiter.Key{Namespace: account.Namespace, Name: "other"}
	remove := func(p *process) { p.Purge(account) }
	replace := func(p *process) {
		p.Purge(account)
		p.Apply(account, "uid-2", perMinute(3))
	}
	removeDown := func(p *process) { delete(p.exist, account) }
	replaceDown := func(p *process) { p.exist[account] = object{"uid-2", perMinute(3)} }
	nothing := func(*process) {}
	for name, c := range map[string]struct{ before, meanwhile func(*process) }{
		"deleted before":                          {remove, nothing},
		"created again before":                    {replace, nothing},
		"deleted meanwhile":                       {nothing, removeDown},
		"created again meanwhile":                 {nothing, replaceDown},
		"deleted before, created again meanwhile": {remove, replaceDown},
	} {
		t.Run(name, func(t *testing.T) {
			p := s.start(t)
			p.Apply(account, "uid-1", perMinute(3))
			p.Apply(other, "uid-1", perMinute(3))
			(&timeline{t: t, l: p.Harness}).play(`
				0s  commit x                -> unreserved
				0s  check a                 -> allow 1
				0s  check a account=other   -> allow 2`)
			c.before(p)
			p.kill(t, 0, nil, func() { c.meanwhile(p) })
			for range 2 {
				_, exists := p.exist[account]
				if !exists {
					(&timeline{t: t, l: p.Harness}).play(`
						1s  usage           -> no account
						1s  held            -> 1`)
					p.Apply(account, "uid-3", perMinute(3))
				}
				(&timeline{t: t, l: p.Harness}).play(`
					1s  usage               -> 0/0/0 + 0
					1s  release a           -> no reservation
					1s  held                -> 1
					1s  usage account=other -> 0/0/0 + 1`)
				p.kill(t, 0, nil, nil)
			}
		})
	}
}

// testEndedIDsAreRemembered is G5 across kills.
func (s durableSuite) testEndedIDsAreRemembered(t *testing.T) {
	// The last call is always one that is durable before it is answered, so that all are.
	s.lives(t, perMinute(0), `
		0s      check a             -> allow
		0s      check b             -> allow
		0s      check c ttl=5s      -> allow
		0s      check d ttl=5s      -> allow
		1s      commit a            -> committed
		2s      release b           -> released
		6s      commit d            -> late
		6s      commit e            -> unreserved`, `
		7s      commit a            -> committed
		7s      check a             -> ended
		7s      release a           -> ended
		7s      release b           -> released
		7s      check b             -> ended
		7s      release c           -> ended
		7s      commit d            -> late
		7s      commit e            -> unreserved
		7s      usage               -> 4/4/4 + 0
		7s      commit c            -> late
		7s      usage               -> 4/4/4 + 0`, `
		14m     commit a            -> committed
		14m     commit c            -> late
		14m     usage               -> 0/4/4 + 0
		15m     commit d            -> late
		15m1s   commit a            -> unreserved
		15m1s   usage               -> 1/5/5 + 0`)
}

// testBatch wants the results of many calls at once to be durable once they have returned.
func (s durableSuite) testBatch(t *testing.T) {
	const pairs = 20
	p := s.start(t)
	p.Apply(account, "uid-1", limiter.Policy{})
	var calls []limiter.Call
	for i := range pairs {
		ask := limiter.Ask{ID: fmt.Sprint(i), Cost: 1, TTL: time.Hour}
		calls = append(calls, limiter.Call{Key: account, Verb: limiter.ToCheck, Ask: ask},
			limiter.Call{Key: account, Verb: limiter.ToCommit, Ask: limiter.Ask{Cost: 2}})
	}
	if err := p.Do(context.Background(), limiter.Instant{Mono: 1}, calls); err != nil {
		t.Fatal(err)
	}
	for i, c := range calls {
		if allows := c.Decision.Verdict == limiter.Allowed; c.Err != nil || allows != (i%2 == 0) {
			t.Fatalf("call %d: %+v", i, c)
		}
	}
	p.kill(t, 0, nil, nil)
	u, err := p.Usage(limiter.Instant{Mono: 2}, account)
	if got := u.Window(limiter.Cost, limiter.Day).Used + u.InFlight; err != nil || got != 2*pairs {
		t.Errorf("%d count, %v, want %d", got, err, 2*pairs)
	}
}
