package journal

import (
	"errors"
	"fmt"
	"strings"

	"github.com/cockroachdb/pebble/v2"

	"github.com/sluice-mail/sluice/limiter"
	"github.com/sluice-mail/sluice/limiter/memory"
)

// loader reads a database into accounts. It decides nothing: it restores the newest snapshot, and
// replays what the log has of each account after it.
type loader struct {
	db *pebble.DB
	// open makes an account in memory.
	open func(number uint64, who identity) *account
	// visit is told of each record of the log, if it is not nil.
	visit func(lsn uint64, at reading, r *record)

	header
	accounts map[uint64]*account
	// unknown are numbers that have records in the log but no account: it was purged while the
	// snapshot was written, or something is lost.
	unknown map[uint64]uint64
	lost    []identity // whose images cannot be read
	next    uint64     // one more than the last LSN
	newest  int64      // the latest instant of a record
	synced  reading    // the latest whose wall clock was synchronised
	clean   bool       // whether the process before wrote all that it had
	size    snapshotSize
	// logBytes are those of the frames.
	logBytes int64
	frames   int
}

// snapshotSize is what a snapshot takes.
type snapshotSize struct{ bytes int64 }

func newLoader(db *pebble.DB, open func(uint64, identity) *account) *loader {
	return &loader{
		db: db, open: open, accounts: map[uint64]*account{}, unknown: map[uint64]uint64{},
	}
}

// load reads everything. What cannot be read is a [*Damage]; if that has Accounts, all others were
// read.
func (l *loader) load() error {
	for _, step := range []func() error{l.loadHeader, l.loadSnapshot, l.loadLog} {
		if err := guarded(step); err != nil {
			return err
		}
	}
	for number, lsn := range l.unknown {
		return &Damage{
			Where: "the log",
			What:  fmt.Sprintf("record %d is of account %d, which nothing introduces", lsn, number),
		}
	}
	if len(l.lost) > 0 {
		return &Damage{
			Where: fmt.Sprintf("snapshot %d", l.generation), What: "some accounts cannot be read",
			Accounts: keysOf(l.lost),
		}
	}
	return nil
}

// guarded makes damage of a panic: that is how the database meets some of what it cannot read.
func guarded(read func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = damaged("the database", fmt.Errorf("it cannot make sense of it: %v", r))
		}
	}()
	return read()
}

func keysOf(list []identity) (keys []limiter.Key) {
	for _, who := range list {
		keys = append(keys, who.key)
	}
	return keys
}

// loadHeader finds the newest snapshot.
func (l *loader) loadHeader() error {
	const all = ^uint64(0)
	span := snapshots(0, all)
	for {
		key, value, err := l.first(span)
		switch {
		case err != nil:
			return damaged("the headers of the snapshots", err)
		case key == nil:
			if l.generation == 0 {
				return &Damage{Where: "the snapshots", What: "there is none"}
			}
			l.next = l.from
			l.noteSynced()
			return nil
		}
		generation := keyNumber(key[:9])
		if string(key) != string(snapshotKey(generation, kindHeader, 0)) {
			return &Damage{
				Where: fmt.Sprintf("snapshot %d", generation), What: "it has no header",
			}
		}
		if l.header, err = decodeHeader(generation, value); err != nil {
			return damaged(fmt.Sprintf("snapshot %d", generation), err)
		}
		span.Start = snapshotStart(generation + 1)
	}
}

// first returns the first key of a span and its value, or nil.
func (l *loader) first(span pebble.KeyRange) (key, value []byte, err error) {
	err = l.each(span, func(k, v []byte) error {
		key, value = append([]byte{}, k...), append([]byte{}, v...)
		return errStop
	})
	return key, value, err
}

// empty reports whether the database has no keys.
func (l *loader) empty() (bool, error) {
	key, _, err := l.first(pebble.KeyRange{})
	return key == nil, err
}

// errStop ends each without an error.
var errStop = errors.New("stop")

// each visits the keys of a span in their order.
func (l *loader) each(span pebble.KeyRange, visit func(key, value []byte) error) (err error) {
	it, err := l.db.NewIter(&pebble.IterOptions{LowerBound: span.Start, UpperBound: span.End})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	for it.First(); it.Valid(); it.Next() {
		value, err := it.ValueAndErr()
		if err != nil {
			return err
		}
		if err := visit(it.Key(), value); err != nil {
			if errors.Is(err, errStop) {
				return nil
			}
			return err
		}
	}
	return nil // an error of the iterator is that of its Close
}

