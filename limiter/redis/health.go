package redis

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
)

// maxFailures is how many calls in a row get no answer before calls are refused at once, until a
// probe gets one.
const maxFailures = 8

// health is whether calls may be answered. A probe finds out: every second, and at once after a
// connection was made. A connection may lead to another server, so that no check is answered
// between it and the next good probe.
type health struct {
	made     atomic.Uint64 // connections so far, and what else may lead to another server
	good     atomic.Uint64 // how many of them the last good probe knew; 0 if it was not good
	failures atomic.Int64  // calls in a row without an answer
	answers  atomic.Uint64 // calls with one
	behind   atomic.Bool   // an account is older than what this replica has seen of it
	kick     chan struct{} // has the prober go to work

	mu   sync.Mutex
	why  error         // the last probe was not good
	wake chan struct{} // closed with the next probe
}

var errNotProbed = errors.New("the server has not answered yet")

func newHealth() health {
	return health{kick: make(chan struct{}, 1), why: errNotProbed, wake: make(chan struct{})}
}

// connected notes a new connection.
func (h *health) connected() {
	h.made.Add(1)
	h.probe()
}

// probe has the prober go to work at once.
func (h *health) probe() {
	select {
	case h.kick <- struct{}{}:
	default:
	}
}

// state returns what the store can be relied on now, as a number that another state does not have,
// or 0.
func (h *health) state() uint64 {
	if good := h.good.Load(); good == h.made.Load() {
		return good
	}
	return 0
}

// await returns the state once it is not 0. It waits for the probe that a connection has brought
// on, but not where the last one was not good.
func (h *health) await(ctx context.Context) (uint64, error) {
	for {
		if state := h.state(); state != 0 {
			return state, nil
		}
		h.mu.Lock()
		why, wake := h.why, h.wake
		h.mu.Unlock()
		if why != nil {
			return 0, why
		}
		select {
		case <-wake:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

// up returns why calls are refused, or nil.
func (h *health) up() error {
	if h.state() != 0 {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.why
}

// probed notes what a probe that began with so many connections has found.
func (h *health) probed(made uint64, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.why = err
	if err == nil {
		h.failures.Store(0)
		h.good.Store(made)
	} else {
		h.good.Store(0)
	}
	close(h.wake)
	h.wake = make(chan struct{})
}

// answered notes that a call got an answer.
func (h *health) answered() {
	h.answers.Add(1)
	if h.failures.Load() != 0 {
		h.failures.Store(0)
	}
}

// failed notes that a call got no answer. After some in a row it is the breaker that opens: then it
// reports true.
func (h *health) failed(err error) (opened bool) {
	return h.failures.Add(1) >= maxFailures && h.refuse(err)
}

// refuse has all calls refused until the next good probe. It reports whether they were not before.
func (h *health) refuse(err error) (changed bool) {
	h.mu.Lock()
	if changed = h.why == nil; changed {
		h.why = err
	}
	h.good.Store(0)
	h.made.Add(1) // so that no later state is this one
	h.mu.Unlock()
	h.probe()
	return changed
}
