package journal

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// format is what the file FORMAT says. A number that is not ours is of another version of Sluice.
const format = "sluice journal 1\n"

// closePatience is how long Close waits for a disk that does not answer.
const closePatience = 5 * time.Second

// Found is what Recover found in a journal.
type Found struct {
	Accounts     int
	Messages     int64 // of the last day before it
	Reservations int   // outstanding
	// Away is how much time counts as passed since it was last written, and how that is known.
	Away       time.Duration
	Assumption Assumption
}

// Recover opens the journal, or makes it, and reads it. It is called once. It waits while the disk
// is full. An error says what to do; it may be a [*Damage], or that of the context: then the
// journal stays locked until the process ends.
func (s *Store) Recover(ctx context.Context) (Found, error) {
	context.AfterFunc(ctx, s.cancel)
	var found Found
	ended := make(chan error, 1)
	go func() {
		var err error
		found, err = s.open()
		ended <- err
	}()
	select {
	case err := <-ended:
		return found, err
	case <-s.log.failed: // the database has stopped where it was; see databaseLog.Fatalf
		return Found{}, explain(s.dir, s.Err())
	case <-ctx.Done(): // it may be in the hands of a disk that does not answer
		return Found{}, ctx.Err()
	}
}

// open does what Recover does, and is not interrupted.
func (s *Store) open() (Found, error) {
	if err := s.prepare(); err != nil {
		return Found{}, s.abandon(err)
	}
	found, err := s.read()
	if err != nil {
		return Found{}, s.abandon(err)
	}
	go s.log.run(s.idle)
	go s.log.watch()
	go s.runSnapshots()
	if s.disk.pace > 0 {
		go s.runSyncs()
	}
	g := s.log.begin(s.clock.Now().Mono)
	g.body = appendStart(g.body, s.clocks.machine())
	s.log.end(g, 1)
	if err := s.log.sync(s.ctx); err != nil {
		return Found{}, errors.Join(err, s.Err())
	}
	s.metrics.found(found)
	s.opened.Store(true)
	return found, nil
}

// prepare makes the directory, and locks it.
func (s *Store) prepare() error {
	err := s.makeDir()
	if err == nil {
		_, err = s.disk.List(s.dir)
	}
	if err != nil {
		return explain(s.dir, err)
	}
	lock, err := s.disk.Lock(s.path(lockFile))
	if err != nil {
		if errors.Is(err, syscall.EAGAIN) {
			return fmt.Errorf("--data-dir %s is in use by another process (%s): two would each "+
				"admit the whole limit. Stop that one, or choose another directory",
				s.dir, strings.TrimSpace(s.readFile(ownerFile)))
		}
		return explain(s.dir, err)
	}
	s.lock = lock
	if err := s.checkFormat(); err != nil {
		return err
	}
	host, _ := os.Hostname() // for people; it may be missing
	owner := fmt.Sprintf("process %d on %s since %s\n",
		os.Getpid(), host, time.Now().UTC().Format(time.RFC3339))
	if err := s.writeFile(ownerFile, owner); err != nil {
		return explain(s.dir, err)
	}
	if err := s.removeSnapshot(); err != nil {
		return explain(s.dir, err)
	}
	s.witness, err = openWitness(s.disk, s.path(witnessFile))
	if err != nil {
		return explain(s.dir, err)
	}
	if err := s.syncDir(s.dir); err != nil {
		return explain(s.dir, err)
	}
	return nil
}

// makeDir makes the directory, and its name durable. A process before this one may have made it,
// and then ended; one that others made may lie where this process can read nothing.
func (s *Store) makeDir() error {
	parent := s.disk.PathDir(s.dir)
	parents := []string{parent}
	for {
		if _, err := s.disk.Stat(parent); !errors.Is(err, fs.ErrNotExist) {
			break
		}
		parent = s.disk.PathDir(parent)
		parents = append(parents, parent)
	}
	if err := s.disk.MkdirAll(s.dir, 0o700); err != nil {
		return err
	}
	for _, parent := range parents {
		if err := s.syncDir(parent); err != nil && !errors.Is(err, fs.ErrPermission) {
			return err
		}
	}
	return nil
}

// explain says what an error of the directory asks for.
func explain(dir string, err error) error {
	hint := "look at the disk"
	switch {
	case errors.Is(err, fs.ErrPermission):
		hint = fmt.Sprintf("it must belong to the user that Sluice runs as (%d), or to its group "+
			"and be writable for it: set fsGroup in Kubernetes, or use chown", os.Getuid())
	case errors.Is(err, syscall.EROFS):
		hint = "the file system is read-only: mount a volume there that can be written"
	case errors.Is(err, syscall.ENOTDIR):
		hint = "it is no directory: choose another"
	case errors.Is(err, syscall.ENOENT):
		hint = "mount a volume there, or make the directory"
	}
	return fmt.Errorf("--data-dir %s cannot be used (%w): %s", dir, err, hint)
}

