package journal

import (
	"context"
	"encoding/binary"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-mail/sluice/limiter"
)

const (
	// maxFrame is how many bytes of records a frame takes before another is begun.
	maxFrame = 1 << 20
	// maxBacklog is how many bytes of records may wait for the disk before calls are refused: a
	// million commits.
	maxBacklog = 64 << 20
	// gatherFor is how long records that nobody waits for may wait for others.
	gatherFor = 2 * time.Millisecond
	// idleAfter is how long the log may be silent before it notes what the clocks show.
	idleAfter = 10 * time.Second
	// patience is how long a call waits for the disk.
	patience = time.Second
)

// log is the write-ahead log: records get consecutive numbers (LSN) as they come, and one goroutine
// writes them in that order, all that came during one write with the next (group commit).
type log struct {
	// write writes a frame of records, the first of which has an LSN. It returns when they are as
	// durable as answers need.
	write func(first uint64, g *group) error
	// synced is one more than the last LSN that is as durable as answers need.
	synced atomic.Uint64
	// since is when the write that is under way began, as Unix nanoseconds, or 0.
	since   atomic.Int64
	backlog atomic.Int64  // bytes of the queue
	wake    chan struct{} // has an element after a record came
	demand  chan struct{} // has an element after somebody began to wait
	quit    chan struct{} // closed by stop
	ended   chan struct{} // closed when run has returned
	failed  chan struct{} // closed by fail
	closed  atomic.Bool   // set by fail and stop: no more records are taken

	mu      sync.Mutex // guards what follows; may be taken while an account is locked
	next    uint64     // the LSN of the next record
	queue   []*group   // that are not on the disk
	writing *group     // the first of the queue, while it is written
	spare   []byte     // a buffer to use again
	err     error      // why the log has failed
	over    bool       // run has returned
}

// group is the records of one frame.
type group struct {
	first   uint64
	records uint64
	base    int64 // the instant that the records count from
	body    []byte
	size    int // of the body that is in the backlog
	// done is closed when the group is on the disk, or nobody is to wait for it any more.
	done        chan struct{}
	woken       bool      // whether done is closed
	waitedSince time.Time // when the first began to wait; zero if nobody does
}

// wake ends all waiting for the group. The caller holds the log's mutex.
func (g *group) wake() {
	if !g.woken {
		g.woken = true
		close(g.done)
	}
}

func newLog(next uint64, write func(first uint64, g *group) error) *log {
	l := &log{
		write: write, next: next,
		wake: make(chan struct{}, 1), demand: make(chan struct{}, 1),
		quit: make(chan struct{}), ended: make(chan struct{}), failed: make(chan struct{}),
	}
	l.synced.Store(next)
	return l
}

// begin locks the log, and returns the group to whose body the caller appends records, of an
// instant. It must call end.
func (l *log) begin(at int64) *group {
	l.mu.Lock()
	return l.current(at)
}

// end adds what was appended since begin to the log, and returns the LSN of the last record.
func (l *log) end(g *group, records uint64) (last uint64) {
	l.backlog.Add(int64(len(g.body) - g.size))
	g.size = len(g.body)
	g.records += records
	l.next += records
	last = l.next - 1
	l.mu.Unlock()
	signal(l.wake)
	return last
}

// current returns the group that takes the next record. The caller holds mu.
func (l *log) current(at int64) *group {
	if n := len(l.queue); n > 0 {
		if g := l.queue[n-1]; g != l.writing && len(g.body) < maxFrame {
			return g
		}
	}
	g := &group{first: l.next, base: at, body: l.spare[:0], done: make(chan struct{})}
	l.spare = nil
	l.queue = append(l.queue, g)
	return g
}

// signal puts an element into a channel of one.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default: // it was told already
	}
}

// Wait returns once the record with an LSN is durable, or [limiter.ErrStoreUnavailable] when the
// log has failed, or the disk takes longer than patience. So it needs no look at the context: a
// plain receive costs the least where hundreds wait.
func (l *log) Wait(_ context.Context, lsn uint64) error {
	if lsn < l.synced.Load() {
		return nil
	}
	if done := l.waitFor(lsn); done != nil {
		signal(l.demand)
		<-done
	}
	if lsn < l.synced.Load() {
		return nil
	}
	return limiter.ErrStoreUnavailable
}

// waitFor returns what is closed once a record is durable, or given up; nil if it is durable, or
// never will be.
func (l *log) waitFor(lsn uint64) <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil || l.over {
		return nil // nobody would wake the caller
	}
	for _, g := range l.queue {
		if lsn < g.first+g.records {
			if g.waitedSince.IsZero() {
				g.waitedSince = time.Now()
			}
			return g.done
		}
	}
	return nil
}

