package journal

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

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
	// Once it is open, the end of the context is no concern of the store's: Close is.
	stop := context.AfterFunc(ctx, s.cancel)
	defer stop()
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

// doubt has each account know which of its reservations are of a process that was killed.
func (s *Store) doubt() {
	for _, a := range s.recovered {
		a.doubt()
	}
}
