package redis

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/valkey-io/valkey-go"

	"github.com/sluice-mail/sluice/limiter"
)

// Redis replicates after it has answered. So what it told lately may be lost when another server
// takes over, or when one starts again with what was on its disk. Each replica therefore remembers
// what it was told, and tells it anew, by id, before it lets anything out again. To tell what the
// server still knows changes nothing.

const (
	rememberCalls = 60 * time.Second
	maxRecent     = 1_000_000 // calls; above it the oldest are given up, some 50 MiB
	blockSize     = 4096
	tellTogether  = 256
	tellWithin    = time.Minute
)

// othersTell is how long a replica waits after it has noticed, so that the others have begun to
// tell, too. It changes for tests alone.
var othersTell = 1500 * time.Millisecond

// errAsserting is why nothing is let out meanwhile.
var errAsserting = errors.New("the server was replaced: what was granted lately is told anew")

// recentKind says what a call did.
type recentKind uint8

const (
	recentNone recentKind = iota
	recentCheck
	recentCommit
	recentRelease
)

// recentCall is one that has changed something.
type recentCall struct {
	account *account
	when    time.Duration // on the monotonic clock
	due     int64         // the deadline of a check
	cost    uint32
	kind    recentKind
	size    uint8
	id      [idSize + 1]byte
}

// recent are the calls of the last time, in the order of their answers.
type recent struct {
	on bool // set before the first call

	mu     sync.Mutex
	blocks [][]recentCall
}

// tells is whether an answer says that something has changed.
func (k recentKind) tells(s status) bool {
	switch k {
	case recentCheck:
		return s == statusAllowed
	case recentCommit:
		return s == statusCommitted || s == statusLate || s == statusUnreserved
	case recentRelease:
		return s == statusReleased
	case recentNone:
	}
	return false
}

// note remembers a call if it has changed something.
func (r *recent) note(a *account, c *call, reply *answer) {
	if !r.on || !c.kind.tells(reply.status) {
		return
	}
	one := recentCall{account: a, when: a.store.clock.elapsed(), kind: c.kind}
	one.size, one.cost = uint8(copy(one.id[:], c.id)), uint32(c.numbers[0])
	if n := len(reply.body); c.kind == recentCommit && n >= 4 { // what it counted
		one.cost = binary.BigEndian.Uint32(reply.body[n-4:])
		reply.body = reply.body[:n-4]
	}
	switch {
	case c.kind == recentCheck && len(reply.body) >= allowedSize:
		one.due = readInstant(reply.body[9:])
	case c.kind != recentCheck && len(reply.body) == idSize: // the oldest reservation's
		one.size = uint8(copy(one.id[:], reply.body))
	}
	r.add(one)
}

func (r *recent) add(one recentCall) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := len(r.blocks)
	if n == 0 || len(r.blocks[n-1]) == blockSize {
		old := one.when - rememberCalls
		for n > 0 && (n*blockSize >= maxRecent || r.blocks[0][blockSize-1].when < old) {
			r.blocks[0] = nil
			r.blocks = r.blocks[1:]
			n--
		}
		r.blocks = append(r.blocks, make([]recentCall, 0, blockSize))
		n++
	}
	r.blocks[n-1] = append(r.blocks[n-1], one)
}

// since returns the calls that are not older than an instant, in order.
func (r *recent) since(when time.Duration) []recentCall {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []recentCall
	for _, block := range r.blocks {
		for _, one := range block {
			if one.when >= when {
				all = append(all, one)
			}
		}
	}
	return all
}

// assert tells the server anew what this replica was told lately, and gives the other replicas the
// time to do so.
func (s *Store) assert(ctx context.Context, client valkey.Client) error {
	start := s.clock.elapsed()
	ctx, cancel := context.WithTimeout(ctx, tellWithin)
	defer cancel()
	s.lineage.Add(1) // none of the versions is known any more
	calls := s.recent.since(start - rememberCalls)
	for rest := calls; len(rest) > 0; {
		n := min(len(rest), tellTogether)
		err := s.telling.begin(ctx, client)
		if err == nil {
			err = s.assertSome(ctx, client, rest[:n])
		}
		if err != nil {
			return fmt.Errorf("what was granted lately could not be told anew: %w", err)
		}
		rest = rest[n:]
	}
	s.metrics.asserted.Add(float64(len(calls)))
	if len(calls) > 0 {
		s.options.Log.Info("redis may have lost what it told last: it was told anew",
			"calls", len(calls))
	}
	if err := s.telling.end(ctx, client); err != nil {
		return err
	}
	for wait := othersTell - (s.clock.elapsed() - start); ; wait = tellingPoll {
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return ctx.Err()
		}
		if others, err := s.telling.others(ctx, client); others == 0 || err != nil {
			return err
		}
	}
}

// assertSome tells some calls, in their order.
func (s *Store) assertSome(ctx context.Context, client valkey.Client, calls []recentCall) error {
	for whole := false; len(calls) > 0; {
		commands := make([]valkey.Completed, len(calls))
		for i := range calls {
			epoch, err := s.epochOf(ctx, client, calls[i].account)
			if err != nil {
				return err
			}
			c := calls[i].again()
			if commands[i] = calls[i].account.byHash(client, &c, epoch); whole {
				commands[i] = calls[i].account.inFull(client, &c, epoch)
			}
		}
		var again []recentCall
		for i, result := range client.DoMulti(ctx, commands...) {
			raw, err := result.AsBytes()
			if isNoScript(err) {
				again, whole = append(again, calls[i]), true
				continue
			}
			if err != nil {
				return err
			}
			switch reply, ok := readAnswer(raw); {
			case !ok:
				return errNoAnswer
			case reply.status == statusLost:
				return s.lost(calls[i].account)
			case reply.status == statusAgain:
				again = append(again, calls[i])
			}
		}
		calls = again
	}
	return nil
}

// again is the call that tells what was told.
func (r *recentCall) again() call {
	c := call{
		id: string(r.id[:r.size]), told: true,
		now: limiter.Instant{Mono: r.account.store.latest.Load()},
	}
	switch r.kind {
	case recentCheck:
		c.script = assertScript
		c.with(int64(r.cost), r.due/int64(time.Second), r.due%int64(time.Second))
	case recentCommit:
		c.script = commitScript
		c.with(int64(r.cost), 1)
	default:
		c.script = releaseScript
		c.with(1)
	}
	return c
}
