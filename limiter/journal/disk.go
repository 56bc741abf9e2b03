package journal

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// fullPause is the time between two attempts to write to a full disk.
const fullPause = 100 * time.Millisecond

// disk is the file system under the database, with three things changed.
//
// A write that finds the disk full waits until there is room, and then goes on: nothing was lost,
// so this is safe, and the database, which ends the process over a failed write, need not know.
//
// An error of the log's files, and of a sync of a directory, ends the process. The database panics
// over some of them, and then does not say which file it was.
//
// With a pace (--sync 100ms), a sync of the log returns at once, and [disk.syncLogs] does it later.
type disk struct {
	vfs.FS
	pace    time.Duration   // 0: syncs are done at once
	waiting atomic.Int32    // operations that wait for room
	closing chan struct{}   // closed when waiting for room is to end
	onFull  func(full bool) // told when the disk gets full, and when it no longer is
	fatal   func(error)     // told why the process must end
	ending  atomic.Bool     // once the database is closed: it then gets its errors
	mu      sync.Mutex      // guards logs
	logs    []*logFile      // the open files of the log, the oldest first, with a pace
}

func newDisk(
	fs vfs.FS, pace time.Duration, onFull func(full bool), fatal func(error),
) *disk {
	return &disk{
		FS: fs, pace: pace, onFull: onFull, fatal: fatal,
		closing: make(chan struct{}),
	}
}

// Unwrap implements [vfs.FS].
func (d *disk) Unwrap() vfs.FS { return d.FS }

// Create implements [vfs.FS].
func (d *disk) Create(name string, c vfs.DiskWriteCategory) (f vfs.File, err error) {
	err = d.retry(func() error { f, err = d.FS.Create(name, c); return err })
	return d.wrap(name, f, err)
}

// OpenReadWrite implements [vfs.FS].
func (d *disk) OpenReadWrite(
	name string, c vfs.DiskWriteCategory, o ...vfs.OpenOption,
) (f vfs.File, err error) {
	err = d.retry(func() error { f, err = d.FS.OpenReadWrite(name, c, o...); return err })
	return d.wrap(name, f, err)
}

// ReuseForWrite implements [vfs.FS].
func (d *disk) ReuseForWrite(
	old, name string, c vfs.DiskWriteCategory,
) (f vfs.File, err error) {
	err = d.retry(func() error { f, err = d.FS.ReuseForWrite(old, name, c); return err })
	return d.wrap(name, f, err)
}

// MkdirAll implements [vfs.FS].
func (d *disk) MkdirAll(dir string, mode os.FileMode) error {
	return d.retry(func() error { return d.FS.MkdirAll(dir, mode) })
}

// Lock implements [vfs.FS].
func (d *disk) Lock(name string) (lock io.Closer, err error) {
	err = d.retry(func() error { lock, err = d.FS.Lock(name); return err })
	return lock, err
}

// OpenDir implements [vfs.FS].
func (d *disk) OpenDir(name string) (vfs.File, error) {
	f, err := d.FS.OpenDir(name)
	if err != nil {
		return nil, err
	}
	return &directory{f, name, d}, nil
}

// directory ends the process if it cannot be synced.
type directory struct {
	vfs.File
	name string
	disk *disk
}

// Sync implements [vfs.File].
func (d *directory) Sync() error { return d.disk.check(d.name, d.File.Sync()) }

// check returns nil if there is no error. If there is, it does not return: the process is about to
// end, and until it has, whoever is here stays here, with the locks that it holds.
func (d *disk) check(name string, err error) error {
	if err == nil || d.ending.Load() {
		return err
	}
	if known := (*fs.PathError)(nil); !errors.As(err, &known) {
		err = fmt.Errorf("%s: %w", name, err)
	}
	d.fatal(err)
	select {}
}

// isLog reports whether a file is one of the log.
func isLog(name string) bool { return strings.HasSuffix(name, ".log") }

// Link implements [vfs.FS].
func (d *disk) Link(old, name string) error {
	return d.retry(func() error { return d.FS.Link(old, name) })
}