// watch gives up waiting for what the disk has not taken in time, until run has returned.
func (l *log) watch() {
	tick := time.NewTicker(patience / 20)
	defer tick.Stop()
	for {
		select {
		case <-l.ended:
			return
		case <-l.failed:
			return
		case <-tick.C:
			l.giveUp(time.Now().Add(-patience))
		}
	}
}

// giveUp wakes those who have waited since an instant or longer. What they wait for stays in the
// queue, and is written when the disk answers.
func (l *log) giveUp(since time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, g := range l.queue {
		if !g.waitedSince.IsZero() && g.waitedSince.Before(since) {
			g.wake()
		}
	}
}

// admits returns why nothing that needs the disk may be begun, or nil.
func (l *log) admits() error {
	if since := l.since.Load(); since != 0 && time.Now().UnixNano()-since > int64(patience) {
		return limiter.ErrStoreUnavailable
	}
	return l.accepts()
}

// accepts returns why no record can be taken, or nil.
func (l *log) accepts() error {
	if l.closed.Load() || l.backlog.Load() > maxBacklog {
		return limiter.ErrStoreUnavailable
	}
	return nil
}

// fail ends the log: what is not durable never will be. Only the first error counts.
func (l *log) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed.Store(true)
	if l.err == nil {
		l.err = err
		close(l.failed)
	}
	for _, g := range l.queue {
		g.wake()
	}
}

// failure returns why the log has failed, or nil.
func (l *log) failure() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// run writes records until stop, and then those that are left. It calls idle when it has had
// nothing to do for a while.
func (l *log) run(idle func()) {
	defer l.finish()
	timer := time.NewTimer(idleAfter)
	defer timer.Stop()
	for stopping := false; ; {
		// Callers that are about to append go first: where the processor is what is scarce, fewer
		// and larger frames leave more of it.
		runtime.Gosched()
		if g := l.take(); g != nil {
			if !l.commit(g) {
				return
			}
			timer.Reset(idleAfter)
			continue
		}
		if stopping {
			return
		}
		select {
		case <-l.wake:
			l.gather()
		case <-timer.C:
			idle()
			timer.Reset(idleAfter)
		case <-l.quit:
			stopping = true
		case <-l.failed:
			return
		}
	}
}

// finish wakes whoever came too late, and tells that run has returned.
func (l *log) finish() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.over = true
	for _, g := range l.queue {
		g.wake()
	}
	close(l.ended)
}

// gather waits a little for more records, unless somebody waits for those that are there.
func (l *log) gather() {
	timer := time.NewTimer(gatherFor)
	defer timer.Stop()
	select {
	case <-l.demand:
	case <-timer.C:
	case <-l.quit:
	}
}

// take returns the next group to write, or nil.
func (l *log) take() *group {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.queue) == 0 || l.err != nil {
		return nil
	}
	l.since.Store(time.Now().UnixNano())
	l.writing = l.queue[0]
	return l.writing
}

// commit writes a group, and tells those who wait for it. It reports whether that went well.
func (l *log) commit(g *group) bool {
	err := l.write(g.first, g)
	if err != nil {
		l.fail(err)
		return false
	}
	l.mu.Lock()
	l.queue[0] = nil
	l.queue = l.queue[1:]
	l.writing = nil
	l.since.Store(0)
	l.backlog.Add(-int64(g.size))
	if cap(g.body) <= maxFrame {
		l.spare = g.body
	}
	g.body = nil
	l.synced.Store(g.first + g.records)
	g.wake()
	l.mu.Unlock()
	return true
}

// reset has the log begin at an LSN. Nothing was appended yet.
func (l *log) reset(next uint64) {
	l.next = next
	l.synced.Store(next)
}

// start returns the LSN of the first record that is not on the disk, or will be the next.
func (l *log) start() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.queue) > 0 {
		return l.queue[0].first
	}
	return l.next
}

// sync returns when all records that were appended until now are durable.
func (l *log) sync(ctx context.Context) error {
	l.mu.Lock()
	last := l.next - 1
	l.mu.Unlock()
	for {
		err := l.Wait(ctx, last)
		if err == nil || l.failure() != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(patience / 20):
		}
	}
}

// stop has run write what is left and return.
func (l *log) stop() { close(l.quit) }

// wait waits until run has returned or the log has failed. It reports whether that came in time.
func (l *log) wait(patience time.Duration) bool {
	select {
	case <-l.ended:
	case <-l.failed:
	case <-time.After(patience):
		return false
	}
	return true
}

// encode appends the frame of a group, written at an instant.
func (g *group) encode(b []byte, at reading) []byte {
	b = at.appendTo(b)
	b = binary.AppendUvarint(b, g.records)
	b = binary.AppendVarint(b, g.base)
	return append(b, g.body...)
}
