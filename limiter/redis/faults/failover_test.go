package faults

import (
	"testing"
	"time"

	"github.com/sluice-mail/sluice/limiter"
	"github.com/sluice-mail/sluice/limiter/redis"
	"github.com/sluice-mail/sluice/limiter/redis/redistest"
)

// TestFailoverLosesWrites has a primary die with writes that no replica of it has. The Sluice
// replicas that were told of them live on, and tell the next primary: nothing is over.
func TestFailoverLosesWrites(t *testing.T) {
	t.Parallel()
	s := redistest.NewSentinels(t, redistest.Options{})
	o := options(s.URL())
	o.Keeper = &keeper{}
	l := send(t, pair(t, o)...)
	l.awaitAllowed(20)
	s.AwaitReplicas(t, 2)
	s.StopReplication(t)
	l.awaitAllowed(50) // nobody but the primary and these replicas knows of them
	s.Primary(t).Kill(t)
	s.Failover(t)
	l.awaitAllowed(20)
	l.finish(limits)
}

// TestFailoverAndDeath has a Sluice replica die with the primary. What it alone knew is lost: as
// much may be over as it granted in the moment before that no replica of the primary has got.
func TestFailoverAndDeath(t *testing.T) {
	t.Parallel()
	s := redistest.NewSentinels(t, redistest.Options{})
	o := options(s.URL())
	o.Keeper = &keeper{}
	mortal, survivor := ready(t, o, limits), ready(t, o, limits)
	l := send(t, survivor)
	l.awaitAllowed(20)
	s.AwaitReplicas(t, 2)
	s.StopReplication(t)
	theirs := l.also(mortal)
	theirs.awaitAllowed(20)
	theirs.end()
	if err := mortal.stop(); err != nil {
		t.Error(err)
	}
	s.Primary(t).Kill(t)
	s.Failover(t)
	l.awaitAllowed(20)
	lost := theirs.allowed.Load()
	l.finishOver(limits, plus(limits, lost), lost)
}

// TestFailoverAfterWait has replicas wait until one replica of the primary has what was granted.
// While none follows, nobody is let through; so a Sluice replica that dies with the primary takes
// nothing with it that counts.
func TestFailoverAfterWait(t *testing.T) {
	t.Parallel()
	s := redistest.NewSentinels(t, redistest.Options{})
	o := options(s.URL())
	o.Keeper = &keeper{}
	o.Wait = redis.Wait{Replicas: 1}
	o.Timeout = time.Second
	mortal, survivor := ready(t, o, limits), ready(t, o, limits)
	theirs := send(t, mortal)
	theirs.awaitAllowed(20)
	s.StopReplication(t)
	theirs.awaitRefused(callers)
	before := theirs.allowed.Load()
	theirs.awaitRefused(2 * callers)
	if n := theirs.allowed.Load() - before; n > 0 {
		t.Errorf("%d were allowed that no replica has", n)
	}
	theirs.end()
	if err := mortal.stop(); err != nil {
		t.Error(err)
	}
	s.Primary(t).Kill(t)
	s.Failover(t)
	l := theirs.also(survivor)
	l.awaitAllowed(20)
	l.finish(limits)
}

// plus is limits that so much more fits into.
func plus(l limiter.Limits, n int64) limiter.Limits {
	for u := range l {
		for w := range l[u] {
			if l[u][w] > 0 {
				l[u][w] += n
			}
		}
	}
	return l
}