// Rename implements [vfs.FS].
func (d *disk) Rename(old, name string) error {
	return d.retry(func() error { return d.FS.Rename(old, name) })
}

// retry repeats an operation while the disk is full.
func (d *disk) retry(do func() error) error {
	for waits := false; ; {
		err := do()
		if !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, syscall.EDQUOT) {
			if waits && d.waiting.Add(-1) == 0 {
				d.onFull(false)
			}
			return err
		}
		if !waits && d.waiting.Add(1) == 1 {
			d.onFull(true)
		}
		waits = true
		select {
		case <-d.closing:
			d.waiting.Add(-1)
			return err
		case <-time.After(fullPause):
		}
	}
}

func (d *disk) wrap(name string, f vfs.File, err error) (vfs.File, error) {
	if err != nil {
		if isLog(name) {
			return nil, d.check(name, err)
		}
		return nil, err
	}
	waiting := &file{File: f, name: name, disk: d}
	if d.pace == 0 || !isLog(name) {
		return waiting, nil
	}
	l := &logFile{file: waiting}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.logs = append(d.logs, l)
	return l, nil
}

// syncLogs syncs what was written of the log until now, from its beginning.
func (d *disk) syncLogs() error {
	d.mu.Lock()
	logs := slices.Clone(d.logs)
	d.mu.Unlock()
	for _, l := range logs {
		if err := l.sync(); err != nil {
			return err
		}
	}
	return nil
}

// file waits for room when the disk is full.
type file struct {
	vfs.File
	name string
	disk *disk
}

// check returns the error of an operation, unless the file is one of the log: see [disk.check].
func (f *file) check(err error) error {
	if isLog(f.name) {
		return f.disk.check(f.name, err)
	}
	return err
}

// Close implements [io.Closer].
func (f *file) Close() error { return f.check(f.File.Close()) }

// Stat implements [vfs.File].
func (f *file) Stat() (vfs.FileInfo, error) {
	info, err := f.File.Stat()
	return info, f.check(err)
}

// Sync implements [vfs.File].
func (f *file) Sync() error { return f.check(f.File.Sync()) }

// SyncData implements [vfs.File].
func (f *file) SyncData() error { return f.check(f.File.SyncData()) }

// SyncTo implements [vfs.File].
func (f *file) SyncTo(length int64) (fullSync bool, err error) {
	fullSync, err = f.File.SyncTo(length)
	return fullSync, f.check(err)
}

// Write implements [io.Writer].
func (f *file) Write(p []byte) (n int, err error) {
	err = f.disk.retry(func() error {
		written, err := f.File.Write(p[n:])
		n += written
		if err == nil && n < len(p) {
			return io.ErrShortWrite
		}
		return err
	})
	return n, f.check(err)
}

// WriteAt implements [io.WriterAt].
func (f *file) WriteAt(p []byte, at int64) (n int, err error) {
	err = f.disk.retry(func() error {
		written, err := f.File.WriteAt(p[n:], at+int64(n))
		n += written
		return err
	})
	return n, err
}

// Preallocate implements [vfs.File]. It is for speed alone: where there is no room for it, there
// may still be room for what will be written.
func (f *file) Preallocate(offset, length int64) error {
	err := f.File.Preallocate(offset, length)
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return nil
	}
	return err
}

// logFile is a file of the log whose syncs are put off.
type logFile struct {
	*file
	mu     sync.Mutex // held while it is synced or closed
	dirty  atomic.Bool
	closed bool
}

// Sync implements [vfs.File].
func (l *logFile) Sync() error { l.dirty.Store(true); return nil }

// SyncData implements [vfs.File].
func (l *logFile) SyncData() error { l.dirty.Store(true); return nil }

// Close implements [io.Closer].
func (l *logFile) Close() error {
	if err := l.sync(); err != nil {
		return err
	}
	l.disk.mu.Lock()
	l.disk.logs = slices.DeleteFunc(l.disk.logs, func(o *logFile) bool { return o == l })
	l.disk.mu.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	return l.file.Close()
}

// sync syncs what was written, if there is anything.
func (l *logFile) sync() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || !l.dirty.Swap(false) {
		return nil
	}
	return l.file.SyncData()
}
