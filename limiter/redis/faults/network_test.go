package faults

import (
	"errors"
	"testing"
	"time"

	"github.com/sluice-mail/sluice/limiter"
	"github.com/sluice-mail/sluice/limiter/redis/redistest"
)

// slow are limits that are not reached before everything has failed that is to.
var slow = limiter.Limits{limiter.Cost: {limiter.Second: 30, limiter.Hour: 1000}}

// TestNetworkThatFails has the network of one replica fail in every way, while another's does not.
// What was asked again after a reply got lost counts once.
func TestNetworkThatFails(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]func(p *redistest.Proxy, l *load){
		"latency that calls survive": func(p *redistest.Proxy, l *load) {
			p.SetDelay(redistest.Delay{
				Requests: 30 * time.Millisecond, Replies: 30 * time.Millisecond, Jitter: 30 * time.Millisecond,
			})
			l.awaitAllowed(50)
		},
		"latency that they do not survive": func(p *redistest.Proxy, l *load) {
			p.SetDelay(redistest.Delay{Replies: 600 * time.Millisecond})
			l.awaitRefused(100)
		},
		"cut connections": func(p *redistest.Proxy, l *load) {
			for range 20 {
				p.Cut()
				l.awaitAllowed(5)
			}
		},
		"bytes that come one by one": func(p *redistest.Proxy, l *load) {
			p.SetSliced(true)
			l.awaitAllowed(50)
		},
		"lost replies": func(p *redistest.Proxy, l *load) {
			lose(p, l, 5, redistest.Loss{To: "EVALSHA"})
		},
		"half-written replies": func(p *redistest.Proxy, l *load) {
			lose(p, l, 5, redistest.Loss{To: "EVALSHA", After: 20})
		},
		"half-written replies, and then silence": func(p *redistest.Proxy, l *load) {
			lose(p, l, 1, redistest.Loss{To: "EVALSHA", After: 20, Silent: true})
			l.awaitRefused(callers)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := redistest.New(t, redistest.Options{})
			p := redistest.NewProxy(t, s.Address())
			near := ready(t, options(s.URL()), slow)
			far := ready(t, options("redis://"+p.Address()), slow)
			l := send(t, near, far)
			l.awaitAllowed(20)
			fail(p, l)
			p.Heal(t)
			far.awaitReady(t)
			l.awaitAllowed(20)
			l.finish(slow)
		})
	}
}

// lose loses replies, one after the other.
func lose(p *redistest.Proxy, l *load, times int, loss redistest.Loss) {
	loss.Times = 1
	for n := range times {
		p.Lose(loss)
		until(l.t, "a reply gets lost", func() error {
			if p.Counts().Lost <= n {
				return errors.New("not yet")
			}
			return nil
		})
		l.pause(10 * again)
	}
}
