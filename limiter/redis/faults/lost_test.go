package faults

import (
	"testing"

	"github.com/sluice-mail/sluice/limiter/redis/redistest"
)

// TestFlushedServer has somebody empty the server while mails are sent. The very next check notices
// it. What was sent in the last 60 s is told anew when an operator goes on: nothing is over.
func TestFlushedServer(t *testing.T) {
	t.Parallel()
	s := redistest.New(t, redistest.Options{})
	o := options(s.URL())
	o.Keeper = &keeper{}
	all := pair(t, o)
	l := send(t, all...)
	l.awaitAllowed(20)
	s.Command(t, "FLUSHALL")
	var epoch string
	for _, r := range all {
		epoch = r.awaitLost(t)
		l.wantRefused(r)
	}
	acceptLoss(t, s.URL(), epoch)
	l.awaitAllowed(20)
	l.finish(limits)
}

// TestReplacedServer has the address of the server lead to another one, which has sent mails of its
// own.
func TestReplacedServer(t *testing.T) {
	t.Parallel()
	s, other := redistest.New(t, redistest.Options{}), redistest.New(t, redistest.Options{})
	p := redistest.NewProxy(t, s.Address())
	o := options("redis://" + p.Address())
	o.Keeper = &keeper{}
	r := ready(t, o, limits)
	stranger := ready(t, options(other.URL()), limits)
	l := send(t, r)
	l.awaitAllowed(20)
	p.SetTo(other.Address())
	p.Cut()
	epoch := r.awaitLost(t)
	l.wantRefused(r)
	if stranger.store.Ready() != nil {
		t.Error("whose store it is cannot use it any more")
	}
	p.SetTo(s.Address())
	p.Cut()
	r.awaitReady(t) // nothing was lost
	if o.Keeper.(*keeper).epoch != epoch {
		t.Error("another epoch is kept")
	}
	l.finish(limits)
}
