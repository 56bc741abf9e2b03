package journal

import (
	"cmp"
	"context"
	"encoding/binary"
	"io"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/dchest/siphash"
	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluice-mail/sluice/limiter"
	"github.com/sluice-mail/sluice/limiter/memory"
)

// Options are what a [Store] is made of.
type Options struct {
	// Dir is the data directory. It is made if it is not there.
	Dir string
	// Sync is how long an answer may come before what it changed is on the disk: at most so much is
	// lost in a power cut. 0: not at all; an Allow waits for the disk. Nothing is lost in either
	// case if the process alone ends.
	Sync time.Duration
	// TrustClock believes the wall clock after a reboot also if the kernel does not call it
	// synchronised.
	TrustClock bool
	// AcceptLoss says what may be forgotten of a journal that is damaged.
	AcceptLoss AcceptLoss
	// Memory are the bounds. HashID is the store's own.
	Memory memory.Options
	// Registry gets the metrics. It may be nil.
	Registry prometheus.Registerer
	// Log gets what happens to the journal. The zero value drops it.
	Log logr.Logger

	fs     vfs.FS  // nil: the disk's
	clocks *clocks // nil: the machine's
	minLog int64   // 0: minLog
}

// Store is a [limiter.Store]: the store in memory, made durable. Make one with [New], and have it
// read its journal with [Store.Recover] before the first call.
type Store struct {
	*memory.Store
	clock   limiter.Clock
	clocks  *clocks
	logger  logr.Logger
	metrics *metrics
	dir     string
	accept  AcceptLoss
	minLog  int64
	idKey   [2]uint64

	// These are there once Recover has returned nil, until Close.
	opened  atomic.Bool
	disk    *disk
	lock    io.Closer
	witness *witness
	options *pebble.Options
	db      *pebble.DB
	log     *log

	ctx            context.Context // ends with the store
	cancel         context.CancelFunc
	closing        chan struct{}
	snapshotsEnded chan struct{}
	grown          chan struct{} // has an element after the log has grown past what is due
	generation     header        // of the newest snapshot; for the goroutine of snapshots
	snapshotBytes  atomic.Int64
	logBytes       atomic.Int64  // since the newest snapshot
	purgedAt       atomic.Int64  // when the first account was purged since, as Unix nanoseconds
	written        atomic.Uint64 // the last LSN that was written
	// With a pace: since when something is written and not synced, and the same of what a sync that
	// runs is for; Unix nanoseconds, or 0.
	unsynced, syncing atomic.Int64

	mu        sync.Mutex               // may be taken while an account is locked
	accounts  map[uint64]*account      // those that have a number
	numbers   uint64                   // the highest number that was given
	recovered map[limiter.Key]*account // those that nobody has opened yet
}

var _ limiter.BatchStore = (*Store)(nil)

// New returns a Store that has not been recovered yet, and does nothing.
func New(o Options) *Store {
	if o.fs == nil {
		o.fs = vfs.Default
	}
	if o.clocks == nil {
		o.clocks = systemClocks()
	}
	if o.TrustClock {
		o.clocks = o.clocks.trusting()
	}
	s := &Store{
		clock: limiter.StartClock(), clocks: o.clocks, logger: o.Log, dir: o.Dir,
		accept: o.AcceptLoss, minLog: cmp.Or(o.minLog, minLog),
		closing: make(chan struct{}), snapshotsEnded: make(chan struct{}),
		grown:    make(chan struct{}, 1),
		accounts: map[uint64]*account{}, recovered: map[limiter.Key]*account{},
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.disk = newDisk(o.fs, o.Sync, s.diskFull, func(err error) { s.log.fail(err) })
	s.metrics = newMetrics(o.Registry, s)
	o.Memory.HashID = s.hashID
	s.Store = memory.New(o.Memory)
	s.log = newLog(1, s.write)
	return s
}

// Clock returns the limiter's clock. It goes on where the journal's time ended; before
// [Store.Recover] has returned it means nothing.
func (s *Store) Clock() limiter.Clock { return s.clock }

// hashID is a keyed hash, so that nobody outside can make two ids collide. Its key is in the
// journal, as the hashes are.
func (s *Store) hashID(id string) memory.IDHash {
	// Hash128 only reads.
	bytes := unsafe.Slice(unsafe.StringData(id), len(id)) //nolint:gosec // all of id, no more
	return memory.NewIDHash(siphash.Hash128(s.idKey[0], s.idKey[1], bytes))
}

func (s *Store) setIDKey(key [16]byte) {
	s.idKey = [2]uint64{
		binary.LittleEndian.Uint64(key[:8]), binary.LittleEndian.Uint64(key[8:]),
	}
}

// Open returns what the journal has of an account, or a new one. An account with the same key and
// another uid is an earlier life of it: it is purged. See [limiter.Store].
func (s *Store) Open(key limiter.Key, uid string) limiter.Account {
	s.mu.Lock()
	found := s.recovered[key]
	delete(s.recovered, key)
	s.mu.Unlock()
	if found != nil {
		if found.who.uid == uid {
			return found
		}
		_, _ = found.Purge(s.ctx)
	}
	return s.newAccount(0, identity{key, uid})
}

func (s *Store) newAccount(number uint64, who identity) *account {
	a := &account{store: s, who: who, number: number}
	a.Account = s.OpenRecorded(a.record)
	return a
}

// Loaded purges the accounts that nobody has opened: they were deleted meanwhile.
func (s *Store) Loaded() {
	s.mu.Lock()
	gone := s.recovered
	s.recovered = nil
	s.mu.Unlock()
	for _, a := range gone {
		_, _ = a.Purge(s.ctx)
	}
	if len(gone) > 0 {
		s.logger.Info("accounts of the journal no longer exist, and were purged",
			"accounts", len(gone))
	}
}

// introduce gives an account its number.
func (s *Store) introduce(a *account) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.numbers++
	a.number = s.numbers
	s.accounts[a.number] = a
}

