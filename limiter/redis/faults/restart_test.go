package faults

import (
	"testing"

	"github.com/sluice-mail/sluice/limiter/redis/redistest"
)

// TestKilledServerWithAOF kills the server while mails are sent. What it answered was written by
// then, though perhaps not synced, and only a power cut takes that. So nothing is over.
func TestKilledServerWithAOF(t *testing.T) {
	t.Parallel()
	for _, fsync := range []string{"always", "everysec"} {
		t.Run(fsync, func(t *testing.T) {
			t.Parallel()
			s := redistest.New(t, redistest.Options{AOF: fsync})
			o := options(s.URL())
			o.Keeper = &keeper{}
			all := pair(t, o)
			l := send(t, all...)
			for range 2 {
				l.awaitAllowed(20)
				s.Kill(t)
				l.awaitRefused(50)
				l.wantRefused(all[0])
				s.Restart(t)
			}
			l.awaitAllowed(20)
			ready(t, o, limits) // a pod that starts only now
			l.finish(limits)
		})
	}
}

// TestKilledServerWithoutAOF has the server start empty. Nobody is let through until an operator
// accepts that, neither by replicas that saw it nor by new ones. The replicas tell the server what
// they were told in the last 60 s: so nothing is over here, where all of them live on.
func TestKilledServerWithoutAOF(t *testing.T) {
	t.Parallel()
	s := redistest.New(t, redistest.Options{})
	o := options(s.URL())
	o.Keeper = &keeper{}
	all := pair(t, o)
	l := send(t, all...)
	l.awaitAllowed(20)
	s.Restart(t)
	var epoch string
	for _, r := range append(all, open(t, o, limits)) {
		epoch = r.awaitLost(t)
		l.wantRefused(r)
	}
	before := l.allowed.Load()
	l.awaitRefused(50)
	if after := l.allowed.Load(); after != before {
		t.Errorf("%d were allowed after the loss", after-before)
	}
	acceptLoss(t, s.URL(), epoch)
	l.awaitAllowed(20)
	l.finish(limits)
}

// TestAllIsLost has neither the server nor a replica remember. That is noticed all the same. When
// an operator accepts it, the account begins anew: all that was sent may be over.
func TestAllIsLost(t *testing.T) {
	t.Parallel()
	s := redistest.New(t, redistest.Options{})
	o := options(s.URL())
	o.Keeper = &keeper{}
	first := ready(t, o, limits)
	l := send(t, first)
	l.awaitAllowed(20)
	l.end()
	if err := first.stop(); err != nil {
		t.Error(err)
	}
	s.Restart(t)
	second := open(t, o, limits)
	epoch := second.awaitLost(t)
	l.wantRefused(second)
	acceptLoss(t, s.URL(), epoch)
	second.awaitReady(t)
	lost := l.allowed.Load()
	l.also(second).finishOver(limits, plus(limits, lost), lost)
}
