package journal

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/go-logr/logr"

	"github.com/sluice-mail/sluice/limiter/memory"
)

// Report is what a journal holds.
type Report struct {
	Format string `json:"format"`
	// Written is when it was last written, and BootID on which boot of a machine.
	Written time.Time `json:"written"`
	BootID  string    `json:"bootID,omitempty"`
	// Snapshot is the number of the newest snapshot.
	Snapshot      uint64 `json:"snapshot"`
	SnapshotBytes int64  `json:"snapshotBytes"`
	// The records of the log since then are From up to, but without, Next. Those before Durable are
	// known to have been on the disk.
	From     uint64          `json:"from"`
	Next     uint64          `json:"next"`
	Durable  uint64          `json:"durable"`
	LogBytes int64           `json:"logBytes"`
	Accounts []AccountReport `json:"accounts"`
}

// AccountReport is what a journal holds of an account.
type AccountReport struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	UID       string `json:"uid"`
	// Sends are the messages of its last day, as of its last record.
	Sends        int64 `json:"sends"`
	Reservations int   `json:"reservations"`
}

// RecordReport is a record of the log. Fields that its kind does not have are zero.
type RecordReport struct {
	LSN uint64 `json:"lsn"`
	// At is when it happened, by the wall clock of the process that wrote it.
	At        time.Time  `json:"at"`
	Kind      string     `json:"kind"`
	Namespace string     `json:"namespace,omitempty"`
	Name      string     `json:"name,omitempty"`
	IDHash    string     `json:"idHash,omitempty"`
	Cost      int64      `json:"cost,omitempty"`
	Deadline  *time.Time `json:"deadline,omitempty"`
}

// recordKinds are the names of the kinds of records.
var recordKinds = map[byte]string{
	byte(memory.Granted):             "Granted",
	byte(memory.Committed):           "Committed",
	byte(memory.CommittedLate):       "CommittedLate",
	byte(memory.CommittedUnreserved): "CommittedUnreserved",
	byte(memory.Released):            "Released",
	byte(memory.Merged):              "Merged",
	byte(memory.Purged):              "Purged",
	recordAccount:                    "Account",
	recordStart:                      "Start",
	recordTick:                       "Tick",
	recordStop:                       "Stop",
}

// Inspect reads a journal that nobody has open, and changes nothing. It tells visit, which may be
// nil, of each record of the log. The error says what is wrong with it; it may be a [*Damage].
func Inspect(dir string, visit func(RecordReport)) (Report, error) {
	s := New(Options{Dir: dir, Memory: memory.Options{
		MaxReservations: math.MaxInt32, MaxReservationsPerAccount: math.MaxInt32,
	}})
	defer s.cancel()
	r := Report{Format: strings.TrimSpace(s.readFile(formatFile))}
	if err := s.inspectable(); err != nil {
		return r, err
	}
	lock, err := s.disk.Lock(s.path(lockFile))
	switch {
	case err == nil:
		defer func() { _ = lock.Close() }()
	case errors.Is(err, syscall.EROFS): // then nobody can have it open
	default:
		return r, fmt.Errorf("%s is in use by %s: stop that process first (%w)",
			dir, strings.TrimSpace(s.readFile(ownerFile)), err)
	}
	if r.Durable, err = s.inspectWitness(); err != nil {
		return r, explain(dir, err)
	}
	return s.inspect(r, visit)
}

// inspectable refuses what is no journal, or of another version.
func (s *Store) inspectable() error {
	if _, err := s.disk.Stat(s.path(databaseDir)); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s holds no journal: give the folder of --data-dir", s.dir)
		}
		return explain(s.dir, err)
	}
	return s.checkFormat()
}

// inspectWitness returns the first LSN that is not known to have been durable.
func (s *Store) inspectWitness() (uint64, error) {
	if _, err := s.disk.Stat(s.path(witnessFile)); errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	f, err := s.disk.Open(s.path(witnessFile))
	if err != nil {
		return 0, err
	}
	w := &witness{file: f}
	err = errors.Join(w.read(), f.Close())
	return w.lsn + 1, err
}

func (s *Store) inspect(r Report, visit func(RecordReport)) (Report, error) {
	fatal := func(err error) { s.logger.Error(err, "the database failed") }
	options := databaseOptions(s.disk, logr.Discard(), fatal)
	options.ReadOnly = true
	options.FS = unlocked{s.disk}
	db, err := pebble.Open(s.path(databaseDir), options)
	if err != nil {
		return r, s.openError(s.path(databaseDir), err)
	}
	defer func() { _ = db.Close() }()
	l := newLoader(db, s.newAccount)
	if visit != nil {
		l.visit = func(lsn uint64, at reading, record *record) {
			visit(l.report(lsn, at, record))
		}
	}
	err = l.load()
	if err == nil && r.Durable > 0 {
		err = l.checkEnd(s.path(databaseDir), r.Durable-1)
	}
	r.Written, r.BootID = time.Unix(0, l.wall).UTC(), l.bootID
	r.Snapshot, r.SnapshotBytes = l.generation, l.size.bytes
	r.From, r.Next, r.LogBytes = l.from, l.next, l.logBytes
	r.Accounts = l.accountReports()
	return r, err
}

// unlocked is a file system in which the database's own lock is not taken: it would be written, and
// the journal's is enough.
type unlocked struct{ vfs.FS }

// Lock implements [vfs.FS].
func (unlocked) Lock(string) (io.Closer, error) { return io.NopCloser(nil), nil }

// accountReports are those of all accounts that were read, in the order of their names.
func (l *loader) accountReports() []AccountReport {
	list := make([]AccountReport, 0, len(l.accounts))
	for _, a := range l.accounts {
		if a == nil {
			continue
		}
		messages, reservations := a.Held()
		list = append(list, AccountReport{
			Namespace: a.who.key.Namespace, Name: a.who.key.Name, UID: a.who.uid,
			Sends: messages, Reservations: reservations,
		})
	}
	slices.SortFunc(list, func(a, b AccountReport) int {
		return strings.Compare(a.Namespace+"/"+a.Name+"/"+a.UID, b.Namespace+"/"+b.Name+"/"+b.UID)
	})
	return list
}

// report describes a record that was just applied.
func (l *loader) report(lsn uint64, at reading, r *record) RecordReport {
	wall := func(mono int64) time.Time { return time.Unix(0, at.wall+mono-at.mono).UTC() }
	out := RecordReport{LSN: lsn, At: time.Unix(0, at.wall).UTC(), Kind: recordKinds[r.kind]}
	key := r.who.key
	if a := l.accounts[r.number]; a != nil {
		key = a.who.key
	}
	out.Namespace, out.Name = key.Namespace, key.Name
	if e := &r.effect; e.Kind != 0 {
		out.At, out.Cost = wall(e.At), e.Cost
		if e.ID != (memory.IDHash{}) {
			out.IDHash = hex.EncodeToString(e.ID.AppendTo(nil))
		}
		if e.Kind == memory.Granted {
			deadline := wall(e.Deadline)
			out.Deadline = &deadline
		}
	}
	return out
}