// checkFormat reads the file FORMAT, or writes it in a new directory.
func (s *Store) checkFormat() error {
	switch found := s.readFile(formatFile); {
	case found == format:
		return nil
	case found != "":
		return fmt.Errorf("--data-dir %s has the format %q, and this version of Sluice reads %q: "+
			"use the version that wrote it, or a newer one that says it can read it",
			s.dir, strings.TrimSpace(found), strings.TrimSpace(format))
	}
	names, err := s.disk.List(s.dir)
	if err != nil {
		return explain(s.dir, err)
	}
	for _, name := range names {
		if name == databaseDir && !s.accept.All {
			return &Damage{Where: s.path(formatFile), What: "it is missing or empty"}
		}
	}
	if err := s.writeFile(formatFile, format); err != nil {
		return explain(s.dir, err)
	}
	return nil
}

// read opens the database, and reads it into memory.
func (s *Store) read() (Found, error) {
	l, isNew, err := s.openDatabase()
	if err != nil {
		return Found{}, err
	}
	err = l.load()
	if named := (*Damage)(nil); err == nil || errors.As(err, &named) && len(named.Accounts) > 0 {
		// An end that is missing concerns all accounts.
		if missing := l.checkEnd(s.path(databaseDir), s.witness.lsn); missing != nil {
			err = missing
		}
	}
	damage := (*Damage)(nil)
	if errors.As(err, &damage) && s.accept.covers(damage) {
		s.logger.Error(err, "what cannot be read is given up, as --accept-loss says")
		err = nil
	}
	if err != nil {
		return Found{}, err
	}
	s.adopt(l)
	found := s.resume(l, isNew)
	if damage != nil {
		err = s.rebuild()
	} else {
		err = s.drop(s.generation)
	}
	if err != nil {
		return found, err
	}
	return found, s.witness.begin(s.disk.pace, s.clocks.machine().bootID)
}

// openDatabase opens the database, and reads its header. If that cannot be done, and it was
// accepted, the database is set aside, and there is a new one.
func (s *Store) openDatabase() (l *loader, isNew bool, err error) {
	s.options = databaseOptions(s.disk, s.logger, s.log.fail)
	dir := s.path(databaseDir)
	if _, err := s.disk.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		if s.witness.lsn > 0 && !s.accept.All {
			return nil, false, &Damage{Where: dir, What: "it is missing"}
		}
		isNew = true
	}
	l, isNew, err = s.openHeader(dir, isNew)
	damage := (*Damage)(nil)
	if !errors.As(err, &damage) || !s.accept.All {
		return l, isNew, err
	}
	if err := s.setAside(damage); err != nil {
		return nil, false, explain(s.dir, err)
	}
	return s.openHeader(dir, true)
}

// openHeader opens a database and reads its header, or writes that of a new one.
func (s *Store) openHeader(dir string, isNew bool) (l *loader, _ bool, err error) {
	if err := s.cutTornTail(); err != nil {
		return nil, false, explain(s.dir, err)
	}
	s.db, err = pebble.Open(dir, s.options)
	if err != nil {
		s.db = nil
		return nil, false, s.openError(dir, err)
	}
	l = newLoader(s.db, s.newAccount)
	if !isNew && s.witness.lsn == 0 {
		// The first start of all may have ended before it wrote anything.
		if isNew, err = l.empty(); err != nil {
			return nil, false, damaged(dir, err)
		}
	}
	if isNew {
		return l, true, s.begin()
	}
	// The header has the key of the hashes, which must be there before the first account.
	if err := l.loadHeader(); err != nil {
		return nil, false, err
	}
	s.setIDKey(l.idKey)
	return l, false, nil
}

// openError tells an error of a disk that can be mended, such as a missing right, from damage.
func (s *Store) openError(dir string, err error) error {
	if no := syscall.Errno(0); errors.As(err, &no) && !errors.Is(err, fs.ErrNotExist) {
		return explain(s.dir, err)
	}
	return damaged(dir, err)
}

// setAside moves a database away that cannot be read.
func (s *Store) setAside(damage *Damage) error {
	if s.db != nil {
		if err := s.db.Close(); err != nil {
			return err
		}
		s.db = nil
	}
	aside := s.path(fmt.Sprintf("damaged-%d", time.Now().Unix()))
	s.logger.Error(damage, "the journal is set aside, as --accept-loss says", "to", aside)
	return s.disk.Rename(s.path(databaseDir), aside)
}

// begin writes the first snapshot of a new journal: an empty one.
func (s *Store) begin() error {
	h := header{generation: 1, from: s.witness.lsn + 1}
	_, _ = rand.Read(h.idKey[:]) // never fails
	h.reading, h.machine = s.clocks.read(s.clock), s.clocks.machine()
	s.setIDKey(h.idKey)
	if err := s.syncDir(s.dir); err != nil {
		return explain(s.dir, err)
	}
	batch := s.db.NewBatch()
	key := snapshotKey(h.generation, kindHeader, 0)
	if err := batch.Set(key, h.encode(), nil); err != nil {
		return err
	}
	if err := s.db.Apply(batch, pebble.Sync); err != nil {
		return err
	}
	s.generation = h
	return s.db.Flush() // to a file that has nothing else, so that it can be dropped
}

