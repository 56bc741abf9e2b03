package redis

import (
	"context"
	"encoding/binary"
	"sync"
	"time"

	"github.com/valkey-io/valkey-go"

	"github.com/sluice-mail/sluice/limiter"
)

// Of an account that is exhausted, callers ask again and again. A denial is remembered, and told to
// the next without a round trip, as long as the server would say the same: nothing was written to
// the account, nothing has left a window, and no reservation fell due. The server itself says when
// something is written, by whomever: it remembers which keys a client has read (client-side
// caching). So writers tell nobody, and a flushed or expired key is noticed as well. A publication
// for each write would cost every writer, of accounts that nobody asks about, too.
//
// What is told thus is as old as the server's word needs to arrive. That it is a denial makes it
// safe.

const (
	maxPresent   = 1024 // ids that are read to know which are not there
	maxAbsent    = 1024 // ids that the server said were not there
	trackFor     = 25 * time.Hour
	trackWithin  = 2 * time.Second
	cacheOfReads = 8 << 20 // bytes, of the client: it keeps what was read, which nobody reads twice
)

// denied is a denial. All but the absent ids and what tracking adds is constant.
type denied struct {
	reply  answer
	policy *limiter.Policy
	cost   int64
	state  state
	of     uint64        // the state of the store
	sent   time.Duration // before the call was made
	got    time.Duration // after it was answered

	tracked bool            // the server will tell of writes
	present map[string]bool // ids that are there; nil: not known

	mu     sync.Mutex
	absent map[string]struct{} // ids that are not
}

// denials knows whom to tell what the server says.
type denials struct {
	on bool // set before the first call

	mu       sync.Mutex
	accounts map[string]*account // those that the server tells of, by key
}

// deniedAgain answers a check from a remembered denial.
func (a *account) deniedAgain(
	now limiter.Instant, p *limiter.Policy, ask limiter.Ask,
) (d limiter.Decision, ok bool) {
	r := a.denial.Load()
	if r == nil || !r.tracked || r.policy != p || r.cost != ask.Cost {
		return d, false
	}
	s := a.store
	if s.health.state() != r.of || !ask.New && !r.isAbsent(idArgument(ask.ID)) {
		return d, false
	}
	// The server's clock is between these two.
	early, late := now.Mono, now.Mono
	if !s.options.TimeOfCalls {
		elapsed := s.clock.elapsed()
		early = r.reply.called + int64(elapsed-r.got)
		late = r.reply.called + int64(elapsed-r.sent)
	}
	if late >= r.state.until || late < r.reply.now {
		return d, false
	}
	reply, st := r.reply, r.state
	reply.asked = early
	for u := range st.free {
		for w := range st.free[u] {
			inFlight, cost := st.cost, ask.Cost
			if limiter.Unit(u) == limiter.Messages {
				inFlight, cost = reply.count, 1
			}
			if inFlight+cost > p.Limits[u][w] { // all must leave that could be sent from now on
				st.free[u][w] = late + int64(limiter.Window(w).Length())
			}
		}
	}
	d, ok = reply.deniedIn(&st, p, now, ask.Cost)
	if ok {
		s.metrics.denials.Inc()
	}
	return d, ok
}

// remember notes a denial. When it is the second in the same state of the account, more are to be
// expected: then the server is asked to tell when that changes.
func (a *account) remember(reply *answer, c *call, p *limiter.Policy, ask limiter.Ask) {
	s := a.store
	st, ok := reply.state()
	if !s.denials.on || !ok {
		return
	}
	of := s.health.state()
	before := a.denial.Load()
	if before != nil && before.policy == p && before.cost == ask.Cost && before.of == of &&
		before.reply.version == reply.version && before.reply.life == reply.life {
		before.add(c.id)
		if before.state.until == st.until && before.tracked {
			return
		}
		if !a.tracking.Swap(true) {
			go a.track(before.again(reply, st, s.clock.elapsed()))
		}
		return
	}
	got := s.clock.elapsed()
	fresh := &denied{
		reply: *reply, policy: p, cost: ask.Cost, state: st, of: of,
		sent: got - time.Duration(reply.called-reply.asked), got: got,
	}
	fresh.add(c.id)
	a.mu.Lock()
	defer a.mu.Unlock()
	if reply.version == a.version {
		a.denial.Store(fresh)
	}
}