// forget takes an account out of the next snapshot, and has its purge written in the same step: a
// snapshot without it comes after that record, and one with it before.
func (s *Store) forget(a *account, purge memory.Effect) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a.append(&purge, false)
	delete(s.accounts, a.number)
	s.purgedAt.CompareAndSwap(0, time.Now().UnixNano())
}

// admits returns why no check can be answered, or nil.
func (s *Store) admits() error {
	if s.disk.waiting.Load() > 0 || s.syncIsLate() {
		return limiter.ErrStoreUnavailable
	}
	return s.log.admits()
}

// wait returns when the record with an LSN is durable.
func (s *Store) wait(ctx context.Context, lsn uint64) error {
	if lsn < s.log.synced.Load() {
		return nil
	}
	return s.log.Wait(ctx, lsn)
}

// write writes a frame; see log.write.
func (s *Store) write(first uint64, g *group) error {
	started := time.Now()
	batch := s.db.NewBatch()
	frame := g.encode(make([]byte, 0, len(g.body)+64), s.clocks.read(s.clock))
	if err := batch.Set(logKey(first), frame, nil); err != nil {
		return err
	}
	if err := s.db.Apply(batch, pebble.Sync); err != nil {
		return err
	}
	if err := batch.Close(); err != nil {
		return err
	}
	last := first + g.records - 1
	s.written.Store(last)
	if s.disk.pace > 0 {
		s.unsynced.CompareAndSwap(0, started.UnixNano())
	} else {
		if err := s.witness.set(last); err != nil {
			return err
		}
	}
	s.metrics.commit(time.Since(started), len(frame), g.records)
	if s.logBytes.Add(int64(len(frame))); s.snapshotDue() {
		signal(s.grown)
	}
	return nil
}

// runSyncs syncs the log at its pace, if answers do not wait for that.
func (s *Store) runSyncs() {
	tick := time.NewTicker(s.disk.pace)
	defer tick.Stop()
	for {
		select {
		case <-s.closing:
			return
		case <-tick.C:
		}
		since, last := s.unsynced.Swap(0), s.written.Load()
		s.syncing.Store(since)
		err := s.disk.syncLogs()
		if err == nil {
			err = s.witness.set(last)
		}
		if err != nil {
			s.log.fail(err)
			return
		}
		s.syncing.Store(0)
	}
}

// syncIsLate reports whether something that was answered has not been on the disk for longer than
// it may be: then nothing more is answered, so that a power cut loses no more than that.
func (s *Store) syncIsLate() bool {
	if s.disk.pace == 0 {
		return false
	}
	since := s.syncing.Load()
	if since == 0 {
		since = s.unsynced.Load()
	}
	return since != 0 && time.Now().UnixNano()-since > int64(s.disk.pace+patience)
}

// idle notes what the clocks show, when nothing was written for a while.
func (s *Store) idle() {
	g := s.log.begin(s.clock.Now().Mono)
	g.body = append(g.body, recordTick)
	s.log.end(g, 1)
	if err := s.witness.sync(); err != nil {
		s.log.fail(err)
	}
}

func (s *Store) diskFull(full bool) {
	if full {
		s.logger.Error(nil, "the disk is full: checks are answered with 503 until there is room",
			"directory", s.dir)
		return
	}
	s.logger.Info("there is room on the disk again", "directory", s.dir)
}

// Failed returns a channel that is closed when the journal cannot be written any more. Nothing but
// a new process can help: it reads what the disk really has.
func (s *Store) Failed() <-chan struct{} { return s.log.failed }

// Err returns why the journal cannot be written any more, or nil.
func (s *Store) Err() error { return s.log.failure() }

func (s *Store) closed() bool {
	select {
	case <-s.closing:
		return true
	default:
		return false
	}
}

func (s *Store) path(name string) string { return s.disk.PathJoin(s.dir, name) }