// adopt takes over what was loaded.
func (s *Store) adopt(l *loader) {
	s.generation = l.header
	s.numbers = l.header.accounts
	s.logBytes.Store(l.logBytes)
	s.snapshotBytes.Store(l.size.bytes)
	next := max(l.next, s.witness.lsn+1)
	s.log.reset(next)
	s.written.Store(next - 1)
	for number, a := range l.accounts {
		if a == nil {
			continue
		}
		s.accounts[number] = a
		if before := s.recovered[a.who.key]; before == nil || before.number < number {
			s.recovered[a.who.key] = a
		}
	}
}

// resume sets the clock, and returns what was found.
func (s *Store) resume(l *loader, isNew bool) (found Found) {
	a := away{Assumption: FirstStart}
	if !isNew {
		var mono int64
		mono, a = s.clocks.resume(s.ctx, past{l.machine, l.reading, l.synced, l.newest})
		s.clock.Set(mono)
		if !l.clean {
			s.doubt()
		}
	}
	found = Found{Away: a.elapsed, Assumption: a.Assumption, Accounts: len(s.recovered)}
	for _, a := range s.recovered {
		messages, reservations := a.Held()
		found.Messages += messages
		found.Reservations += reservations
	}
	s.logger.Info("the journal was read", "directory", s.dir, "accounts", found.Accounts,
		"sends", found.Messages, "reservations", found.Reservations, "away", a.describe())
	return found
}

// rebuild writes down what could be read of a journal that was damaged, and drops all the rest.
func (s *Store) rebuild() error {
	name := s.path(snapshotFile)
	h := s.nextHeader()
	bytes, err := s.writeSnapshot(name, &h)
	if err != nil {
		return err
	}
	if err := s.db.Ingest(s.ctx, []string{name}); err != nil {
		return err
	}
	s.generation = h
	s.snapshotBytes.Store(bytes)
	s.logBytes.Store(0)
	if err := s.db.Excise(s.ctx, frames(0)); err != nil {
		return err
	}
	if err := s.drop(h); err != nil {
		return err
	}
	return s.witness.reset(h.from - 1)
}

// abandon closes what Recover has opened.
func (s *Store) abandon(err error) error {
	s.cancel()
	close(s.closing)
	close(s.snapshotsEnded)
	close(s.log.ended)
	return errors.Join(err, s.release())
}

// Close writes what is left, and closes the journal. Calls that come later fail. It does nothing if
// Recover has not succeeded.
func (s *Store) Close() error {
	if !s.opened.Swap(false) {
		return nil
	}
	close(s.closing)
	g := s.log.begin(s.clock.Now().Mono)
	g.body = append(g.body, recordStop)
	s.log.end(g, 1)
	s.log.stop()
	ended := s.log.wait(closePatience)
	close(s.disk.closing) // from now on, nothing waits for room
	if !ended {
		ended = s.log.wait(time.Second)
	}
	s.cancel()
	// From here on, the database must not be touched unless the log has ended well.
	if err := s.Err(); err != nil {
		return err
	}
	if !ended {
		return errNoAnswer
	}
	released := make(chan error, 1)
	go func() {
		<-s.snapshotsEnded
		released <- s.release()
	}()
	select {
	case err := <-released:
		return err
	case <-s.log.failed: // whoever released it stays where it was; see databaseLog.Fatalf
		return s.Err()
	case <-time.After(closePatience):
		return errNoAnswer
	}
}

// errNoAnswer is returned by Close if the disk does not answer. What callers were told of is there.
var errNoAnswer = errors.New("the disk does not answer")

// doubt has each account know which of its reservations are of a process that was killed.
func (s *Store) doubt() {
	for _, a := range s.recovered {
		a.doubt()
	}
}

// release closes the files.
func (s *Store) release() (err error) {
	if s.db != nil {
		s.disk.ending.Store(true)
		err = s.db.Close()
	}
	if s.witness != nil {
		if err == nil && s.written.Load() > 0 {
			err = s.witness.set(s.written.Load())
		}
		err = errors.Join(err, s.witness.sync(), s.witness.close())
	}
	if s.lock != nil {
		err = errors.Join(err, s.lock.Close())
	}
	return err
}

// readFile returns what a small file says, or nothing.
func (s *Store) readFile(name string) string {
	f, err := s.disk.Open(s.path(name))
	if err != nil {
		return ""
	}
	defer func() { _ = f.Close() }()
	b, err := io.ReadAll(io.LimitReader(f, 1<<10))
	if err != nil {
		return ""
	}
	return string(b)
}

// writeFile writes a small file.
func (s *Store) writeFile(name, text string) error {
	f, err := s.disk.Create(s.path(name), vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = f.Write([]byte(text))
	return errors.Join(err, f.Sync(), f.Close())
}

// syncDir makes the names in a directory durable.
func (s *Store) syncDir(name string) error {
	d, err := s.disk.OpenDir(name)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