// again is the same denial at a later instant.
func (r *denied) again(reply *answer, st state, got time.Duration) *denied {
	r.mu.Lock()
	defer r.mu.Unlock()
	absent := make(map[string]struct{}, len(r.absent))
	for id := range r.absent {
		absent[id] = struct{}{}
	}
	return &denied{
		reply: *reply, policy: r.policy, cost: r.cost, state: st, of: r.of,
		sent: got - time.Duration(reply.called-reply.asked), got: got, absent: absent,
	}
}

// add notes that an id is not there.
func (r *denied) add(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.absent == nil {
		r.absent = map[string]struct{}{}
	}
	if len(r.absent) < maxAbsent {
		r.absent[id] = struct{}{}
	}
}

// isAbsent reports whether it is known that an id is not there.
func (r *denied) isAbsent(id string) bool {
	if r.present != nil {
		return !r.present[id]
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	_, ok := r.absent[id]
	return ok
}

// track has the server tell when the account changes, and then has the denial remembered, if it has
// not changed since.
func (a *account) track(r *denied) {
	defer a.tracking.Store(false)
	s := a.store
	ctx, cancel := context.WithTimeout(context.Background(), trackWithin)
	defer cancel()
	client, err := s.link.get()
	if err != nil {
		return
	}
	before := a.changes.Load()
	s.denials.expect(a)
	// What is read is tracked from the first reply on: what is written later is told.
	header, size, ok := readTracked(ctx, client, a.keys[0])
	if !ok || len(header) < 9 || header[0] != 1 ||
		binary.BigEndian.Uint32(header[1:]) != r.reply.life ||
		binary.BigEndian.Uint32(header[5:]) != r.reply.version {
		return
	}
	if size <= maxPresent {
		keys := client.B().Hkeys().Key(a.keys[0]).Cache()
		ids, err := client.DoCache(ctx, keys, trackFor).AsStrSlice()
		if err != nil {
			return
		}
		r.present = make(map[string]bool, len(ids))
		for _, id := range ids {
			r.present[id] = true
		}
	}
	r.tracked = true
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.changes.Load() == before && a.version == r.reply.version && !a.closed &&
		s.health.state() == r.of {
		a.denial.Store(r)
	}
}

// readTracked reads the header and how many fields there are.
func readTracked(
	ctx context.Context, client valkey.Client, key string,
) (header []byte, size int64, ok bool) {
	results := client.DoMultiCache(ctx,
		valkey.CT(client.B().Hget().Key(key).Field("h").Cache(), trackFor),
		valkey.CT(client.B().Hlen().Key(key).Cache(), trackFor))
	header, err := results[0].AsBytes()
	if err != nil {
		return nil, 0, false
	}
	size, err = results[1].AsInt64()
	return header, size, err == nil
}

// expect has the account told what the server says of its key.
func (d *denials) expect(a *account) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.accounts[a.keys[0]] = a
}

// forget is for an account that was purged.
func (d *denials) forget(a *account) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.accounts[a.keys[0]] == a {
		delete(d.accounts, a.keys[0])
	}
}

// changed is called by the client: with the keys that were written, or with none if any may have
// been.
func (d *denials) changed(keys []valkey.ValkeyMessage) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if keys == nil {
		for _, a := range d.accounts {
			a.drop()
		}
		return
	}
	for i := range keys {
		key, err := keys[i].ToString()
		if a := d.accounts[key]; err == nil && a != nil {
			a.drop()
		}
	}
}

// drop forgets the denial: the account has changed.
func (a *account) drop() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.changes.Add(1)
	a.denial.Store(nil)
}
