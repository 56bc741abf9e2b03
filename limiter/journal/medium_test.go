package journal

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/sluice-mail/sluice/limiter"
	"github.com/sluice-mail/sluice/limiter/limitertest"
	"github.com/sluice-mail/sluice/limiter/memory"
)

// medium is a disk in memory whose process can be killed, and with it the machine.
type medium struct {
	options Options
	// survives is the probability, in percent, with which each block and each name that was not
	// synced outlives a kill. 100 is a kill of the process alone.
	survives int
	random   *rand.Rand
	fs       *vfs.MemFS
	store    *Store

	mu    sync.Mutex
	left  int        // steps until the kill
	after *vfs.MemFS // what the kill leaves; nil before it
	dead  atomic.Bool
}

func newMedium(o Options, survives int) *medium {
	return &medium{
		options: o, survives: survives, fs: vfs.NewCrashableMem(), left: -1,
		random: rand.New(rand.NewPCG(1, uint64(survives))),
	}
}

// Open implements [limitertest.Durable].
func (m *medium) Open(t limitertest.TB) limiter.Store {
	t.Helper()
	o := m.options
	o.Dir, o.fs = "parent/data", watched(linkFS{m.fs}, m.step)
	m.store = New(o)
	if _, err := m.store.Recover(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.close)
	return m.store
}

func (m *medium) close() { _ = m.store.Close() }

// step is called before each operation on the disk.
func (m *medium) step(op errorfs.Op) error {
	if op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.left == 0 {
			m.die()
		}
		m.left--
	}
	return nil
}

// die kills the machine: what the disk has now is what the next one will find. The caller holds mu.
func (m *medium) die() {
	if m.after == nil {
		m.dead.Store(true)
		m.after = crash(m.fs, m.survives, m.random)
	}
}

// Kill implements [limitertest.Durable].
func (m *medium) Kill(_ limitertest.TB, n int, calls func(killed func() bool)) {
	m.mu.Lock()
	m.left = n
	m.mu.Unlock()
	calls(m.dead.Load)
	m.mu.Lock()
	m.die()
	m.fs, m.after, m.left = m.after, nil, -1
	m.mu.Unlock()
	m.close()
	m.dead.Store(false)
}

// watchedFS is a file system that tells of each operation before it is done, and does not do those
// that are to fail. It is [errorfs.FS], which forgets the files that it reuses.
type watchedFS struct{ *errorfs.FS }

func watched(fs vfs.FS, tell func(errorfs.Op) error) vfs.FS {
	return watchedFS{errorfs.Wrap(fs, errorfs.InjectorFunc(tell))}
}

// ReuseForWrite implements [vfs.FS].
func (w watchedFS) ReuseForWrite(
	old, name string, c vfs.DiskWriteCategory,
) (vfs.File, error) {
	if err := w.Rename(old, name); err != nil {
		return nil, err
	}
	return w.OpenReadWrite(name, c)
}

// linkFS is a file system in memory that can be cloned while it makes a link: [vfs.MemFS] would
// lock itself out, as it then locks twice for reading.
type linkFS struct{ *vfs.MemFS }

var linking sync.Mutex

// Link implements [vfs.FS].
func (l linkFS) Link(old, name string) error {
	linking.Lock()
	defer linking.Unlock()
	return l.MemFS.Link(old, name)
}

// crash returns what a machine that stops now leaves on the disk.
func crash(fs *vfs.MemFS, survives int, random *rand.Rand) *vfs.MemFS {
	linking.Lock()
	defer linking.Unlock()
	return fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: survives, RNG: random})
}

// options are those of a store under test, which takes a snapshot all the time.
func options(o limitertest.Options) Options {
	return Options{minLog: 2000, Memory: memory.Options{
		MaxReservations:           o.MaxReservations,
		MaxReservationsPerAccount: o.MaxReservationsPerAccount,
	}}
}

const pace = 20 * time.Millisecond