// loadSnapshot restores the accounts of the snapshot.
func (l *loader) loadSnapshot() error {
	var known []identity
	numbers := map[uint64]int{}
	err := l.each(kindOf(l.generation, kindIdentity), func(key, value []byte) error {
		d := decoder{rest: value}
		who := d.identity()
		if d.failed {
			return errors.New("an account's name cannot be read")
		}
		numbers[keyNumber(key)] = len(known)
		known = append(known, who)
		l.size.bytes += int64(len(key) + len(value))
		return nil
	})
	if err != nil {
		return damaged(fmt.Sprintf("snapshot %d", l.generation), err)
	}
	if uint64(len(known)) != l.sections {
		return &Damage{
			Where: fmt.Sprintf("snapshot %d", l.generation),
			What:  fmt.Sprintf("it has %d accounts, but should have %d", len(known), l.sections),
		}
	}
	restore := func(key, value []byte) error {
		number := keyNumber(key)
		if who, ok := numbers[number]; ok && l.restore(number, known[who], value) == nil {
			delete(numbers, number)
		}
		return nil
	}
	if l.each(kindOf(l.generation, kindImage), restore) != nil {
		// A block of the file is damaged. Those of the others can be read one by one.
		for number := range numbers {
			key := snapshotKey(l.generation, kindImage, number)
			if value, closer, err := l.db.Get(key); err == nil {
				_ = restore(key, value)
				_ = closer.Close()
			}
		}
	}
	for _, i := range numbers {
		l.lost = append(l.lost, known[i])
	}
	l.forgetLost(numbers)
	return nil
}

// forgetLost makes empty accounts of those whose images cannot be read, so that what the log has of
// them can be told from what is not known.
func (l *loader) forgetLost(numbers map[uint64]int) {
	for number := range numbers {
		l.accounts[number] = nil
	}
}

// restore makes an account of its image.
func (l *loader) restore(number uint64, who identity, value []byte) error {
	d := decoder{rest: value}
	last := d.uvarint()
	if d.failed {
		return errFrame
	}
	a := l.open(number, who)
	a.last = last
	if err := a.Restore(d.rest); err != nil {
		_ = discard(a) // it cannot fail
		return err
	}
	l.accounts[number] = a
	l.size.bytes += int64(len(value))
	return nil
}

// loadLog replays the log.
func (l *loader) loadLog() error {
	var failed error
	err := l.each(frames(l.from), func(key, value []byte) error {
		failed = l.loadFrame(keyNumber(key), value)
		return failed
	})
	if d := (*Damage)(nil); errors.As(failed, &d) {
		return d
	}
	if err != nil {
		return damaged("the log", err)
	}
	return nil
}

func (l *loader) loadFrame(first uint64, value []byte) error {
	if first != l.next {
		return &Damage{
			Where: "the log",
			What:  fmt.Sprintf("records %d to %d are missing", l.next, first-1),
		}
	}
	f, err := readFrame(value)
	if err != nil {
		return damaged(fmt.Sprintf("the log at record %d", first), err)
	}
	l.reading = f.reading
	l.noteSynced()
	for range f.records {
		r, err := f.next()
		if err == nil {
			err = l.apply(l.next, &r)
		}
		if err != nil {
			return damaged(fmt.Sprintf("the log at record %d", l.next), err)
		}
		if l.visit != nil {
			l.visit(l.next, f.reading, &r)
		}
		l.next++
	}
	if len(f.rest) > 0 || f.records == 0 {
		return damaged(fmt.Sprintf("the log at record %d", first), errFrame)
	}
	l.frames++
	l.logBytes += int64(len(value))
	return nil
}

// noteSynced notes a reading by which a wall clock can be compared.
func (l *loader) noteSynced() {
	if l.synchronized {
		l.synced = l.reading
	}
}

// checkEnd returns the damage of a log that ends before what was once durable.
func (l *loader) checkEnd(dir string, durable uint64) error {
	if l.next > durable {
		return nil
	}
	return &Damage{
		Where: "the log in " + dir,
		What: fmt.Sprintf("it ends with record %d, but %d was once on the disk",
			l.next-1, durable),
	}
}

// apply repeats a record of the log.
func (l *loader) apply(lsn uint64, r *record) error {
	l.clean = false
	switch r.kind {
	case recordTick:
		return nil
	case recordStop:
		l.clean = true
		return nil
	case recordStart:
		l.machine = r.machine
		return nil
	case recordAccount:
		if _, known := l.accounts[r.number]; !known {
			l.accounts[r.number] = l.open(r.number, r.who)
			l.header.accounts = max(l.header.accounts, r.number)
		}
		return nil
	}
	l.newest = max(l.newest, r.effect.At)
	a, known := l.accounts[r.number]
	purged := r.effect.Kind == memory.Purged
	switch {
	case !known && purged:
		delete(l.unknown, r.number)
		return nil
	case !known:
		if _, ok := l.unknown[r.number]; !ok {
			l.unknown[r.number] = lsn
		}
		return nil
	case a == nil: // it is lost
	case lsn > a.last || purged:
		a.last = lsn
		if err := a.Replay(r.effect); err != nil {
			return err
		}
	default: // the snapshot has it
	}
	if purged {
		delete(l.accounts, r.number)
	}
	return nil
}

// discard purges an account that is no more than a reading of the disk.
func discard(a *account) error { return a.Replay(memory.Effect{Kind: memory.Purged}) }

// damaged returns what an error of the database means. It names the file, where the error does.
func damaged(where string, err error) error {
	if info := pebble.ExtractDataCorruptionInfo(err); info != nil {
		where, err = fmt.Sprintf("%s, which has %s", info.Path, where), info.Details
	}
	what := strings.TrimSpace(err.Error())
	// Of a log, the database names the file and the offset only there.
	if detail := interface{ ErrorDetail() string }(nil); errors.As(err, &detail) {
		what += " (" + detail.ErrorDetail() + ")"
	}
	return &Damage{Where: where, What: what}
}
