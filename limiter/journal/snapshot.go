package journal

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"io/fs"
	"runtime"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/objstorage/objstorageprovider"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/sluice-mail/sluice/limiter/memory"
)

const (
	// minLog is how many bytes of log there must be before a snapshot is taken of a small state.
	minLog = 16 << 20
	// snapshotRate is how many bytes of a snapshot are written in a second, at most.
	snapshotRate = 64 << 20
	// purgeDelay is how long a purged account may stay on the disk.
	purgeDelay = 10 * time.Minute
	// snapshotPause is the time between a snapshot that failed and the next one.
	snapshotPause = 10 * time.Second
)

// A snapshot has an image of each account, taken one after the other while calls go on (fuzzy):
// each image tells the LSN of the last effect that it has, so that a replay knows where to go on.
// It is written to a file of its own, which the database takes in as a whole; then the log before
// it and the snapshots before it are dropped. That is all the compaction there is: the files are
// the state, the log since, and for the time of a snapshot the state once more.

// snapshotDue reports whether the log is long enough to be worth a snapshot: half of the state.
func (s *Store) snapshotDue() bool {
	if s.logBytes.Load() > max(s.minLog, s.snapshotBytes.Load()/2) {
		return true
	}
	purged := s.purgedAt.Load()
	return purged != 0 && time.Since(time.Unix(0, purged)) > purgeDelay
}

// runSnapshots takes snapshots when they are due, until the store is closed or has failed.
func (s *Store) runSnapshots() {
	defer close(s.snapshotsEnded)
	tick := time.NewTicker(purgeDelay / 10)
	defer tick.Stop()
	for {
		select {
		case <-s.closing:
			return
		case <-s.log.failed:
			return
		case <-tick.C:
		case <-s.grown:
		}
		if !s.snapshotDue() {
			continue
		}
		started := time.Now()
		if err := s.snapshot(); err != nil {
			if s.closed() {
				return
			}
			s.logger.Error(err, "no snapshot of the journal could be taken; the next attempt follows",
				"in", snapshotPause.String())
			select {
			case <-s.closing:
			case <-time.After(snapshotPause):
			}
			continue
		}
		s.metrics.snapshot(time.Since(started))
	}
}

// snapshot takes a snapshot, and drops what it replaces.
func (s *Store) snapshot() error {
	purged := s.purgedAt.Swap(0)
	err := s.replaceSnapshot()
	if err != nil {
		s.purgedAt.CompareAndSwap(0, purged)
	}
	return err
}

func (s *Store) replaceSnapshot() error {
	h := s.nextHeader()
	logBytes := s.logBytes.Load()
	name := s.path(snapshotFile)
	bytes, err := s.writeSnapshot(name, &h)
	if err != nil {
		// It may be what fills the disk.
		return errors.Join(err, s.removeSnapshot())
	}
	// An image may have effects that are not durable yet. Were the log then shorter than the
	// snapshot, new records would get numbers that a replay takes for old ones.
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	context.AfterFunc(s.ctx, cancel)
	if err := s.log.sync(ctx); err != nil {
		return err
	}
	if err := s.disk.syncLogs(); err != nil {
		s.log.fail(err)
		return err
	}
	if err := s.db.Ingest(ctx, []string{name}); err != nil {
		return err
	}
	s.generation = h
	s.snapshotBytes.Store(bytes)
	s.logBytes.Add(-logBytes)
	return s.drop(h)
}

// nextHeader begins a snapshot.
func (s *Store) nextHeader() header {
	h := s.generation
	h.generation++
	h.from = s.log.start()
	h.reading, h.machine = s.clocks.read(s.clock), s.clocks.machine()
	return h
}

// drop removes from the disk what a snapshot replaced. The database first writes down what it has
// in memory, so that nothing that is dropped is there: otherwise calls would wait for that.
func (s *Store) drop(h header) error {
	// That closes a file of the log, while calls wait: so there is little left to sync.
	if err := s.disk.syncLogs(); err != nil {
		s.log.fail(err)
		return err
	}
	if err := s.db.Flush(); err != nil {
		return err
	}
	const all = ^uint64(0)
	for _, span := range []pebble.KeyRange{
		framesBefore(h.from), snapshots(0, h.generation), snapshots(h.generation+1, all),
	} {
		if err := s.db.Excise(s.ctx, span); err != nil {
			return err
		}
	}
	return nil
}

// removeSnapshot removes the file of a snapshot that the database did not take in.
func (s *Store) removeSnapshot() error {
	err := s.disk.Remove(s.path(snapshotFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// numbered returns the accounts that the log knows, by number, and the highest number that one was
// given.
func (s *Store) numbered() (list []*account, highest uint64) {
	s.mu.Lock()
	highest = s.numbers
	list = make([]*account, 0, len(s.accounts))
	for _, a := range s.accounts {
		list = append(list, a)
	}
	s.mu.Unlock() // an account that gets its number waits for it; and numbers never change
	slices.SortFunc(list, func(a, b *account) int { return cmp.Compare(a.number, b.number) })
	return list, highest
}

// writeSnapshot writes a snapshot to a file.
func (s *Store) writeSnapshot(name string, h *header) (bytes int64, err error) {
	list, highest := s.numbered()
	h.sections, h.accounts = uint64(len(list)), highest
	// It does not wait for room on a disk that it may itself have filled.
	file, err := s.disk.FS.Create(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		return 0, err
	}
	file = vfs.NewSyncingFile(file, vfs.SyncingFileOptions{BytesPerSync: 512 << 10})
	w := &snapshotWriter{
		file: sstable.NewWriter(
			objstorageprovider.NewFileWritable(file),
			s.options.MakeWriterOptions(0, s.db.TableFormat()),
		),
		started: time.Now(), generation: h.generation,
	}
	w.set(kindHeader, 0, h.encode())
	for _, a := range list {
		w.set(kindIdentity, a.number, a.who.appendTo(nil))
	}
	var image memory.Image
	var value []byte
	for _, a := range list {
		if s.closed() {
			break
		}
		var last uint64
		a.Copy(&image, func() { last = a.last })
		value = image.AppendTo(binary.AppendUvarint(value[:0], last))
		w.set(kindImage, a.number, value)
		runtime.Gosched() // callers go first
	}
	if err := w.file.Close(); err != nil {
		return 0, err
	}
	if s.closed() {
		return 0, context.Canceled
	}
	return w.bytes, w.err
}

// snapshotWriter writes the keys of a snapshot, in their order, and not too fast.
type snapshotWriter struct {
	file       *sstable.Writer
	generation uint64
	started    time.Time
	bytes      int64
	err        error
}

func (w *snapshotWriter) set(kind byte, account uint64, value []byte) {
	if w.err != nil {
		return
	}
	key := snapshotKey(w.generation, kind, account)
	w.err = w.file.Set(key, value)
	w.bytes += int64(len(key) + len(value))
	ahead := time.Duration(w.bytes*int64(time.Second)/snapshotRate) - time.Since(w.started)
	if ahead > time.Millisecond {
		time.Sleep(ahead)
	}
}
